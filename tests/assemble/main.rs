//! Assembling on real trees, checked by other people's tools. Needs root; a missing tool is a failure.

mod attach;
mod disks;
mod lvm;
mod lvm_tools;
mod outputs;
mod support;
mod tables;
