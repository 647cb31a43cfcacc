//! Makes the tree from the parser's events: places, anchors, merge keys, duplicate keys.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use saphyr_parser::{Event, Marker, ScalarStyle, Tag};

use super::{Node, Value, place, scalar::resolve};
use crate::error::{Fault, Place};

/// Collections may nest this deep; deeper ones are a mistake or an attack.
const MAX_DEPTH: usize = 64;
/// Nodes that aliases may copy in one file: stops the "billion laughs" from eating all memory.
const MAX_COPIED: usize = 100_000;
/// The prefix that `!!` stands for.
const CORE_TAG: &str = "tag:yaml.org,2002:";

/// A list or map that has not ended yet.
struct Open {
    place: Place,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { pairs: Vec<(Node, Node)>, key: Option<Key>, merge: Vec<Node> },
}

/// A key that waits for its value.
enum Key {
    Of(Node),
    /// The plain key `<<` (merge key, <https://yaml.org/type/merge.html>).
    Merge,
}

/// Makes the tree from the parser's events.
pub(super) struct Builder<'a> {
    file: &'a Path,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    copied: usize,
    root: Option<Node>,
    /// Where keys that stand twice are reported, if they are no mistake.
    doubles: Option<&'a mut Vec<Fault>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: &'a Path, doubles: Option<&'a mut Vec<Fault>>) -> Self {
        Self { file, stack: Vec::new(), anchors: BTreeMap::new(), copied: 0, root: None, doubles }
    }

    /// Takes the parser's next event, which stands at `at`.
    pub(super) fn take(&mut self, event: Event, at: Marker) -> Result<(), Fault> {
        let place = place(self.file, at);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Fault::at(place, "a second document begins here; only one is expected"))
            }
            Event::Scalar(text, ScalarStyle::Plain, 0, None) if text == "<<" && self.awaits_key() => {
                self.set_key(Key::Merge);
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar(&text, style, tag.as_deref(), place)?;
                self.finish(node, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::SequenceStart(anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), "seq", OpenKind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let kind = OpenKind::Map { pairs: Vec::new(), key: None, merge: Vec::new() };
                self.open(place, anchor, tag.as_deref(), "map", kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    /// The tree; `None` if the text held no document.
    pub(super) fn finished(self) -> Option<Node> {
        self.root
    }

    fn open(&mut self, place: Place, anchor: usize, tag: Option<&Tag>, own: &str, kind: OpenKind) -> Result<(), Fault> {
        if let Some(tag) = tag.filter(|tag| !(tag.handle == CORE_TAG && tag.suffix == own)) {
            return Err(unknown_tag(tag, place));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(Fault::at(place, format!("lists and maps are nested deeper than {MAX_DEPTH}")));
        }
        self.stack.push(Open { place, anchor, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { pairs, merge, .. } => Value::Map(merged(pairs, merge)?),
        };
        self.finish(Node { place: open.place, value, text: None }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Fault::at(place, "an alias stands inside of what it refers to"));
        };
        self.copied += count(node);
        if self.copied > MAX_COPIED {
            return Err(Fault::at(place, format!("aliases copy more than {MAX_COPIED} values")));
        }
        let node = node.clone();
        self.finish(node, 0)
    }

    /// Puts a complete value where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { pairs, key, merge }) => match key.take() {
                None => *key = Some(Key::Of(checked_key(node, pairs, self.doubles.as_deref_mut())?)),
                Some(Key::Merge) => merge.push(node),
                Some(Key::Of(key)) => pairs.push((key, node)),
            },
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }))
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open { kind: OpenKind::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(new);
        }
    }
}

/// `key`, unless it is no scalar or is there already; if that is allowed, the earlier one goes.
fn checked_key(key: Node, pairs: &mut Vec<(Node, Node)>, doubles: Option<&mut Vec<Fault>>) -> Result<Node, Fault> {
    let Some(text) = key.text() else {
        return Err(key.fault(format!("{} cannot be a key", key.kind())));
    };
    if let Some(at) = pairs.iter().position(|(other, _)| other.text() == Some(text)) {
        let first = line(&pairs[at].0);
        let message = format!("the key '{text}' stands twice in the same map, first in line {first}");
        let Some(doubles) = doubles else { return Err(key.fault(message)) };
        doubles.push(key.fault(format!("{message}; the first one is not used")));
        pairs.remove(at);
    }
    Ok(key)
}

fn line(node: &Node) -> usize {
    node.place.line.unwrap_or(0)
}

/// `pairs` and, for keys that they lack, those of the maps in `merge`; earlier ones win.
fn merged(pairs: Vec<(Node, Node)>, merge: Vec<Node>) -> Result<Vec<(Node, Node)>, Fault> {
    let mut seen: HashSet<String> = pairs.iter().map(|(key, _)| key.text().unwrap_or_default().to_string()).collect();
    let mut all = Vec::new();
    for source in merge {
        let maps = match source.value {
            Value::List(items) => items,
            _ => vec![source],
        };
        for map in maps {
            let Value::Map(inherited) = map.value else {
                return Err(map.fault(format!("'<<' takes a map or a list of maps, not {}", map.kind())));
            };
            all.extend(
                inherited.into_iter().filter(|(key, _)| seen.insert(key.text().unwrap_or_default().to_string())),
            );
        }
    }
    all.extend(pairs);
    Ok(all)
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| count(key) + count(value)).sum(),
        _ => 0,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Node, Fault> {
    let value = match tag {
        None if style == ScalarStyle::Plain => resolve(text),
        None => Value::String(text.to_string()),
        Some(tag) => tagged(text, tag, &place)?,
    };
    Ok(Node { place, value, text: Some(text.to_string()) })
}

fn tagged(text: &str, tag: &Tag, place: &Place) -> Result<Value, Fault> {
    // `!` alone means: not resolved, a string.
    if tag.handle == CORE_TAG && tag.suffix == "str" || tag.handle.is_empty() && tag.suffix == "!" {
        return Ok(Value::String(text.to_string()));
    }
    let value = resolve(text);
    match (tag.handle.as_str(), tag.suffix.as_str(), &value) {
        (CORE_TAG, "int", Value::Int(_)) | (CORE_TAG, "bool", Value::Bool(_)) | (CORE_TAG, "null", Value::Null) => {
            Ok(value)
        }
        (CORE_TAG, "float", Value::Int(i)) => Ok(Value::Float(*i as f64)),
        (CORE_TAG, "float", Value::Float(_)) => Ok(value),
        (CORE_TAG, "int" | "bool" | "null" | "float", _) => {
            Err(Fault::at(place.clone(), format!("'{text}' is no {}", tag.suffix)))
        }
        _ => Err(unknown_tag(tag, place.clone())),
    }
}

fn unknown_tag(tag: &Tag, place: Place) -> Fault {
    Fault::at(place, format!("the tag {}{} is not known here", tag.handle.replace(CORE_TAG, "!!"), tag.suffix))
}
