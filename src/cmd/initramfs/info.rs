//! `image-create initramfs info`.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::assemble::initramfs::compression::Compression;
use crate::assemble::initramfs::entry::{escaped, shown};
use crate::assemble::initramfs::segments::{Image, Segment};
use crate::assemble::initramfs::tree::{Keep, Lost, Tree};
use crate::cli::initramfs::InfoArgs;
use crate::report::Reporter;

/// Where kernels look for microcode before they unpack anything (`arch/x86/microcode.rst` of Linux).
const MICROCODE: &str = "kernel/x86/microcode";

/// What is known about an image.
#[derive(Serialize)]
struct Info {
    segments: Vec<Segment>,
    entries: u64,
    unpacked: u64,
    kernels: Vec<Kernel>,
    microcode: Vec<String>,
    passed_over: Vec<String>,
}

#[derive(Serialize)]
struct Kernel {
    version: String,
    modules: usize,
}

/// Prints segments, kernels and microcode.
pub fn run(args: &InfoArgs, image: &Image, reporter: &Reporter) -> Result<()> {
    let (tree, segments) = Tree::read(image, Keep::Lengths)?;
    let info = Info {
        entries: segments.iter().map(|s| s.entries).sum(),
        unpacked: segments.iter().map(|s| s.unpacked).sum(),
        segments,
        kernels: kernels(&tree),
        microcode: microcode(&tree),
        passed_over: tree.lost().iter().map(lost).collect(),
    };
    for segment in &info.segments {
        if let Some(warning) = &segment.warning {
            reporter.warn(format!("the kernel would not read segment {}: {warning}", segment.number));
        }
    }
    let text = if args.json { serde_json::to_string_pretty(&info).context("writing JSON")? } else { text(&info) };
    Reporter::result(text.trim_end());
    Ok(())
}

fn lost(lost: &Lost) -> String {
    let segment = lost.at.map_or_else(String::new, |at| format!(" in segment {}", at.segment));
    format!("{}{segment}: {}", shown(&lost.name), lost.why)
}

/// The versions of which there are modules, and how many.
fn kernels(tree: &Tree) -> Vec<Kernel> {
    let Some((dir, _)) = tree.follow("lib/modules") else { return Vec::new() };
    let names = |path: &[u8]| tree.names(path).unwrap_or_default();
    let versions = names(&dir).into_iter().filter(|name| {
        tree.get([&dir[..], name].join(&b'/')).is_some_and(crate::assemble::initramfs::entry::Entry::is_dir)
    });
    let entries = tree.entries();
    let kernel = |version: Vec<u8>| {
        let prefix = [&dir[..], &version, b""].join(&b'/');
        let module =
            |name: &[u8]| [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().any(|ending| name.ends_with(ending.as_bytes()));
        let modules = entries.iter().filter(|e| e.name.starts_with(&prefix) && module(&e.name)).count();
        Kernel { version: escaped(&version), modules }
    };
    versions.map(kernel).collect()
}

fn microcode(tree: &Tree) -> Vec<String> {
    let names = tree.names(MICROCODE.as_bytes()).unwrap_or_default();
    names.iter().map(|name| escaped(name).trim_end_matches(".bin").to_owned()).collect()
}

fn text(info: &Info) -> String {
    let mut text = format!(
        "{:>7}  {:>10}  {:>10}  {:<11}  {:<6}  {:>7}  {:>11}\n",
        "segment", "offset", "length", "compression", "format", "entries", "unpacked"
    );
    for s in &info.segments {
        let format = match s.format {
            Some(crate::assemble::initramfs::cpio::Format::Newc) => "newc",
            Some(crate::assemble::initramfs::cpio::Format::Crc) => "crc",
            None => "-",
        };
        let plain = s.compression == Compression::None;
        let unpacked = if plain { s.len } else { s.unpacked };
        text.push_str(&format!(
            "{:>7}  {:>10}  {:>10}  {:<11}  {format:<6}  {:>7}  {unpacked:>11}\n",
            s.number, s.offset, s.len, s.compression, s.entries
        ));
        if s.trailers == 0 {
            text.push_str("         (no end mark: the kernel takes it, cpio complains)\n");
        }
    }
    for kernel in &info.kernels {
        text.push_str(&format!("kernel: {}, {} modules\n", kernel.version, kernel.modules));
    }
    if !info.microcode.is_empty() {
        text.push_str(&format!("microcode: {}\n", info.microcode.join(", ")));
    }
    for lost in &info.passed_over {
        text.push_str(&format!("the kernel passes over {lost}\n"));
    }
    text
}
