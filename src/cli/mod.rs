//! Command line definitions: clap structs only, one file per verb.
pub mod boot;
pub mod doctor;
