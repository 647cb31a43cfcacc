//! What is known of a shell at one point.

use std::collections::{BTreeMap, BTreeSet};

use super::Value;

/// Variables that bash sets by itself: when nobody else did, they are not unset.
const SET_BY_BASH: &[&str] = &[
    "BASH",
    "BASHPID",
    "BASH_SOURCE",
    "BASH_VERSION",
    "EUID",
    "FUNCNAME",
    "HOSTNAME",
    "HOSTTYPE",
    "IFS",
    "LINENO",
    "MACHTYPE",
    "OLDPWD",
    "OPTIND",
    "OSTYPE",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "UID",
];

/// The shell's variables at one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// All variables that are set.
    pub vars: BTreeMap<String, Value>,
    /// Names that are marked for export, set or not.
    pub exported: BTreeSet<String>,
    /// Functions, each with the names that its body assigns.
    pub functions: BTreeMap<String, BTreeSet<String>>,
}

impl State {
    /// A shell that starts with these variables exported.
    pub fn new(vars: BTreeMap<String, Value>) -> Self {
        Self { exported: vars.keys().cloned().collect(), vars, functions: BTreeMap::new() }
    }

    /// The variables that programs started by this shell see.
    pub fn exported(self) -> BTreeMap<String, Value> {
        let exported = self.exported;
        self.vars.into_iter().filter(|(name, _)| exported.contains(name)).collect()
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: Value) {
        self.vars.insert(name.to_owned(), value);
    }

    /// For names that something unknown may have set: they count as exported, so that they are seen.
    pub fn forget<'n>(&mut self, names: impl IntoIterator<Item = &'n String>) {
        for name in names {
            self.exported.insert(name.clone());
            self.set(name, Value::Unknown);
        }
    }

    /// What is known of a variable; none when it is unset.
    pub fn current(&self, name: &str) -> Option<Value> {
        let known = self.vars.get(name).cloned();
        known.or_else(|| SET_BY_BASH.contains(&name).then_some(Value::Unknown))
    }

    /// What holds whichever of the two ways was taken.
    pub fn merge(mut self, other: Self) -> Self {
        let names: BTreeSet<String> = self.vars.keys().chain(other.vars.keys()).cloned().collect();
        for name in names {
            let same_export = self.exported.contains(&name) == other.exported.contains(&name);
            if self.vars.get(&name) != other.vars.get(&name) || !same_export {
                self.vars.insert(name, Value::Unknown);
            }
        }
        self.exported.extend(other.exported);
        self.functions.extend(other.functions);
        self
    }
}

/// Whether a command succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It succeeds.
    True,
    /// It fails.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Status {
    /// The status of a known outcome.
    pub fn of(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }

    /// The opposite.
    pub fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    /// True if either is.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            _ => Self::Unknown,
        }
    }

    /// True if both are.
    pub fn and(self, other: Self) -> Self {
        self.not().or(other.not()).not()
    }
}
