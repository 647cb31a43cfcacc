//! The doing half: runs a plan's phases against a root tree.
//!
//! Three processes. The *supervisor* ([`isolation::supervise`]) owns the work directory and waits;
//! below it an *init* is process 1 of new PID, mount, IPC and UTS namespaces; below that the
//! *executor* ([`executor`]) runs the phases. When init dies, for whatever reason, the kernel
//! takes down every process and every mount of the build, so the supervisor has only files to remove.

pub mod api_mounts;
pub mod block_state;
pub mod breakpoint;
pub mod command;
pub mod disks;
pub mod environment;
pub mod executor;
mod explained;
pub mod finish;
pub mod hook_variables;
pub mod isolation;
pub mod labels;
pub mod layers;
pub mod leftovers;
pub mod mount;
pub mod phase;
pub mod resolv_conf;
pub mod stream;
pub mod tools;
pub mod work_dir;
