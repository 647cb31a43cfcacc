//! Packs `elements/`, `package-maps/` and `lib/` into one tar archive for the program to carry, and builds the
//! small programs that it puts into initramfs images and systems.
//!
//! The archive depends on names, contents, links and execute bits only: sorted, one time stamp, one
//! owner, two modes. So the same sources give the same program.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The folders that are packed.
const FOLDERS: [&str; 3] = ["elements", "package-maps", "lib"];

/// The time of every entry: 2000-01-01. Tools that see the epoch itself take it for a mistake.
const TIME: u64 = 946_684_800;

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("builtin.tar");
    let mut archive = Builder::new(File::create(&out)?);
    for folder in FOLDERS {
        println!("cargo:rerun-if-changed={folder}");
        add(&mut archive, Path::new(folder))?;
    }
    archive.into_inner()?;

    build_programs()?;

    let digest = Sha256::digest(fs::read(&out)?);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=BUILTIN_DIGEST={hex}");
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}

/// The programs that this one carries for other systems: package and program have one name; the variable with the path.
const PROGRAMS: [(&str, &str); 2] = [("image-init", "IMAGE_INIT"), ("upgrade-tiny", "UPGRADE_TINY")];

/// Builds the programs that are put into initramfs images and systems: small, static, for the same machine.
fn build_programs() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(|e| io::Error::other(format!("{name}: {e}")));
    let (out, target) = (PathBuf::from(variable("OUT_DIR")?), variable("TARGET")?);
    // Its own folder: cargo holds a lock on the one that it is building in.
    let folder = out.join("programs");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.args(["build", "--quiet", "--locked", "--release"]);
    for (name, _) in PROGRAMS {
        cargo.args(["--package", name, "--bin", name]);
    }
    cargo.args(["--target", &target, "--target-dir"]).arg(&folder);
    for (name, value) in
        [("OPT_LEVEL", "z"), ("LTO", "true"), ("PANIC", "abort"), ("CODEGEN_UNITS", "1"), ("STRIP", "symbols")]
    {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    // What cargo tells build scripts about this package, and the wrappers of clippy, are not meant for the other ones.
    for name in [
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
    ] {
        cargo.env_remove(name);
    }
    for source in ["init", "tiny", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={source}");
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(io::Error::other(format!("building the programs for other systems: {status}")));
    }
    for (name, variable) in PROGRAMS {
        let built = folder.join(&target).join("release").join(name);
        println!("cargo:rustc-env={variable}={}", built.display());
    }
    Ok(())
}

/// Adds a path and all below it.
fn add(archive: &mut Builder<File>, path: &Path) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    let mut header = Header::new_gnu();
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    if meta.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        archive.append_data(&mut header, path, io::empty())?;
        let mut inner = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
        inner.sort();
        inner.iter().filter(|p| !p.ends_with("__pycache__")).try_for_each(|p| add(archive, p))
    } else if meta.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        archive.append_link(&mut header, path, fs::read_link(path)?)
    } else {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes.as_slice())
    }
}
