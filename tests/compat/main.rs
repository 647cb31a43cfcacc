//! Compatibility: elements and callers of other projects, unchanged. One program, so that two tests run at any time; those that
//! mount where all see it are programs of their own (compat_lib.rs, compat_block_device.rs).

mod functional;
mod ironic;
mod octavia;
#[path = "../support/mod.rs"]
mod support;
mod trees;
