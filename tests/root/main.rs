//! Root tier: whole builds of small systems, as root. All of it is one program, so that two tests run at any time.

mod bls;
mod build;
mod callers;
mod dnf;
mod dracut;
mod elements;
mod extract_image;
mod generic;
mod generic_debian;
mod layers;
mod lvm;
mod ramdisk;
mod redhat;
mod rocky;
mod rocky_bad;
mod signals;
#[path = "../support/mod.rs"]
mod support;
