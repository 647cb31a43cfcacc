//! Kernel modules: which files a name, an alias or a device asks for, and the indexes that modprobe reads.
//!
//! Source of the formats: depmod(8), `modules.dep(5)` and libkmod of kmod.

pub mod aliases;
mod compressed;
pub mod firmware;
pub mod index;
mod load;
pub mod modinfo;
pub mod names;
pub mod profile;
mod scan;
pub mod select;
pub mod settings;
pub mod tables;
#[cfg(test)]
mod tests;
mod trie;

pub use compressed::unpacked;
pub use index::{Index, IndexError, Module, kernels};
pub use profile::Profile;
pub use select::{Picked, Selection};
pub use tables::Tables;
