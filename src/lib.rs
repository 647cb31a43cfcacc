//! The library behind `image-create`: turns elements into OS images.
//!
//! Two halves. The deciding half ([`element`], [`package`], [`plan`], [`request`]) reads files and
//! returns values; the doing half ([`exec`], [`assemble`], [`target`]) takes a finished
//! [`plan::Plan`] and changes the machine.

pub mod assemble;
pub mod boot;
pub mod cli;
pub mod cmd;
pub mod distro;
pub mod element;
pub mod error;
pub mod exec;
pub mod frontend;
pub mod host;
pub mod lint;
pub mod near;
pub mod package;
pub mod plan;
pub mod report;
pub mod request;
pub mod target;
pub mod yaml;
