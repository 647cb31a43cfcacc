//! One file per verb, each with a `run` that returns the exit code.

pub mod boot;
pub mod build;
pub mod dib_lint;
pub mod diskimage_builder;
pub mod doctor;
pub mod element;
pub mod element_info;
pub mod initramfs;
pub mod lint;
pub mod old_names;
pub mod plan;
pub mod shell;
