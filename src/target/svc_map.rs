//! `svc-map NAME…` prints what the distribution calls services; `svc-map-merge DEST` writes the
//! file that it answers from (contract 4.5).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::package_squash::directories;
use super::{out, say, var};
use crate::error::on;
use crate::package::svc;
use crate::yaml;

/// Where the merged map lies in the image.
const SERVICES: &str = "/usr/share/svc-map/services";

/// Prints one line for each name: the name itself when the target has a service of that name, else
/// what the map says, else the name.
///
/// # Errors
/// Only when stdout is gone: a name is always answered.
pub fn run(args: Vec<String>) -> Result<u8> {
    let file = Path::new(SERVICES);
    let services = match fs::read_to_string(file).map(|text| svc::parse(&text, file)) {
        Ok(Ok(services)) => services,
        Ok(Err(fault)) => {
            say(&format!("svc-map: {fault}"))?;
            svc::Services::new()
        }
        // No element has a svc-map.
        Err(_) => svc::Services::new(),
    };
    for name in &args {
        let known = [format!("/lib/systemd/system/{name}.service"), format!("/etc/init/{name}.conf")];
        let mapped = if known.iter().any(|f| Path::new(f).exists()) { None } else { services.get(name) };
        out(mapped.unwrap_or(name))?;
    }
    Ok(0)
}

/// Writes the merged map of the build's elements for `$DISTRO_NAME`.
///
/// # Errors
/// Every mistake in the elements' files; no destination or distribution; a file that cannot be written.
pub fn run_merge(args: Vec<String>) -> Result<u8> {
    let [dest] = &args[..] else { bail!("usage: svc-map-merge DEST") };
    let dest = Path::new(dest);
    let Some(distro) = var("DISTRO_NAME") else { bail!("DISTRO_NAME is not set") };
    let services = svc::merge(&elements()?, &distro)?;
    if let Some(dir) = dest.parent() {
        fs::create_dir_all(dir).with_context(|| on("creating", dir))?;
    }
    fs::write(dest, svc::render(&services)).with_context(|| on("writing", dest))?;
    fs::set_permissions(dest, fs::Permissions::from_mode(0o644)).with_context(|| on("setting the mode of", dest))?;
    Ok(0)
}

/// The build's elements with their directories, as the engine exports them.
fn elements() -> Result<Vec<(String, PathBuf)>> {
    if let Some(text) = var("IMAGE_ELEMENT_YAML").filter(|t| !t.is_empty()) {
        let root = yaml::parse(&text, Path::new("IMAGE_ELEMENT_YAML")).map_err(crate::error::Faults::from)?;
        let pairs = root.entries().filter_map(|(name, dir)| Some((name.to_owned(), PathBuf::from(dir.text()?))));
        return Ok(pairs.collect());
    }
    let (Some(elements), Some(path)) = (var("IMAGE_ELEMENT"), var("ELEMENTS_PATH")) else {
        bail!("neither IMAGE_ELEMENT_YAML nor IMAGE_ELEMENT and ELEMENTS_PATH are set");
    };
    Ok(directories(&elements, &path))
}
