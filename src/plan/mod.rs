//! What a build will do, as data.

pub mod builtin;
pub mod disk;
pub mod environment;
