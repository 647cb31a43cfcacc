//! The doing half: runs a plan's phases against a root tree.

pub mod command;
pub mod mount;
