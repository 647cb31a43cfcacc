//! What the engine itself adds to the hook tree: the tools that hooks call, and their data.
//!
//! Everything lies in one directory whose name starts with a dot, so that it meets no element's
//! file, and the hook tree is mounted in the chroot only while hooks run: nothing stays in an image.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::error::on;
use crate::plan::{Plan, initramfs};
use crate::target;

/// The directory in the hook tree.
pub const DIR: &str = ".image-create";
/// Tools that elements call by their place in the hook tree, on the host (contract 3.3).
const IN_BIN: &[&str] = &["cache-url", "extract-image"];
/// Tools that scripts call by their place beside the shell libraries.
const IN_LIBRARY: &[&str] = &["dib-block-device", RUNNER];
/// The program that runs the hooks of a directory.
const RUNNER: &str = "dib-run-parts";

/// Where the tools are in a hook tree.
pub fn bin(hooks: &Path) -> PathBuf {
    hooks.join(DIR).join("bin")
}

/// Where the shell libraries are in a hook tree (`_LIB`).
pub fn library(hooks: &Path) -> PathBuf {
    hooks.join(DIR).join("lib")
}

/// Writes tools and data into the hook tree.
///
/// # Errors
/// When a file cannot be written.
pub fn install(hooks: &Path, plan: &Plan) -> Result<()> {
    let bin = bin(hooks);
    fs::create_dir_all(&bin).with_context(|| on("making", &bin))?;
    let program = bin.join("image-create");
    fs::copy("/proc/self/exe", &program).with_context(|| on("copying this program to", &program))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| on("setting the mode of", &program))?;
    for name in target::names_on_path() {
        link("image-create", &bin.join(name))?;
    }
    seed_bin(hooks)?;
    // Where diskimage-builder puts it (contract 2.8); an element's own file of that name stays.
    let runner = hooks.join(RUNNER);
    if runner.symlink_metadata().is_err() {
        link(&format!("{DIR}/bin/{RUNNER}"), &runner)?;
    }
    shell_libraries(&library(hooks), plan)?;
    initramfs(&hooks.join(DIR), plan)?;
    maps(&hooks.join(DIR), plan)
}

/// `hooks/bin/cache-url` and its like, where no element brings its own.
fn seed_bin(hooks: &Path) -> Result<()> {
    for name in IN_BIN.iter().filter(|n| target::names_on_path().any(|t| t == **n)) {
        let place = hooks.join("bin").join(name);
        if place.symlink_metadata().is_err() {
            fs::create_dir_all(hooks.join("bin")).with_context(|| on("making", &hooks.join("bin")))?;
            link(&format!("../{DIR}/bin/{name}"), &place)?;
        }
    }
    Ok(())
}

/// Takes the seeds out again before the first phase in the chroot: install-bin must not find them.
///
/// # Errors
/// When a link cannot be removed.
pub fn unseed_bin(hooks: &Path) -> Result<()> {
    for name in IN_BIN {
        let place = hooks.join("bin").join(name);
        if fs::read_link(&place).is_ok_and(|target| target.starts_with(format!("../{DIR}"))) {
            fs::remove_file(&place).with_context(|| on("removing", &place))?;
        }
    }
    let dir = hooks.join("bin");
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_none()) {
        fs::remove_dir(&dir).with_context(|| on("removing", &dir))?;
    }
    Ok(())
}

fn link(target: &str, place: &Path) -> Result<()> {
    symlink(target, place).with_context(|| on("making", place))
}

/// The shell libraries, which elements source and copy into the chroot.
fn shell_libraries(library: &Path, plan: &Plan) -> Result<()> {
    fs::create_dir_all(library).with_context(|| on("making", library))?;
    for entry in fs::read_dir(&plan.library).with_context(|| on("reading", &plan.library))? {
        let entry = entry.with_context(|| on("reading", &plan.library))?;
        copy(&entry.path(), &library.join(entry.file_name()))?;
    }
    for name in IN_LIBRARY {
        link(&format!("../bin/{name}"), &library.join(name))?;
    }
    Ok(())
}

/// What each element wants in an initramfs, with the files that it names, in the order of the elements. The
/// descriptions stay as they are: their relative names hold in the copy too.
fn initramfs(data: &Path, plan: &Plan) -> Result<()> {
    let all = data.join(initramfs::FOLDER);
    for (number, (element, file)) in plan.initramfs_files().enumerate() {
        let dir = all.join(format!("{number:03}-{element}"));
        fs::create_dir_all(&dir).with_context(|| on("making", &dir))?;
        let text = fs::read_to_string(&file).with_context(|| on("reading", &file))?;
        copy(&file, &dir.join(initramfs::FILE))?;
        let from = file.parent().unwrap_or(&file);
        for own in initramfs::Spec::parse(&text, &file)?.own_files() {
            let Ok(name) = own.strip_prefix(from) else { continue };
            let to = dir.join(name);
            let folder = to.parent().unwrap_or(&to);
            fs::create_dir_all(folder).with_context(|| on("making", folder))?;
            copy(own, &to)?;
        }
    }
    Ok(())
}

/// Each element's own pkg-map, and the maps that all elements share.
fn maps(data: &Path, plan: &Plan) -> Result<()> {
    let own = data.join("pkg-map");
    fs::create_dir_all(&own).with_context(|| on("making", &own))?;
    for element in &plan.resolution.elements {
        let map = element.dir.join("pkg-map");
        if map.is_file() {
            copy(&map, &own.join(&element.name))?;
        }
    }
    let shared = data.join("package-maps");
    fs::create_dir_all(&shared).with_context(|| on("making", &shared))?;
    for entry in fs::read_dir(&plan.package_maps).with_context(|| on("reading", &plan.package_maps))? {
        let entry = entry.with_context(|| on("reading", &plan.package_maps))?;
        copy(&entry.path(), &shared.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display())).map(drop)
}
