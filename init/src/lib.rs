//! The first program of an initramfs: loads the drivers of the machine that it finds itself on, finds
//! the root file system, mounts it and hands over to the real init.
//!
//! It is one static program that needs nothing else in the initramfs but kernel modules. `lvm` is called if
//! the root is on a logical volume, `fsck.TYPE` and a shell are used if they are there. The folder
//! `/etc/initramfs` of the image directs it: `load` names modules, `hooks.d/STAGE/` holds programs.

pub mod alias;
pub mod cmdline;
pub mod coldplug;
pub mod console;
pub mod devices;
pub mod hooks;
pub mod lvm;
pub mod modprobe;
pub mod modules;
pub mod mounts;
pub mod probe;
pub mod rescue;
pub mod root;
pub mod root_spec;
pub mod switch;
