//! `extract-image BASE_IMAGE_FILE BASE_IMAGE_TAR IMAGE_LOCATION CACHED_IMAGE`: unpacks a distribution's disk image
//! into `TARGET_ROOT`, on the host, without device-mapper (contract 3.10).
//!
//! The image's files are kept as the archive `DIB_IMAGE_CACHE/BASE_IMAGE_TAR`, which is made again when the
//! image is newer. Uses qemu-img, blkid and tar of the host, and mtools for an ESP that the kernel cannot mount.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{out, say, var};
use crate::error::{HostNotReady, on};
use crate::exec::command::{code_of, quote};
use crate::host::Host;

mod content;
mod partitions;

const USAGE: &str = "usage: extract-image BASE_IMAGE_FILE BASE_IMAGE_TAR IMAGE_LOCATION CACHED_IMAGE
Fetches the disk image IMAGE_LOCATION to CACHED_IMAGE, or takes DIB_LOCAL_IMAGE, and unpacks the files in it
into TARGET_ROOT. They are kept as DIB_IMAGE_CACHE/BASE_IMAGE_TAR.";
/// How long another build may take to unpack the same image.
const LOCK_WITHIN: Duration = Duration::from_secs(1200);
/// cache-url's status for a file that the server does not have: a mirror may be in the middle of its update.
const NOT_THERE: i32 = 44;

/// Unpacks an image.
///
/// # Errors
/// When the image cannot be fetched or read, holds no root filesystem, or a program that it takes is missing.
pub fn run(args: Vec<String>) -> Result<u8> {
    let [_, tar, location, cached] = &args[..] else {
        say(USAGE)?;
        return Ok(1);
    };
    let setting = |name: &str| var(name).filter(|text| !text.is_empty());
    let needed = |name: &str| setting(name).with_context(|| format!("{name} is not set"));
    let root = PathBuf::from(needed("TARGET_ROOT")?);
    let cache = PathBuf::from(needed("DIB_IMAGE_CACHE")?);
    let archive = cache.join(tar);
    fs::create_dir_all(&cache).with_context(|| on("making", &cache))?;
    let _lock = lock(&cache.join(format!("{tar}.lock")))?;

    let local = setting("DIB_LOCAL_IMAGE").map(PathBuf::from);
    let image = local.clone().unwrap_or_else(|| PathBuf::from(cached));
    if setting("DIB_OFFLINE").is_some() && archive.exists() {
        out(&format!("Offline: using the cached {}", archive.display()))?;
    } else {
        if local.is_none() {
            fetch(location, &image)?;
        }
        if is_older(&archive, &image)? {
            make_archive(&image, &archive)?;
        }
    }
    out(&format!("Unpacking {}", archive.display()))?;
    command(tar_command().arg("-C").arg(&root).arg("-xzf").arg(&archive)).map(|()| 0)
}

/// tar with what both ways need: owners as numbers, and all attributes but labels of the image's own policy.
fn tar_command() -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "--xattrs-exclude=security.selinux"]);
    tar
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let mut file = File::create(path).with_context(|| on("making", path))?;
    let until = Instant::now() + LOCK_WITHIN;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EAGAIN)) if Instant::now() < until => file = back,
            Err((_, Errno::EAGAIN)) => bail!("another build holds {} for longer than 20 minutes", path.display()),
            Err((_, err)) => return Err(err).with_context(|| on("locking", path)),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Brings the cached image up to date.
fn fetch(location: &str, image: &Path) -> Result<()> {
    // An element may bring its own cache-url: it has the hook tree's bin.
    let own = var("TMP_HOOKS_PATH").map(|hooks| PathBuf::from(hooks).join("bin/cache-url"));
    let program = own.filter(|p| p.exists()).unwrap_or_else(|| PathBuf::from("cache-url"));
    for try_again in [true, false] {
        let mut fetch = Command::new(&program);
        let status = fetch.arg(location).arg(image).status().with_context(|| on("starting", &program))?;
        match code_of(status) {
            0 => return Ok(()),
            NOT_THERE if try_again => say(&format!("{location} is not there; trying once more"))?,
            code => bail!("fetching {location} failed with status {code}"),
        }
    }
    Err(anyhow!("fetching {location} failed"))
}

/// Whether `archive` has to be made from `image`.
fn is_older(archive: &Path, image: &Path) -> Result<bool> {
    let time = |path: &Path| fs::metadata(path).and_then(|m| m.modified());
    let made_of = time(image).with_context(|| on("looking at the image", image))?;
    Ok(time(archive).map_or(true, |made| made < made_of))
}

fn make_archive(image: &Path, archive: &Path) -> Result<()> {
    let parent = ["TMP_DIR", "TMP_BUILD_DIR"].iter().find_map(|name| var(name).filter(|dir| Path::new(dir).is_dir()));
    let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new().prefix("extract-image.").tempdir_in(&parent);
    let dir = dir.with_context(|| on("making a directory in", &parent))?;
    out(&format!("Reading {}", image.display()))?;
    let raw = to_raw(image, dir.path())?;
    let sector = match var("DIB_SOURCE_BLOCK_SIZE").as_deref() {
        None | Some("" | "512") => 512,
        Some("4096") => 4096,
        Some(other) => bail!("DIB_SOURCE_BLOCK_SIZE is 512 or 4096, not '{other}'"),
    };
    let roles = partitions::identify(partitions::read(&raw, sector)?)
        .with_context(|| format!("looking for the root filesystem in {}", image.display()))?;
    let view = content::View::mount(&raw, &roles, sector, dir.path())?;
    let new = archive.with_extension("new");
    let packed = command(tar_command().arg("-C").arg(view.root()).args(["-I", "gzip -3", "-cf"]).arg(&new).arg("."));
    view.close()?;
    packed?;
    fs::rename(&new, archive).with_context(|| on("writing", archive))
}

/// The image as raw bytes in `dir`: a copy, so that filesystems can be repaired while they are mounted.
fn to_raw(image: &Path, dir: &Path) -> Result<PathBuf> {
    let plain = dir.join("image");
    let packer = match image.extension().and_then(|e| e.to_str()) {
        Some("xz") => Some("xz"),
        Some("gz") => Some("gzip"),
        Some("zst") => Some("zstd"),
        Some("bz2") => Some("bzip2"),
        _ => None,
    };
    if let Some(packer) = packer {
        let file = File::create(&plain).with_context(|| on("making", &plain))?;
        command(Command::new(packer).args(["-dc"]).arg(image).stdout(file))?;
    }
    let source = if packer.is_some() { &plain } else { image };
    let raw = dir.join("raw");
    command(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(source).arg(&raw))?;
    if packer.is_some() {
        fs::remove_file(&plain).with_context(|| on("removing", &plain))?;
    }
    let length = raw.metadata().with_context(|| on("looking at", &raw))?.len();
    ensure!(length > 0, "{} is empty", image.display());
    Ok(raw)
}

/// Runs a program; its failure is an error.
fn command(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|err| missing(&program, err))?;
    let words = command.get_args().map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
    ensure!(status.success(), "{program} {words} ended with status {}", code_of(status));
    Ok(())
}

/// The error for a program that does not start.
fn missing(program: &str, err: std::io::Error) -> anyhow::Error {
    if err.kind() != std::io::ErrorKind::NotFound {
        return anyhow::Error::new(err).context(format!("starting {program}"));
    }
    let hint = Host::this().install_hint(&[program]);
    HostNotReady::new(format!("{program} is not installed on this host"), hint).into()
}
