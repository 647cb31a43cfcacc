//! Takes the values out of a node's map, and remembers what was wrong and what was left.

use crate::error::{Fault, Place};
use crate::yaml::Node;

/// The keys of one node.
pub(in crate::plan::disk) struct Fields<'a> {
    body: &'a Node,
    known: Vec<&'static str>,
    unused: Vec<&'static str>,
    /// What was wrong so far.
    pub faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    pub fn of(body: &'a Node) -> Self {
        Self { body, known: vec!["name"], unused: Vec::new(), faults: Vec::new() }
    }

    /// The name; empty if there is none.
    pub fn name(&self) -> String {
        self.body.get("name").and_then(Node::text).unwrap_or_default().to_string()
    }

    /// The name, which must not be empty.
    pub fn own_name(&mut self, plugin: &str) -> String {
        self.required(plugin, "name")
    }

    /// Where the node stands.
    pub fn place(&self) -> Place {
        self.body.place.clone()
    }

    /// Where the value of `key` stands, or the node if there is none.
    pub fn place_of(&self, key: &str) -> Place {
        self.body.get(key).unwrap_or(self.body).place.clone()
    }

    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// A list, map or scalar that is there and is not null.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.body.get(key).filter(|value| !value.is_null())
    }

    /// A scalar as written.
    pub fn optional(&mut self, key: &'static str) -> Option<&'a str> {
        let value = self.node(key)?;
        if value.text().is_none() {
            self.faults.push(value.fault(format!("{key} takes a single value, not {}", value.kind())));
        }
        value.text()
    }

    /// A scalar, converted; a failed conversion is a fault where the scalar stands.
    pub fn optional_as<T>(&mut self, key: &'static str, convert: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.optional(key)?;
        match convert(text) {
            Ok(value) => Some(value),
            Err(message) => {
                let place = self.place_of(key);
                self.faults.push(Fault::at(place, message));
                None
            }
        }
    }

    /// A scalar that must be there and not be empty; else a fault, and an empty text.
    pub fn required(&mut self, plugin: &str, key: &'static str) -> String {
        // A list or map has its fault already.
        let before = self.faults.len();
        let text = self.optional(key).unwrap_or_default();
        if text.is_empty() && self.faults.len() == before {
            self.faults.push(self.body.fault(format!("{plugin} config needs [{key}]")));
        }
        text.to_string()
    }

    /// A key that is known and means nothing here.
    pub fn unused(&mut self, key: &'static str) {
        self.unused.push(key);
    }

    /// Warns of keys that nobody asked for; `whose` names the node.
    pub fn finish(&self, whose: &str, warnings: &mut Vec<Fault>) {
        for (key, _) in self.body.as_map().unwrap_or_default() {
            let text = key.text().unwrap_or_default();
            if self.known.contains(&text) {
                continue;
            }
            let why = if self.unused.contains(&text) { "has no effect" } else { "is not known" };
            warnings.push(key.fault(format!("the key '{text}' {why} in {whose}")));
        }
    }
}
