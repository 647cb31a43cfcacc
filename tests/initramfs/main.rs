//! The commands of initramfs images, on images that distributions' tools make and on our own.

mod build;
mod check;
mod edit;
mod modules;
mod read;
#[path = "../support/mod.rs"]
mod support;
