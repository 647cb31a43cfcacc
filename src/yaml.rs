//! YAML and JSON files as a tree of values that know where they stand, so that a fault can say
//! `file:line:column`.
//!
//! JSON is read as the subset of YAML that it is. Plain scalars are resolved by YAML 1.2's core
//! schema plus the booleans of YAML 1.1 (`yes`, `on`, …), because the files that elements bring
//! were written for a YAML 1.1 reader; the text as it was written stays available ([`Node::text`])
//! for the values whose spelling matters (`0x83`, `8300`, `1e3`).

use std::path::Path;

use saphyr_parser::{Marker, Parser, ScanError, StrInput};

use crate::error::{Fault, Place};

mod build;
mod scalar;
#[cfg(test)]
mod tests;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
    /// A scalar as written (without quotes).
    text: Option<String>,
}

/// The kinds of value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true`, `yes`, `on`, `false`, `no`, `off`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Any other scalar, and every quoted one.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in file order. Keys are scalars and differ in their text.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// A value that stands at `place` without having been written there (a default, say).
    pub fn new(place: Place, value: Value) -> Self {
        let text = match &value {
            Value::Null => Some(String::new()),
            Value::Bool(b) => Some(b.to_string()),
            Value::Int(i) => Some(i.to_string()),
            Value::Float(f) => Some(f.to_string()),
            Value::String(s) => Some(s.clone()),
            Value::List(_) | Value::Map(_) => None,
        };
        Self { place, value, text }
    }

    /// A string that stands at `place` without having been written there.
    pub fn string(place: Place, text: impl Into<String>) -> Self {
        Self::new(place, Value::String(text.into()))
    }

    /// Any scalar as it was written, without quotes; `None` for lists and maps.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The string, if this is one (`8300` is not, `'8300'` is).
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(s) = &self.value { Some(s) } else { None }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self.value { Some(b) } else { None }
    }

    /// The whole number, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(i) = self.value { Some(i) } else { None }
    }

    /// The number, if this is one, whole or not.
    pub fn as_float(&self) -> Option<f64> {
        match self.value {
            Value::Float(f) => Some(f),
            Value::Int(i) => Some(i as f64),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// The pairs, if this is a map.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        if let Value::Map(pairs) = &self.value { Some(pairs) } else { None }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Keys (as written) and values, in file order; nothing if this is no map.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.as_map().unwrap_or_default().iter().map(|(key, value)| (key.text().unwrap_or_default(), value))
    }

    /// What this is, for messages: `a map`, `a list`, `a string`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a decimal number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// A fault that stands here.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::at(self.place.clone(), message)
    }

    /// The same value without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(i) => (*i).into(),
            Value::Float(f) => (*f).into(),
            Value::String(s) => s.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(_) => self.entries().map(|(key, value)| (key.to_string(), value.to_json())).collect(),
        }
    }
}

/// The tree of a YAML or JSON text. `file` is what places name; nothing is read from it.
///
/// An empty text is null. Anchors, aliases and merge keys (`<<`) are resolved; a copied node keeps
/// the place where it was written.
///
/// # Errors
/// The first syntax error, duplicate key, unknown tag or second document.
pub fn parse(text: &str, file: &Path) -> Result<Node, Fault> {
    build(text, file, None)
}

/// As [`parse`], for files of other people's that a build must not stop at: of a key that stands twice in a map the
/// last one counts, as other readers have it, and a warning says so.
///
/// # Errors
/// As [`parse`].
pub fn parse_lenient(text: &str, file: &Path, warnings: &mut Vec<Fault>) -> Result<Node, Fault> {
    build(text, file, Some(warnings))
}

fn build(text: &str, file: &Path, doubles: Option<&mut Vec<Fault>>) -> Result<Node, Fault> {
    // A byte order mark is allowed by both formats, and an error inside of either.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new(StrInput::new(text));
    let mut builder = build::Builder::new(file, doubles);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax(&error, file))?;
        builder.take(event, span.start)?;
    }
    Ok(builder.finished().unwrap_or_else(|| Node::new(Place::at(file, 1, 1), Value::Null)))
}

fn syntax(error: &ScanError, file: &Path) -> Fault {
    Fault::at(place(file, *error.marker()), error.info())
}

fn place(file: &Path, at: Marker) -> Place {
    Place::at(file, at.line(), at.col() + 1)
}
