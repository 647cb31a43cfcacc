//! One file per verb, each with a `run`.
pub mod boot;
pub mod doctor;
