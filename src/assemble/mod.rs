//! Turns finished trees into outputs: disks, filesystems, archives.
//!
//! Disks are written without loop devices wherever the filesystem allows it.

pub mod archive;
pub mod attach;
pub mod bootloader;
pub mod convert;
pub mod disk;
mod ext;
mod ext_inodes;
mod fat;
mod fat_entry;
mod fat_geometry;
pub mod filesystem;
mod gzip;
pub mod host;
pub mod identity;
pub mod initramfs;
pub mod kernel;
pub mod loop_device;
pub mod lvm;
mod mbr;
pub mod migration;
pub mod oci;
pub mod outputs;
pub mod publish;
pub mod sparse;
pub mod split;
mod swap;
pub mod table;
