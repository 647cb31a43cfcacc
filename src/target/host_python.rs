//! `DIB_PYTHON_EXEC SCRIPT [ARG]...`: the Python that elements start on the host, unless the caller names one.
//!
//! Elements start with it what diskimage-builder's own elements bring along, and that needs Python modules which
//! this program takes the place of. Such a script's work is done here, so a host without Python builds all the same.
//! Anything else goes to the host's Python.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{block_device, package_squash};
use crate::error::HostNotReady;

/// The name of this tool.
pub const NAME: &str = "host-python";

/// Runs a known script's work, or the host's Python in place of this process.
///
/// # Errors
/// What the script's work says; no Python on the host.
pub fn run(args: Vec<String>) -> Result<u8> {
    match args.first().and_then(|first| known(first)) {
        Some(tool) => tool(args[1..].to_vec()),
        None => start("python3", &args),
    }
}

/// The tool that does a script's work.
fn known(script: &str) -> Option<super::Tool> {
    match Path::new(script).file_name()?.to_str()? {
        "package-installs-squash" => Some(package_squash::run),
        "dib-block-device.py" | "dib-block-device" => Some(block_device::run),
        _ => None,
    }
}

fn start(python: &str, args: &[String]) -> Result<u8> {
    let error = Command::new(python).args(args).exec();
    if error.kind() == ErrorKind::NotFound {
        let what = args.first().map_or_else(|| "An element".to_owned(), Clone::clone);
        let message = format!("{what} needs Python, and this host has none");
        return Err(HostNotReady::new(message, "install python3, or name a Python with DIB_PYTHON_EXEC").into());
    }
    Err(error).with_context(|| format!("starting {python}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_need_upstreams_modules_are_known_by_their_names() {
        assert!(known("/hooks/extra-data.d/../bin/package-installs-squash").is_some());
        assert!(known("/lib/dib-block-device.py").is_some());
        assert!(known("-c").is_none());
        assert!(known("/hooks/bin/mine").is_none());
    }

    #[test]
    fn a_host_without_python_is_told_so() {
        let error = start("no-such-python3", &["/hooks/bin/mine".into()]).unwrap_err();
        let text = crate::error::render(&error);
        assert!(text.contains("/hooks/bin/mine needs Python, and this host has none"), "{text}");
        assert!(text.contains("DIB_PYTHON_EXEC"), "{text}");
    }
}
