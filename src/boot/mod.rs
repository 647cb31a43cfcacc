//! Boots images under QEMU and talks to them on the serial console.
//!
//! ```no_run
//! # use image_create::{boot::{Guest, Machine, Medium, pattern}, report::Reporter};
//! # use std::{path::Path, time::Duration};
//! let image = Medium::detect(Path::new("out/debian.qcow2"))?;
//! let mut guest = Guest::start(Machine::from_image(image), &Reporter::quiet())?;
//! guest.expect(&pattern("login: $")?, Duration::from_secs(300))?;
//! guest.close()?;
//! # anyhow::Ok(())
//! ```
//!
//! The guest gets a serial port, a virtio disk, virtio networking behind QEMU's user-mode NAT, and
//! nothing of this host but its processor time. The image is not written unless
//! [`Machine::writable`] says so.

mod accel;
mod console;
mod control;
mod firmware;
mod guest;
mod interactive;
mod medium;
mod qemu;
mod shell;
mod signals;

pub use accel::{Accel, AccelChoice};
pub use console::{Decoder, Transcript, pattern};
pub use firmware::Ovmf;
pub use guest::{Guest, TAIL};
pub use medium::Medium;
pub use qemu::{DirectBoot, Machine, PortForward, QEMU};
pub use shell::Answer;
pub use signals::Signals;
