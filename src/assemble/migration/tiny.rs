//! The tiny system: the new system's kernel with an initramfs that replaces what is on the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use upgrade_tiny::manifest::{Manifest, Role};

use super::{FOLDER, INITRAMFS, PROGRAM, Sources, drivers};
use crate::assemble::initramfs::build::{self, Budget};
use crate::assemble::initramfs::modules;
use crate::assemble::initramfs::view::RootDir;
use crate::error::on;
use crate::plan::initramfs::Spec;

/// Where the program and the vendor's scripts lie in the tiny system.
const PROGRAM_PLACE: &str = "/usr/bin/upgrade-tiny";
const SCRIPTS_PLACE: &str = "/usr/lib/upgrade-tiny";
/// The vendor's scripts that run there.
const SCRIPTS: [&str; 2] = ["pre-wipe.d", "post-install.d"];

/// A kernel of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As its folder of modules is called.
    pub version: String,
    /// The image, on the host.
    pub image: PathBuf,
}

/// The newest kernel that has both an image and modules.
///
/// # Errors
/// When there is none.
pub fn newest_kernel(tree: &Path) -> Result<Kernel> {
    let root = RootDir::new(tree).with_context(|| on("reading", tree))?;
    let mut found: Vec<Kernel> = modules::kernels(&root)
        .into_iter()
        .filter_map(|version| {
            let places = [format!("boot/vmlinuz-{version}"), format!("usr/lib/modules/{version}/vmlinuz")];
            let image = places.iter().map(|p| tree.join(p)).find(|p| p.is_file())?;
            Some(Kernel { version, image })
        })
        .collect();
    found.sort_by_cached_key(|kernel| by_number(&kernel.version));
    found
        .pop()
        .context("the system has no kernel in /boot with modules: a migration needs one (install a kernel package)")
}

/// Versions in the order of their numbers: 5.14.9 before 5.14.10.
fn by_number(version: &str) -> Vec<(u64, String)> {
    let parts = version.split(|c: char| !c.is_ascii_alphanumeric());
    parts.map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
}

/// What to make the tiny system from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The bundle's sources.
    pub sources: &'a Sources<'a>,
    /// What it is to believe about payload and table.
    pub manifest: &'a Manifest,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Where the initramfs is put.
    pub stage: &'a Path,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// What the initramfs costs.
    pub budget: Budget,
    /// [`drivers::patterns`].
    pub drivers: String,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

/// Makes it.
///
/// # Errors
/// Everything that is missing.
pub fn make(request: &Request) -> Result<Made> {
    let work = tempfile::tempdir_in(request.sources.work).context("making a directory for the tiny system")?;
    let own = describe(request, work.path())?;
    let mut specs = vec![build::default_spec(), own];
    for description in request.sources.descriptions {
        let text = fs::read_to_string(description).with_context(|| on("reading", description))?;
        specs.push(Spec::parse(&text, description)?);
    }
    let request_to_build = build::Request {
        root: request.sources.tree.to_owned(),
        kernel: request.kernel.version.clone(),
        spec: Spec::merge(specs)?,
        machine: None,
        rescue: true,
        time: request.sources.assembly.epoch.and_then(|epoch| u32::try_from(epoch).ok()).unwrap_or(0),
    };
    let packing = build::packing(&request_to_build, None);
    let made = build::build(&request_to_build).context("making the tiny system's initramfs")?;
    let budget = made.write(&request.stage.join(INITRAMFS), packing, |_| Ok(()))?;
    let drivers = drivers::patterns(&made.tree, &request.kernel.version)?;
    Ok(Made { budget, drivers, warnings: made.warnings })
}

/// What the tiny system holds beside what every initramfs holds, as a description with its files in `dir`.
fn describe(request: &Request, dir: &Path) -> Result<Spec> {
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).with_context(|| on("writing", &path))
    };
    file("upgrade-tiny", PROGRAM)?;
    file("manifest.json", request.manifest.to_text()?.as_bytes())?;
    let hook = format!("#!/bin/sh\nexec {PROGRAM_PLACE} convert\n");
    file("convert", hook.as_bytes())?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.join("convert"), executable).with_context(|| on("setting the mode of", dir))?;

    let layout = &request.manifest.layout;
    let kinds = layout
        .partitions
        .iter()
        .filter_map(|p| p.filesystem.as_ref())
        .chain(layout.volumes.iter().map(|v| &v.filesystem));
    let mut programs =
        vec!["lvm", "sgdisk", "tar", if request.manifest.payload.ends_with(".xz") { "xz" } else { "zstd" }];
    for fs in kinds {
        programs.extend(match fs.kind.as_str() {
            "vfat" => &["mkfs.vfat"][..],
            "xfs" => &["mkfs.xfs", "xfs_repair"],
            _ => &["mkfs.ext4", "e2fsck"],
        });
    }
    programs.sort_unstable();
    programs.dedup();
    let mut optional_modules = vec!["fs-ext3", "fs-ext2", "dm-mod", "efivarfs"];
    if layout.partitions.iter().any(|p| p.role == Role::Esp) {
        optional_modules.extend(["fs-vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1"]);
    }
    let mut files = serde_json::Map::new();
    files.insert(PROGRAM_PLACE.into(), serde_json::json!({"source": "upgrade-tiny", "mode": "0755"}));
    files.insert("/etc/upgrade-tiny/manifest.json".into(), "manifest.json".into());
    if request.sources.tree.join("etc/mke2fs.conf").is_file() {
        files.insert("/etc/mke2fs.conf".into(), serde_json::json!({"source": "/etc/mke2fs.conf"}));
    }
    for folder in SCRIPTS {
        for (name, path) in scripts(&request.sources.hooks.join(FOLDER).join(folder))? {
            let copy = dir.join(format!("{folder}-{name}"));
            fs::copy(&path, &copy).with_context(|| on("copying", &path))?;
            let source = format!("{folder}-{name}");
            files.insert(
                format!("{SCRIPTS_PLACE}/{folder}/{name}"),
                serde_json::json!({"source": source, "mode": "0755"}),
            );
        }
    }
    let text = serde_json::json!({
        "programs": programs,
        "optional-programs": ["setfiles", "efibootmgr", "blkid", "dmesg", "lsblk"],
        "optional-modules": optional_modules,
        "files": files,
        "hooks": {"pre-mount": ["convert"]},
    });
    Ok(Spec::parse(&text.to_string(), &dir.join("the migration's initramfs.json"))?)
}

/// The files of a folder by name.
fn scripts(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(found) };
    for entry in entries {
        let path = entry.with_context(|| on("reading", dir))?.path();
        if let Some(name) = path.file_name().and_then(|n| n.to_str()).map(str::to_owned) {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_with_image_and_modules_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest_kernel(dir.path()).unwrap_err().to_string().contains("kernel package"));
        fs::create_dir(dir.path().join("boot")).unwrap();
        for version in ["5.14.9-1.el9", "5.14.10-1.el9", "6.1.0"] {
            let modules = dir.path().join("lib/modules").join(version);
            fs::create_dir_all(&modules).unwrap();
            fs::write(modules.join("modules.dep"), "").unwrap();
            if version != "6.1.0" {
                fs::write(dir.path().join(format!("boot/vmlinuz-{version}")), "").unwrap();
            }
        }
        assert_eq!(newest_kernel(dir.path()).unwrap().version, "5.14.10-1.el9");
    }
}
