//! What `environment.d` files will set, told without running them.
//!
//! The planner has to know `DISTRO_NAME`, `DIB_RELEASE` and what `when` conditions look at. Most of
//! these files are plain assignments with defaults and conditions, and those are evaluated here as
//! bash would. Where the outcome depends on something that only bash can tell (a command's output,
//! a file's presence), every way through is followed, and a variable that differs among them is
//! [`Value::Unknown`]. Nothing is ever run.
//!
//! The build itself sources the files with bash; this is the plan's view only.

mod evaluate;
mod expand;
mod parser;
mod pattern;
mod state;
mod syntax;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::error::{Fault, Faults, Place};

use state::State;

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Its value.
    Known(String),
    /// It may be unset or have any value.
    Unknown,
}

impl Value {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&str> {
        match self {
            Value::Known(text) => Some(text),
            Value::Unknown => None,
        }
    }
}

/// The variables that hooks get to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticEnv {
    /// By name. A name that is not here is unset.
    pub values: BTreeMap<String, Value>,
}

impl StaticEnv {
    /// An environment of known values.
    pub fn new(values: &BTreeMap<String, String>) -> Self {
        Self { values: values.iter().map(|(name, text)| (name.clone(), Value::Known(text.clone()))).collect() }
    }

    /// The same with names that the build will set to something that the plan cannot know (`TMP_BUILD_DIR`).
    pub fn with_unknown<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        for name in names {
            self.values.entry(name.into()).or_insert(Value::Unknown);
        }
        self
    }

    /// What is known of a variable; none when it is unset.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The value of a variable that is set and known.
    pub fn known(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::known)
    }

    /// Sources a text.
    pub fn source(&mut self, text: &str) {
        let mut state = State::new(std::mem::take(&mut self.values));
        evaluate::source(&mut state, text);
        self.values = state.exported();
    }
}

/// Sources these files in this order, with these variables exported before.
///
/// # Errors
/// One fault for each file that cannot be read as text.
pub fn evaluate<P: AsRef<Path>>(files: &[P], initial: &BTreeMap<String, String>) -> Result<StaticEnv, Faults> {
    evaluate_from(files, StaticEnv::new(initial))
}

/// [`evaluate`], from an environment of which not all is known.
///
/// # Errors
/// One fault for each file that cannot be read as text.
pub fn evaluate_from<P: AsRef<Path>>(files: &[P], initial: StaticEnv) -> Result<StaticEnv, Faults> {
    let mut faults = Vec::new();
    // One shell sources all files, so variables that are not exported go on from file to file.
    let mut state = State::new(initial.values);
    for file in files.iter().map(AsRef::as_ref) {
        match fs::read(file) {
            Ok(bytes) => evaluate::source(&mut state, &String::from_utf8_lossy(&bytes)),
            Err(e) => faults.push(Fault::at(Place::file(file), format!("reading it failed: {e}"))),
        }
    }
    Faults::or(faults, StaticEnv { values: state.exported() })
}

/// The names that a text seems to assign anywhere: for what cannot be parsed.
fn names_assigned(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, _) in text.match_indices('=') {
        let before = text[..at].trim_end_matches(['+', ':']);
        let start =
            before.rfind(|c| !is_name(c)).map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        let name = &before[start..];
        if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
            names.insert(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests;
