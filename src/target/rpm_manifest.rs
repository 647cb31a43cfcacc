//! `rpm-manifest FILE`: writes the list of the target's packages as JSON, each with its version, its vendor, the key that signed
//! it, and the elements that it is there for.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::out;
use super::package_requests::{Origin, origins};
use crate::error::on;

const USAGE: &str = "usage: rpm-manifest FILE";

/// What rpm is asked for: a line for each package, fields separated by tabs.
const FORMAT: &str = "%{NAME}\\t%|EPOCH?{%{EPOCH}}:{0}|\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\t%{VENDOR}\\t\
    %|DSAHEADER?{%{DSAHEADER:pgpsig}}:{%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{}|}|\\n";

#[derive(Debug, Serialize)]
struct Package<'a> {
    package: &'a str,
    epoch: &'a str,
    version: &'a str,
    release: &'a str,
    arch: &'a str,
    vendor: &'a str,
    /// The id of the key that signed it, 16 hexadecimal digits; empty when nobody did.
    key: &'a str,
    /// Those that asked for it.
    elements: &'a [String],
    /// Those whose packages brought it along, when nobody asked.
    dependency_of: &'a [String],
}

/// Writes the file.
///
/// # Errors
/// When rpm cannot be asked or the file cannot be written.
pub fn run(args: Vec<String>) -> Result<u8> {
    let [file] = &args[..] else { bail!("{USAGE}") };
    if file == "-h" || file == "--help" {
        return out(USAGE).map(|()| 0);
    }
    let output = Command::new("rpm").args(["-qa", "--queryformat", FORMAT]).output().context("running rpm")?;
    if !output.status.success() {
        bail!("rpm -qa failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let origins = origins()?;
    let text = manifest(&String::from_utf8_lossy(&output.stdout), |name| origins.get(name))?;
    fs::write(file, text).with_context(|| on("writing", Path::new(file)))?;
    Ok(0)
}

/// The manifest of rpm's answer: a package to a line, sorted.
fn manifest<'a>(answer: &str, origin: impl Fn(&str) -> Option<&'a Origin>) -> Result<String> {
    let mut lines: Vec<&str> = answer.lines().collect();
    lines.sort_unstable();
    let unknown = Origin::default();
    let mut packages = Vec::new();
    for line in lines {
        let [name, epoch, version, release, arch, vendor, signature] = line.split('\t').collect::<Vec<_>>()[..] else {
            bail!("rpm -qa has given a line that cannot be understood: {line}");
        };
        // Keys that are trusted are kept as packages too.
        if name == "gpg-pubkey" {
            continue;
        }
        let origin = origin(name).unwrap_or(&unknown);
        let dependency_of = if origin.elements.is_empty() { &origin.brought_by[..] } else { &[] };
        packages.push(serde_json::to_string(&Package {
            package: name,
            epoch,
            version,
            release,
            arch,
            vendor: if vendor == "(none)" { "" } else { vendor },
            // RSA/SHA256, Tue 01 Jan 2030 12:00:00 AM UTC, Key ID 0123456789abcdef
            key: signature.rsplit_once("Key ID ").map_or("", |(_, key)| key),
            elements: &origin.elements,
            dependency_of,
        })?);
    }
    Ok(format!("{{\"packages\": [\n{}\n]}}\n", packages.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_has_its_key_and_those_who_wanted_it() {
        let answer = "zlib\t0\t1.2\t3.el9\tx86_64\t(none)\t\ngpg-pubkey\t0\t1\t1\t(none)\t(none)\t\n\
             bash\t0\t5.1\t9.el9\tx86_64\tRocky \"X\"\tRSA/SHA256, Tue 01 Jan 2030, Key ID 702d426d350d275d\n";
        let os = Origin { elements: vec!["os".into()], brought_by: vec!["other".into()] };
        let dependency = Origin { elements: vec![], brought_by: vec!["curl".into()] };
        let text = manifest(answer, |name| Some(if name == "bash" { &os } else { &dependency })).unwrap();
        assert_eq!(
            text,
            "{\"packages\": [\n{\"package\":\"bash\",\"epoch\":\"0\",\"version\":\"5.1\",\"release\":\"9.el9\",\
             \"arch\":\"x86_64\",\"vendor\":\"Rocky \\\"X\\\"\",\"key\":\"702d426d350d275d\",\"elements\":[\"os\"],\
             \"dependency_of\":[]},\n{\"package\":\"zlib\",\"epoch\":\"0\",\"version\":\"1.2\",\"release\":\"3.el9\",\
             \"arch\":\"x86_64\",\"vendor\":\"\",\"key\":\"\",\"elements\":[],\"dependency_of\":[\"curl\"]}\n]}\n"
        );
        assert!(manifest("odd", |_| None).is_err());
    }
}
