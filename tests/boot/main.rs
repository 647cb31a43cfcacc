//! Boot tier: what was built runs in QEMU, and is read on its serial console. All of it is one program, so that two tests
//! run at any time: each guest has one processor, and a machine of two is busy to the end.

mod appliance;
mod debian;
mod guest;
mod initramfs;
mod rocky;
mod selinux;
mod services;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
