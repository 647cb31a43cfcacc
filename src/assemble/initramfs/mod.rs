//! Initramfs images: read, edited, built and proven without root, unpacked trees or shell pipelines.
//!
//! An initramfs is a row of cpio archives, each plain or compressed as a whole, that the kernel unpacks
//! one over the other (`Documentation/driver-api/early-userspace/buffer-format.rst` of Linux).

pub mod closure;
pub mod entry;
pub mod modules;
pub mod view;
