//! `dib-init-system`: prints which init system the image has.

use anyhow::{Result, bail};

use super::{out, var};

/// The init systems that elements carry scripts for.
const KNOWN: &[&str] = &["openrc", "systemd", "sysv", "upstart"];

/// Prints `$DIB_INIT_SYSTEM`.
///
/// # Errors
/// When the operating-system element has not set it, or to something unknown.
pub fn run(_args: Vec<String>) -> Result<u8> {
    match var("DIB_INIT_SYSTEM") {
        Some(name) if KNOWN.contains(&name.as_str()) => out(&name).map(|()| 0),
        Some(name) => bail!("DIB_INIT_SYSTEM is '{name}', which is none of {}", KNOWN.join(", ")),
        None => bail!("DIB_INIT_SYSTEM is not set: the operating-system element's environment.d has to export it"),
    }
}
