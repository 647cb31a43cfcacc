//! The built-in `elements/`, `package-maps/` and `lib/`: where they are, and how they get there.
//!
//! The program carries these folders as a tar archive (made by `build.rs`), so that one file is a
//! complete installation. Everything else reads elements as plain folders; see
//! `docs/decisions/0002-embedded-elements.md` for why.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use tar::{Archive, Entry, EntryType};
use walkdir::WalkDir;

use crate::error::on;

/// The archive, with `elements`, `package-maps` and `lib` at its top.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/builtin.tar"));

/// The archive's SHA-256 in hexadecimal digits.
pub const DIGEST: &str = env!("BUILTIN_DIGEST");

/// The three folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builtin {
    /// The directory of built-in elements: the last entry of `ELEMENTS_PATH`.
    pub elements: PathBuf,
    /// The directory of package maps by family.
    pub package_maps: PathBuf,
    /// The directory of shell libraries that elements source (`_LIB`).
    pub library: PathBuf,
}

impl Builtin {
    /// The folders in this directory.
    pub fn below(dir: &Path) -> Self {
        Self { elements: dir.join("elements"), package_maps: dir.join("package-maps"), library: dir.join("lib") }
    }

    /// The same, if all are there.
    fn found_below(dir: &Path) -> Option<Self> {
        Some(Self::below(dir)).filter(|b| [&b.elements, &b.package_maps, &b.library].iter().all(|dir| dir.is_dir()))
    }
}

/// Finds the folders beside the program without writing anything: `../share/image-create` of an
/// installation, or the source tree that the program was built in. `exe` is the program's own real path.
pub fn beside(exe: &Path) -> Option<Builtin> {
    let installed = exe.parent()?.parent()?.join("share/image-create");
    Builtin::found_below(&installed).or_else(|| {
        // target/<triple>/<profile>/image-create, or target/<triple>/<profile>/deps/<test>.
        // Cargo's mark in it is no sign: cargo writes none where the directory was there before.
        let target = exe.ancestors().find(|dir| dir.ends_with("target"))?;
        let sources = target.parent()?;
        Builtin::found_below(sources).filter(|b| sources.join("build.rs").is_file() && b.elements.join("base").is_dir())
    })
}

/// Finds the folders, and unpacks the program's own copy below `base` if there are none beside it.
///
/// # Errors
/// As [`unpack`].
pub fn locate(exe: Option<&Path>, base: &Path) -> Result<Builtin> {
    match exe.and_then(beside) {
        Some(found) => Ok(found),
        None => unpack(base).map(|dir| Builtin::below(&dir)),
    }
}

/// Unpacks the program's own copy below `base`, a cache directory, and returns the directory that
/// holds the folders. Its name has the copy's digest and the user's number, so versions and users do not meet. What is there
/// already is used if nothing in it was changed, and replaced otherwise.
///
/// # Errors
/// When `base` cannot be written, or somebody else could write what we would run from there.
pub fn unpack(base: &Path) -> Result<PathBuf> {
    unpack_archive(ARCHIVE, DIGEST, base)
}

fn unpack_archive(archive: &[u8], digest: &str, base: &Path) -> Result<PathBuf> {
    // A directory for each user: root is not to run what an ordinary user could have changed.
    let name = format!("builtin-{}-{}", &digest[..16], geteuid());
    let dir = base.join(&name);
    if is_whole(archive, &dir)? {
        return Ok(dir);
    }
    fs::create_dir_all(base).with_context(|| on("creating", base))?;
    let temporary = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempdir_in(base)
        .with_context(|| on("creating a directory in", base))?;
    let fresh = temporary.path().join("new");
    let mut unpacker = Archive::new(archive);
    unpacker.set_preserve_permissions(true);
    unpacker.unpack(&fresh).with_context(|| on("unpacking the built-in elements to", &fresh))?;
    // Whatever the umask: everybody may read it, nobody else may write to it.
    fs::set_permissions(&fresh, Permissions::from_mode(0o755)).with_context(|| on("setting the mode of", &fresh))?;
    if fs::rename(&fresh, &dir).is_ok() || is_whole(archive, &dir)? {
        return Ok(dir);
    }
    // What is there was changed. It goes away together with the temporary directory.
    fs::rename(&dir, temporary.path().join("old")).with_context(|| on("replacing", &dir))?;
    match fs::rename(&fresh, &dir) {
        Err(e) if !is_whole(archive, &dir)? => Err(e).with_context(|| on("creating", &dir)),
        _ => Ok(dir),
    }
}

/// Whether the directory holds what the archive holds and nothing else. Contents are told by size and
/// time: all files have the archive's one time, which no later change leaves in place.
fn is_whole(archive: &[u8], dir: &Path) -> Result<bool> {
    let Ok(meta) = fs::symlink_metadata(dir) else { return Ok(false) };
    ensure!(meta.is_dir(), "{} is not a directory", dir.display());
    if meta.uid() != geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        bail!("not using {}: it belongs to somebody else or others may write to it", dir.display());
    }
    let mut expected = BTreeMap::new();
    for entry in Archive::new(archive).entries().context("reading the built-in archive")? {
        let entry = entry.context("reading the built-in archive")?;
        expected.insert(entry.path()?.into_owned(), Look::of_entry(&entry)?);
    }
    let mut found = BTreeMap::new();
    for entry in WalkDir::new(dir).min_depth(1) {
        let Ok(entry) = entry else { return Ok(false) };
        let Ok(look) = Look::of_file(entry.path()) else { return Ok(false) };
        found.insert(entry.path().strip_prefix(dir)?.to_owned(), look);
    }
    Ok(expected == found)
}

/// What tells a file of the archive from one that was changed.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Dir { mode: u32 },
    File { mode: u32, size: u64, modified: i64 },
    Link { target: PathBuf },
}

impl Look {
    fn of_entry(entry: &Entry<&[u8]>) -> Result<Self> {
        let header = entry.header();
        Ok(match header.entry_type() {
            EntryType::Directory => Self::Dir { mode: header.mode()? },
            EntryType::Symlink => Self::Link { target: entry.link_name()?.unwrap_or_default().into_owned() },
            _ => Self::File { mode: header.mode()?, size: entry.size(), modified: header.mtime()?.cast_signed() },
        })
    }

    fn of_file(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        let mode = meta.mode() & 0o7777;
        Ok(if meta.is_dir() {
            Self::Dir { mode }
        } else if meta.is_symlink() {
            Self::Link { target: fs::read_link(path)? }
        } else {
            Self::File { mode, size: meta.len(), modified: meta.mtime() }
        })
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder as TarBuilder, Header};

    use super::*;

    const DIGEST: &str = "0123456789abcdef0123";

    fn archive() -> Vec<u8> {
        let mut tar = TarBuilder::new(Vec::new());
        let mut add = |path: &str, kind: EntryType, mode: u32, body: &str| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(946_684_800);
            header.set_size(0);
            if kind == EntryType::Symlink {
                tar.append_link(&mut header, path, body).unwrap();
            } else {
                header.set_size(body.len() as u64);
                tar.append_data(&mut header, path, body.as_bytes()).unwrap();
            }
        };
        for dir in ["elements", "elements/x", "package-maps", "lib"] {
            add(dir, EntryType::Directory, 0o755, "");
        }
        add("elements/x/10-run", EntryType::Regular, 0o755, "#!/bin/bash\n");
        add("elements/x/data", EntryType::Regular, 0o644, "data");
        add("elements/x/link", EntryType::Symlink, 0o777, "data");
        tar.into_inner().unwrap()
    }

    #[test]
    fn execute_bits_and_links_survive_and_the_second_time_nothing_is_written() {
        let base = tempfile::tempdir().unwrap();
        let dir = unpack_archive(&archive(), DIGEST, &base.path().join("new")).unwrap();
        assert!(dir.ends_with(format!("builtin-0123456789abcdef-{}", geteuid())));
        let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("elements/x/10-run"), mode("elements/x/data")), (0o755, 0o644));
        assert_eq!(fs::read_link(dir.join("elements/x/link")).unwrap(), Path::new("data"));
        let inode = fs::metadata(&dir).unwrap().ino();
        assert_eq!(unpack_archive(&archive(), DIGEST, &base.path().join("new")).unwrap(), dir);
        assert_eq!(fs::metadata(&dir).unwrap().ino(), inode);
    }

    #[test]
    fn a_changed_copy_is_replaced() {
        let base = tempfile::tempdir().unwrap();
        let dir = unpack_archive(&archive(), DIGEST, base.path()).unwrap();
        let changes: [fn(&Path); 4] = [
            |x| fs::write(x.join("data"), "evil").unwrap(),
            |x| fs::write(x.join("more"), "").unwrap(),
            |x| fs::remove_file(x.join("link")).unwrap(),
            |x| fs::set_permissions(x.join("10-run"), fs::Permissions::from_mode(0o644)).unwrap(),
        ];
        for change in changes {
            change(&dir.join("elements/x"));
            assert!(!is_whole(&archive(), &dir).unwrap());
            assert_eq!(unpack_archive(&archive(), DIGEST, base.path()).unwrap(), dir);
            assert!(is_whole(&archive(), &dir).unwrap());
        }
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_copy_that_others_may_write_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let dir = unpack_archive(&archive(), DIGEST, base.path()).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(unpack_archive(&archive(), DIGEST, base.path()).is_err());
    }

    #[test]
    fn builds_that_unpack_at_the_same_time_all_get_it() {
        let base = tempfile::tempdir().unwrap();
        let archive = archive();
        std::thread::scope(|scope| {
            let run = || unpack_archive(&archive, DIGEST, base.path()).unwrap();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            for one in all {
                assert!(is_whole(&archive, &one.join().unwrap()).unwrap());
            }
        });
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_folders_beside_an_installed_program_are_used_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        let share = root.path().join("share/image-create");
        fs::create_dir_all(share.join("elements")).unwrap();
        let exe = root.path().join("bin/image-create");
        assert_eq!(beside(&exe), None);
        fs::create_dir_all(share.join("package-maps")).unwrap();
        fs::create_dir_all(share.join("lib")).unwrap();
        assert_eq!(beside(&exe), Some(Builtin::below(&share)));
    }

    #[test]
    fn the_source_tree_that_a_program_was_built_in_is_used_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["elements/base", "package-maps", "lib", "target/triple/debug"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("build.rs"), "").unwrap();
        assert_eq!(beside(&root.path().join("target/triple/debug/image-create")), Some(Builtin::below(root.path())));
        assert_eq!(beside(&root.path().join("elsewhere/bin/image-create")), None);
    }

    #[test]
    fn the_programs_own_copy_unpacks() {
        let base = tempfile::tempdir().unwrap();
        let dir = unpack(base.path()).unwrap();
        assert!(is_whole(ARCHIVE, &dir).unwrap());
    }
}
