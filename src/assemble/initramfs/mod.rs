//! Initramfs images: read, edited, built and proven without root, unpacked trees or shell pipelines.
//!
//! An initramfs is a row of cpio archives, each plain or compressed as a whole, that the kernel unpacks
//! one over the other (`Documentation/driver-api/early-userspace/buffer-format.rst` of Linux).

pub mod build;
pub mod check;
pub mod closure;
pub mod compression;
pub mod cpio;
pub mod edit;
pub mod entry;
pub mod extract;
mod input;
pub mod modules;
pub mod names;
pub mod segments;
pub mod tree;
pub mod view;
pub mod write;
