//! `build-initramfs KVER FILE`: makes the initramfs of a kernel from the system that it runs in, with what the elements of
//! the build want in it (their `initramfs.json`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::assemble::initramfs::build::{self, Request};
use crate::error::on;
use crate::plan::initramfs::{FILE, FOLDER, Spec};

use super::{data_dir, say, var};

const USAGE: &str = "usage: build-initramfs KVER FILE";

/// Makes it. `DIB_INITRAMFS_COMPRESS` says how it is packed, `SOURCE_DATE_EPOCH` gives the time of its files.
///
/// # Errors
/// Everything that is missing.
pub fn run(args: Vec<String>) -> Result<u8> {
    let [kernel, file] = args.as_slice() else { bail!("{USAGE}") };
    let mut specs = vec![build::default_spec()];
    for description in descriptions()? {
        let text = fs::read_to_string(&description).with_context(|| on("reading", &description))?;
        specs.push(Spec::parse(&text, &description)?);
    }
    let request = Request {
        root: PathBuf::from("/"),
        kernel: kernel.clone(),
        spec: Spec::merge(specs)?,
        machine: None,
        rescue: true,
        time: var("SOURCE_DATE_EPOCH").and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
    };
    let asked = var("DIB_INITRAMFS_COMPRESS").filter(|how| !how.is_empty());
    let asked = asked.map(|how| how.parse().map_err(|why| anyhow::anyhow!("DIB_INITRAMFS_COMPRESS is '{how}': {why}")));
    let packing = build::packing(&request, asked.transpose()?);
    build::check_packing(&request.root, kernel, packing)?;
    let made = build::build(&request)?;
    for warning in &made.warnings {
        say(&format!("build-initramfs: {warning}"))?;
    }
    let budget = made.write(Path::new(file), packing, |_| Ok(()))?;
    say(&format!("build-initramfs: {file}: {} modules, {packing}: {budget}", made.modules))?;
    Ok(0)
}

/// The descriptions of the build's elements, in their order.
fn descriptions() -> Result<Vec<PathBuf>> {
    let dir = data_dir().join(FOLDER);
    if !dir.is_dir() {
        return Ok(vec![]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| on("reading", &dir))? {
        found.push(entry.with_context(|| on("reading", &dir))?.path().join(FILE));
    }
    found.sort();
    Ok(found)
}
