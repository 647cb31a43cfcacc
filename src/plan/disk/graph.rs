//! From the tree form of a block-device description to the graph form.
//!
//! In the graph form each node has a `name` and names its parent as `base`. In the tree form a node
//! may stand inside of its parent instead; name and base are then made up. Both mix freely.

use crate::error::{Fault, Faults};
use crate::yaml::{Node, Value};

/// What a node of a description can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    /// A disk: a raw file.
    LocalLoop,
    /// A partition table with its partitions.
    Partitioning,
    /// Physical volumes, volume groups and logical volumes.
    Lvm,
    /// A filesystem or swap area.
    Mkfs,
    /// A mount point.
    Mount,
    /// A line of /etc/fstab.
    Fstab,
}

impl Plugin {
    const ALL: [Plugin; 6] = [Self::LocalLoop, Self::Partitioning, Self::Lvm, Self::Mkfs, Self::Mount, Self::Fstab];

    /// The plugin that a key names.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.key() == key)
    }

    /// The key in a description.
    pub fn key(self) -> &'static str {
        match self {
            Self::LocalLoop => "local_loop",
            Self::Partitioning => "partitioning",
            Self::Lvm => "lvm",
            Self::Mkfs => "mkfs",
            Self::Mount => "mount",
            Self::Fstab => "fstab",
        }
    }
}

/// A node in graph form.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is.
    pub plugin: Plugin,
    /// Its keys and values, `name` and `base` among them: always a map.
    pub body: Node,
}

impl Entry {
    /// The entry as the one-key map that a graph-form description would hold, without places.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ self.plugin.key(): self.body.to_json() })
    }
}

/// The graph form of a description: children before their parents, else in file order.
///
/// # Errors
/// Entries that are no nodes, and nodes that have neither a name nor a base to make one from.
pub fn flatten(description: &Node) -> Result<Vec<Entry>, Faults> {
    let Some(items) = description.as_list() else {
        let message = format!("a block-device description is a list of nodes, not {}", description.kind());
        return Err(description.fault(message).into());
    };
    let mut flattener = Flattener::default();
    for item in items {
        flattener.top_level(item);
    }
    Faults::or(flattener.faults, flattener.entries)
}

#[derive(Default)]
struct Flattener {
    entries: Vec<Entry>,
    faults: Vec<Fault>,
}

impl Flattener {
    fn top_level(&mut self, item: &Node) {
        let shown = item.to_json();
        let Some(pairs) = item.as_map() else {
            return self.faults.push(item.fault(format!("Config entry not a dict: {shown}")));
        };
        let [(key, value)] = pairs else {
            return self.faults.push(item.fault(format!("Config entry top-level should be a single dict: {shown}")));
        };
        match key.text().and_then(Plugin::from_key) {
            Some(plugin) => self.node(plugin, key, value, None),
            None => self.faults.push(
                key.fault(format!("Config entry is not a plugin value: {shown}"))
                    .hint("the plugins are local_loop, partitioning, lvm, mkfs, mount and fstab"),
            ),
        }
    }

    /// Takes the node that stands under `key`; `parent` is the name of the node around it.
    fn node(&mut self, plugin: Plugin, key: &Node, value: &Node, parent: Option<&str>) {
        // `fstab:` with nothing behind it means: all defaults.
        if value.as_map().is_none() && !value.is_null() {
            return self.faults.push(value.fault(format!("{} takes a map, not {}", plugin.key(), value.kind())));
        }
        let base = value.get("base").and_then(Node::text).or(parent);
        let name = match (value.get("name").and_then(Node::text), base) {
            (Some(name), _) => name.to_string(),
            (None, Some(base)) => format!("{}_{base}", plugin.key()),
            (None, None) => {
                let message = match plugin {
                    Plugin::Lvm => "Lvm config requires 'name'".to_string(),
                    _ => format!("this {} has neither a name nor a base to make one from", plugin.key()),
                };
                return self.faults.push(key.fault(message));
            }
        };
        let mut body = self.body(value, base, &name);
        let place = &key.place;
        if let Some(base) = base.filter(|_| value.get("base").is_none()) {
            body.push((Node::string(place.clone(), "base"), Node::string(place.clone(), base)));
        }
        if value.get("name").is_none() {
            body.push((Node::string(place.clone(), "name"), Node::string(place.clone(), name)));
        }
        self.entries.push(Entry { plugin, body: Node::new(place.clone(), Value::Map(body)) });
    }

    /// The keys of a node that stay with it; nodes inside of it become entries.
    fn body(&mut self, value: &Node, base: Option<&str>, name: &str) -> Vec<(Node, Node)> {
        let mut body = Vec::new();
        for (key, inner) in value.as_map().unwrap_or_default() {
            match key.text().unwrap_or_default() {
                "partitions" => body.push((key.clone(), self.partitions(inner, base))),
                text => match Plugin::from_key(text) {
                    Some(plugin) => self.node(plugin, key, inner, Some(name)),
                    None => body.push((key.clone(), inner.clone())),
                },
            }
        }
        body
    }

    /// A list of partitions without the nodes inside of them, which become entries.
    fn partitions(&mut self, list: &Node, base: Option<&str>) -> Node {
        let Some(items) = list.as_list() else {
            self.faults.push(list.fault(format!("partitions takes a list, not {}", list.kind())));
            return list.clone();
        };
        let items = items.iter().map(|partition| self.partition(partition, base)).collect();
        Node::new(list.place.clone(), Value::List(items))
    }

    fn partition(&mut self, partition: &Node, base: Option<&str>) -> Node {
        let Some(name) = partition.get("name").and_then(Node::text) else {
            self.faults.push(partition.fault("a partition needs a name"));
            return partition.clone();
        };
        let mut kept = Vec::new();
        for (key, inner) in partition.as_map().unwrap_or_default() {
            match key.text().and_then(Plugin::from_key) {
                Some(plugin) => self.node(plugin, key, inner, Some(name)),
                // A partition lies where its table lies, whatever it says.
                None if key.text() == Some("base") => {}
                None => kept.push((key.clone(), inner.clone())),
            }
        }
        if let Some(base) = base {
            let place = partition.place.clone();
            kept.push((Node::string(place.clone(), "base"), Node::string(place, base)));
        }
        Node::new(partition.place.clone(), Value::Map(kept))
    }
}
