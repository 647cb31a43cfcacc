//! `image-create initramfs check`: what is missing in an image.

use std::path::Path;

use anyhow::{Context, Result};

use crate::assemble::initramfs::check::{Driver, Report, check};
use crate::assemble::initramfs::modules::profile::GATHER_SCRIPT;
use crate::assemble::initramfs::modules::{Index, Profile, kernels};
use crate::assemble::initramfs::segments::{Image, Limits};
use crate::assemble::initramfs::tree::{Keep, Tree};
use crate::assemble::initramfs::view::{RootDir, View};
use crate::cli::initramfs_check::CheckArgs;
use crate::error::{EXIT_BUILD, on};
use crate::report::Reporter;

/// Checks the image or directory that `args` name, and prints what was found.
///
/// # Errors
/// It cannot be read, or the profile is wrong. What is missing in it is no error here: the exit code tells.
pub fn run(args: &CheckArgs, limits: Limits, reporter: &Reporter) -> Result<u8> {
    if args.print_gather_script {
        Reporter::result(GATHER_SCRIPT.trim_end());
        return Ok(0);
    }
    if let Some(dir) = &args.root_dir {
        let view = RootDir::new(dir).with_context(|| on("reading", dir))?;
        return check_view(&view, dir, args);
    }
    let Some(file) = &args.file else { return Ok(0) };
    let (tree, segments) = Tree::read(&Image::new(file, limits), Keep::Contents)?;
    for segment in &segments {
        if let Some(warning) = &segment.warning {
            reporter.warn(format!("the kernel would not read segment {}: {warning}", segment.number));
        }
    }
    check_view(&tree, file, args)
}

/// Checks what `view` shows of `place`, and prints what was found.
///
/// # Errors
/// It cannot be read, or the profile is wrong.
pub fn check_view(view: &dyn View, place: &Path, args: &CheckArgs) -> Result<u8> {
    let profile = args.hardware.as_deref().map(profile).transpose()?;
    let full = args.modules_root.as_deref().map(|root| full_index(root, view)).transpose()?.flatten();
    let report = check(view, profile.as_ref(), full.as_ref()).with_context(|| on("reading", place))?;
    let text = if args.json {
        serde_json::to_string_pretty(&report).context("writing JSON")?
    } else {
        text(&report, profile.is_some())
    };
    Reporter::result(text.trim_end());
    Ok(if report.is_good() { 0 } else { EXIT_BUILD })
}

fn profile(path: &Path) -> Result<Profile> {
    let text = std::fs::read_to_string(path).with_context(|| on("reading", path))?;
    Ok(Profile::parse(path, &text)?)
}

/// All modules of the first kernel of the image that has some.
fn full_index(root: &Path, image: &dyn View) -> Result<Option<Index>> {
    let view = RootDir::new(root).with_context(|| on("reading", root))?;
    let Some(kernel) = kernels(image).into_iter().next() else { return Ok(None) };
    let index = Index::load(&view, &kernel).with_context(|| on("looking for modules in", root))?;
    Ok(Some(index))
}

fn text(report: &Report, with_devices: bool) -> String {
    let mut lines = Vec::new();
    let init = report.init.as_ref().map_or_else(|| "none".to_owned(), |init| init.display().to_string());
    lines.push(format!("init: {init}"));
    for kernel in &report.kernels {
        lines.push(format!("kernel: {}, {} modules", kernel.version, kernel.modules));
    }
    let counts = &report.counts;
    lines.push(format!(
        "looked into: {} programs, {} libraries, {} scripts, {} links",
        counts.programs, counts.libraries, counts.scripts, counts.links
    ));
    if with_devices {
        lines.extend(devices(report));
    }
    if !report.missing_firmware.is_empty() {
        let count = report.missing_firmware.len();
        lines.push(format!("firmware: {count} files that modules name are not there (--json lists them)"));
    }
    lines.extend(report.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.extend(report.errors.iter().map(|error| format!("error: {error}")));
    if report.is_good() {
        lines.push("nothing is missing".to_owned());
    }
    lines.join("\n")
}

fn devices(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut known = 0;
    let mut unknown = Vec::new();
    for device in &report.devices {
        let name = match &device.path {
            Some(path) => format!("{path} ({})", device.modalias),
            None => device.modalias.clone(),
        };
        match &device.driver {
            Driver::Module { .. } | Driver::BuiltIn { .. } => known += 1,
            Driver::Missing { modules } => {
                lines.push(format!("error: no driver for {name}: the image lacks {}", modules.join(", ")))
            }
            Driver::Blacklisted { modules } => lines.push(format!(
                "no driver for {name}: modprobe.d of the image keeps {} from being loaded",
                modules.join(", ")
            )),
            Driver::Unknown => unknown.push(format!("  {name}")),
        }
    }
    lines.insert(0, format!("devices: {known} of {} have a driver", report.devices.len()));
    if !unknown.is_empty() {
        lines.push(format!("no known module is for {} devices; most need none:", unknown.len()));
        lines.extend(unknown);
    }
    lines
}
