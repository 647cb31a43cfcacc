//! Packages: which ones each phase installs, what a distribution calls them, and the command
//! lines of its package manager. Deciding half.

pub mod condition;
pub mod dnf;
pub mod installs;
pub mod lists;
pub mod manager;
pub mod map;
pub mod openpgp;
pub mod shared;
pub mod squash;
pub mod svc;

use std::collections::BTreeMap;

/// What is known about a variable of the environment that hooks will see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Var {
    /// It has this value.
    Set(String),
    /// It is certainly not set.
    Unset,
    /// It will only be known during the build: an `environment.d` file computes it.
    Unknown,
}

/// Looks a variable up.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Var;

/// A lookup in an environment that is known in full.
pub fn known(environment: &BTreeMap<String, String>) -> impl Fn(&str) -> Var + '_ {
    |name| environment.get(name).map_or(Var::Unset, |value| Var::Set(value.clone()))
}
