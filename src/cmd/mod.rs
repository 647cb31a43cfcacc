//! One file per verb, each with a `run` that returns the exit code.

pub mod boot;
pub mod build;
pub mod doctor;
pub mod element;
pub mod plan;
pub mod shell;
