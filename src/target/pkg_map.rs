//! `pkg-map`: prints what the distribution calls packages (contract 4.1).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{data_dir, out, say, var};
use crate::error::Fault;
use crate::package::map::{ElementMap, Mapped, SharedMaps, Target, map};

/// Where elements' maps lie in the image, as the pkg-map element has put them there.
const INSTALLED: &str = "/usr/share/pkg-map";

const USAGE: &str = "usage: pkg-map (--element ELEMENT | --pkg-map FILE) [--distro DISTRO] [--release RELEASE] \
                     [--missing-ok] [--prefix TEXT] [--debug] NAME...";

/// All that is needed to map an element's packages.
pub(super) struct Names {
    element: Option<ElementMap>,
    shared: SharedMaps,
    distro: String,
    release: String,
}

impl Names {
    /// The maps for an element in this target: its own, if it has one, and the shared ones.
    pub(super) fn of_element(element: &str) -> Result<Self> {
        Self::new(element_file(element).as_deref(), var("DISTRO_NAME"), var("DIB_RELEASE"))
    }

    fn new(file: Option<&Path>, distro: Option<String>, release: Option<String>) -> Result<Self> {
        let Some(distro) = distro.filter(|d| !d.is_empty()) else {
            bail!("no distribution is known: DISTRO_NAME is not set and there is no --distro");
        };
        let element = file.map(ElementMap::load).transpose()?.flatten();
        let element = element.map(|(map, warnings)| warn(&warnings).map(|()| map)).transpose()?;
        let shared = shared_maps()?;
        Ok(Self { element, shared, distro, release: release.unwrap_or_default() })
    }

    /// What a name is here; `None` when no map has it.
    pub(super) fn find(&self, name: &str) -> Option<Mapped> {
        map(name, self.element.as_ref(), &self.shared, Target { distro: &self.distro, release: &self.release })
    }

    /// What a name is here, itself when no map has it.
    pub(super) fn find_or_keep(&self, name: &str) -> Vec<String> {
        self.find(name).unwrap_or_else(|| Mapped::itself(name)).packages
    }
}

/// The maps that all elements share, from beside the hooks.
pub(super) fn shared_maps() -> Result<SharedMaps> {
    Ok(SharedMaps::load(&data_dir().join("package-maps"))?)
}

fn warn(warnings: &[Fault]) -> Result<()> {
    warnings.iter().try_for_each(|warning| say(&format!("warning: {warning}")))
}

/// The map of an element, if it has one: in the image, or beside the hooks.
fn element_file(element: &str) -> Option<PathBuf> {
    let candidates = [Path::new(INSTALLED).join(element), data_dir().join("pkg-map").join(element)];
    candidates.into_iter().find(|file| file.is_file())
}

#[derive(Default)]
struct Options {
    element: Option<String>,
    file: Option<String>,
    distro: Option<String>,
    release: Option<String>,
    prefix: String,
    missing_ok: bool,
    debug: bool,
    names: Vec<String>,
}

impl Options {
    /// Options may stand anywhere; what is not known is a package's name, as callers rely on.
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (name, given) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (arg.as_str(), None),
            };
            let mut value = || given.clone().or_else(|| args.next()).with_context(|| format!("{name} needs a value"));
            match name {
                "--element" => options.element = Some(value()?),
                "--pkg-map" => options.file = Some(value()?),
                "--distro" => options.distro = Some(value()?),
                "--release" => options.release = Some(value()?),
                "--prefix" => options.prefix = value()?,
                "--missing-ok" => options.missing_ok = true,
                "--debug" => options.debug = true,
                _ => options.names.push(arg),
            }
        }
        Ok(options)
    }
}

/// Prints one line for each name that has packages here. Exit statuses are those of contract 4.1.
///
/// # Errors
/// When the question is incomplete or a map is malformed.
pub fn run(args: Vec<String>) -> Result<u8> {
    if args.iter().any(|a| a == "-h" || a == "--help") {
        return out(USAGE).map(|()| 0);
    }
    let options = Options::parse(args)?;
    let (file, label) = match (&options.element, &options.file) {
        (Some(element), None) => (element_file(element), format!("{element} element")),
        (None, Some(file)) => (Some(PathBuf::from(file)).filter(|f| f.is_file()), file.clone()),
        (None, None) => bail!("--element or --pkg-map has to be given\n{USAGE}"),
        (Some(_), Some(_)) => bail!("--element and --pkg-map cannot be given together"),
    };
    let distro = options.distro.or_else(|| var("DISTRO_NAME"));
    let names = Names::new(file.as_deref(), distro, options.release.or_else(|| var("DIB_RELEASE")))?;
    let mut lines = Vec::new();
    for name in &options.names {
        let mapped = match names.find(name) {
            Some(mapped) => mapped,
            None if options.missing_ok => Mapped::itself(name),
            None if file.is_none() => {
                say(&format!("Required pkg-map for {label} does not exist."))?;
                return Ok(2);
            }
            None => bail!("no mapping for package '{name}' on {} in the pkg-map for {label}", names.distro),
        };
        if options.debug {
            say(&format!("pkg-map: {name} is '{}' by {}", mapped.packages.join(" "), mapped.source))?;
        }
        if !mapped.packages.is_empty() {
            lines.push(format!("{}{}", options.prefix, mapped.packages.join(" ")));
        }
    }
    // Only now: a caller that substitutes our output must not see half of it.
    lines.iter().try_for_each(|line| out(line))?;
    Ok(0)
}
