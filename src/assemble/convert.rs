//! Converts the raw disk to the formats of qemu-img.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::host;
use crate::error::{Fault, Faults};
use crate::plan::output::{Compression, Format, OutputOptions, Tool};
use crate::report::Reporter;

/// Requests in flight: more than there are processors, so that reading never waits for compression.
const COROUTINES: &str = "8";

/// Converts `raw` to `target`.
///
/// # Errors
/// When qemu-img is missing or fails.
pub fn convert(raw: &Path, target: &Path, format: Format, options: &OutputOptions, reporter: &Reporter) -> Result<()> {
    let Some(name) = format.qemu_name() else { bail!("{format} is not one of qemu-img's formats") };
    let mut cmd = host::command(Tool::QEMU_IMG)?.args(["convert", "-f", "raw", "-O", name, "-m", COROUTINES]);
    if options.epoch.is_none() {
        // Writing out of order is faster, but no two files come out the same.
        cmd = cmd.arg("-W");
    }
    if format == Format::Qcow2 && options.compression != Compression::None {
        cmd = cmd.arg("-c");
    }
    let given = options.qemu_img_options.as_deref().unwrap_or("");
    let known = if given.is_empty() { BTreeSet::new() } else { known_options(name)? };
    for option in option_list(format, options, given, &known) {
        cmd = cmd.args(["-o", &option]);
    }
    cmd.arg(plain(raw)).arg(plain(target)).run(reporter)
}

/// A path that qemu-img takes for one: it reads `a:b` as protocol and file unless a slash comes first.
fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

/// Checks that each option of `--qemu-img-options` is known to one of the formats. A mixed list is fine: each format
/// gets those that it knows.
///
/// # Errors
/// A fault for each option that nobody knows; or qemu-img is missing.
pub fn check_options(formats: &[Format], options: &OutputOptions) -> Result<()> {
    let Some(given) = options.qemu_img_options.as_deref().filter(|g| !g.is_empty()) else { return Ok(()) };
    let names: Vec<&str> = formats.iter().filter_map(|f| f.qemu_name()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    for name in &names {
        known.extend(known_options(name)?);
    }
    let unknown = split(given).into_iter().filter(|o| !known.contains(key(o)));
    let faults = unknown.map(|option| {
        Fault::new(format!("qemu-img has no option '{}' for {}", key(option), names.join(", ")))
            .hint(format!("it knows: {}", known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")))
    });
    Ok(Faults::or(faults.collect(), ())?)
}

/// The arguments of `-o` for a format: the user's as far as the format knows them, then ours.
fn option_list(format: Format, options: &OutputOptions, given: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut list: Vec<String> =
        split(given).into_iter().filter(|o| known.contains(key(o))).map(str::to_owned).collect();
    let has = |name: &str| list.iter().any(|o| key(o) == name);
    match format {
        // The old format version cannot say that it is compressed with zstd.
        Format::Qcow2 if !has("compression_type") && !list.iter().any(|o| o == "compat=0.10" || o == "compat=v2") => {
            match options.compression {
                Compression::Zstd => list.push("compression_type=zstd".to_owned()),
                Compression::Zlib => list.push("compression_type=zlib".to_owned()),
                Compression::None => {}
            }
        }
        // Without it qemu-img rounds the size to a whole number of cylinders.
        Format::Vhd if !has("force_size") => list.push("force_size=on".to_owned()),
        _ => {}
    }
    list
}

/// Splits `a=b,c=d`; a doubled comma stands for one in a value.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match (bytes[i], bytes.get(i + 1)) {
            (b',', Some(b',')) => i += 1,
            (b',', _) => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
        i += 1;
    }
    parts.push(&text[start..]);
    parts.retain(|p| !p.is_empty());
    parts
}

fn key(option: &str) -> &str {
    option.split('=').next().unwrap_or(option)
}

/// The options that qemu-img has for a format.
fn known_options(format: &str) -> Result<BTreeSet<String>> {
    let text = host::command(Tool::QEMU_IMG)?
        .args(["create", "-f", format, "-o", "help"])
        .read()
        .with_context(|| format!("asking qemu-img for the options of {format}"))?;
    let names = text.lines().filter_map(|l| l.trim_start().split_once("=<")).map(|(name, _)| name.to_owned());
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &str) -> OutputOptions {
        OutputOptions { qemu_img_options: Some(given.to_owned()), ..Default::default() }
    }

    #[test]
    fn options_are_split_as_qemu_does() {
        assert_eq!(split("a=1,b=x,,y,c=2"), ["a=1", "b=x,,y", "c=2"]);
        assert_eq!(split(""), [] as [&str; 0]);
    }

    #[test]
    fn each_format_gets_what_it_knows() {
        let known: BTreeSet<String> = ["cluster_size", "compat", "compression_type"].map(str::to_owned).into();
        let list = |given: &str, f| option_list(f, &options(given), given, &known);
        let given = "cluster_size=1M,subformat=fixed";
        assert_eq!(list(given, Format::Qcow2), ["cluster_size=1M", "compression_type=zstd"]);
        assert_eq!(list("compression_type=zlib", Format::Qcow2), ["compression_type=zlib"]);
        assert_eq!(list("compat=0.10", Format::Qcow2), ["compat=0.10"]);
        assert_eq!(list("", Format::Vhd), ["force_size=on"]);
    }

    #[test]
    fn an_option_that_no_format_knows_is_a_fault() {
        let formats = [Format::Qcow2, Format::Qemu("vmdk")];
        check_options(&formats, &options("cluster_size=1M,subformat=streamOptimized")).unwrap();
        let error = check_options(&formats, &options("cluster_sise=1M")).unwrap_err();
        assert!(error.to_string().contains("no option 'cluster_sise' for qcow2, vmdk"), "{error}");
    }
}
