//! What a build will do, as data.

pub mod disk;
pub mod output;
