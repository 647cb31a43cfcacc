//! A bundle: unpacked if need be, and looked at before anything of it is used.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::statvfs::statvfs;

use super::Signature;
use crate::manifest::{FileEntry, Manifest};
use crate::slots::Refused;
use crate::slots::checks::{Signed, mib};
use crate::slots::tools;

/// The key that bundles have to be signed with if no other is given.
pub const TRUSTED: &str = "etc/upgrade-tiny/trusted.pem";

const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.json.sig";

/// What the bundle keeps the configuration with.
pub const SCRIPT: &str = "upgrade_to_tiny_system.sh";

/// A bundle's folder.
#[derive(Debug)]
pub struct Bundle {
    /// Where its files are.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    _unpacked: Option<Unpacked>,
}

/// A folder that goes with the program.
#[derive(Debug)]
struct Unpacked(PathBuf);

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Bundle {
    /// Opens a folder, or an archive that is unpacked below `work` first.
    ///
    /// # Errors
    /// As refusals: what it lacks, or how much room `work` does.
    pub fn open(path: &Path, work: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|e| Refused::one(format!("{}: {e}", path.display())))?;
        let unpacked = if metadata.is_dir() { None } else { Some(unpack(path, metadata.len(), work)?) };
        let folder = unpacked.as_ref().map_or(path, |u| u.0.as_path()).to_owned();
        let text = fs::read_to_string(folder.join(MANIFEST))
            .map_err(|e| Refused::one(format!("{} is no migration bundle: {MANIFEST}: {e}", path.display())))?;
        let manifest = Manifest::parse(&text).map_err(|e| Refused::one(format!("{}: {e:#}", path.display())))?;
        Ok(Self { folder, manifest, _unpacked: unpacked })
    }

    /// The file with the system.
    #[must_use]
    pub fn payload(&self) -> PathBuf {
        self.folder.join(&self.manifest.payload)
    }

    /// Looks at the signature.
    #[must_use]
    pub fn signed(&self, wanted: &Signature, root: &Path) -> Signed {
        let key = match wanted {
            Signature::Any => return Signed::Right,
            Signature::Key(key) => Some(key.clone()),
            Signature::Trusted => Some(root.join(TRUSTED)).filter(|p| p.exists()),
        };
        let signature = self.folder.join(SIGNATURE);
        match (key, signature.is_file()) {
            (None, false) => Signed::NotAsked,
            (None, true) => Signed::NoKey,
            (Some(_), false) => Signed::Missing,
            (Some(key), true) => {
                let mut openssl = tools::command("openssl", ["dgst", "-sha256", "-verify"]);
                openssl.arg(&key).arg("-signature").arg(&signature).arg(self.folder.join(MANIFEST));
                match tools::output(&mut openssl) {
                    Ok(output) if output.status.success() => Signed::Right,
                    Ok(output) => Signed::Wrong(format!("with the key {}: {}", key.display(), tools::said(&output))),
                    Err(error) => Signed::Wrong(format!("it cannot be checked: {error:#}")),
                }
            }
        }
    }

    /// What is wrong with the files: each has to be there as the manifest says, and no other.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut all = Vec::new();
        for name in [&self.manifest.payload, SCRIPT] {
            if !self.manifest.files.contains_key(name) {
                all.push(format!("the manifest does not name {name}"));
            }
        }
        for (name, entry) in &self.manifest.files {
            let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
            let path = self.folder.join(name);
            let file = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file);
            match file {
                _ if !plain => all.push(format!("the manifest names '{name}', which lies outside of the bundle")),
                None => all.push(format!("{name} is missing")),
                Some(m) if m.len() != entry.bytes => {
                    all.push(format!("{name} has {} bytes instead of {}: load the bundle again", m.len(), entry.bytes));
                }
                Some(_) => match FileEntry::of(&path, &mut |_| ()) {
                    Ok(found) if found.sha256.eq_ignore_ascii_case(&entry.sha256) => {}
                    Ok(_) => {
                        all.push(format!("{name} has another SHA-256 than the manifest says: load the bundle again"))
                    }
                    Err(error) => all.push(format!("{error:#}")),
                },
            }
        }
        // Scripts are run, so one that nobody signed must not be there.
        for entry in fs::read_dir(self.folder.join("backup.d")).into_iter().flatten().flatten() {
            let name = format!("backup.d/{}", entry.file_name().to_string_lossy());
            if !self.manifest.files.contains_key(&name) {
                all.push(format!("{name} is not in the manifest"));
            }
        }
        all
    }

    /// The length of a file; 0 if there is no such file.
    #[must_use]
    pub fn length(&self, name: &str) -> u64 {
        self.manifest.files.get(name).map_or(0, |f| f.bytes)
    }
}

fn unpack(archive: &Path, bytes: u64, work: &Path) -> Result<Unpacked> {
    let free = free(work)?;
    // Everything large in it is compressed already.
    let needed = bytes + bytes / 20;
    if free < needed {
        let why = format!(
            "{} has {} free, and unpacking the bundle needs {}: --work DIR",
            work.display(),
            mib(free),
            mib(needed)
        );
        return Err(Refused::one(why));
    }
    let folder = work.join("image-slots-bundle");
    let _ = fs::remove_dir_all(&folder);
    DirBuilder::new().mode(0o700).create(&folder).with_context(|| format!("making {}", folder.display()))?;
    let unpacked = Unpacked(folder);
    let mut tar = tools::command("tar", ["--extract", "--gzip", "--no-same-owner", "--file"]);
    tar.arg(archive).arg("--directory").arg(&unpacked.0);
    tools::run(&mut tar).map_err(|e| Refused::one(format!("{} cannot be unpacked: {e:#}", archive.display())))?;
    Ok(unpacked)
}

/// Bytes that a file system has free for root.
///
/// # Errors
/// When the folder is not there.
pub fn free(folder: &Path) -> Result<u64> {
    let stat = statvfs(folder).with_context(|| format!("asking for the room in {}", folder.display()))?;
    Ok(stat.blocks_free() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a bundle of small files.
    fn bundle(dir: &Path) -> Bundle {
        let mut manifest = crate::manifest::tests::example();
        manifest.files.clear();
        for name in ["va.tar.xz", SCRIPT, "backup.d/vendor"] {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            let entry = FileEntry::of(&path, &mut |_| ()).unwrap();
            manifest.files.insert(name.into(), entry);
        }
        fs::write(dir.join(MANIFEST), manifest.to_text().unwrap()).unwrap();
        Bundle::open(dir, dir).unwrap()
    }

    #[test]
    fn a_whole_bundle_has_no_faults() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(bundle(dir.path()).faults(), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut bundle = bundle(dir.path());
        fs::write(dir.path().join("va.tar.xz"), "va.tar.xy").unwrap();
        fs::write(dir.path().join(SCRIPT), "short").unwrap();
        fs::write(dir.path().join("backup.d/rogue"), "").unwrap();
        fs::remove_file(dir.path().join("backup.d/vendor")).unwrap();
        std::os::unix::fs::symlink("../va.tar.xz", dir.path().join("backup.d/vendor")).unwrap();
        let entry = FileEntry { bytes: 0, sha256: String::new() };
        bundle.manifest.files.insert("../etc/passwd".into(), entry);
        let all = bundle.faults().join("\n");
        for why in [
            "va.tar.xz has another SHA-256",
            "upgrade_to_tiny_system.sh has 5 bytes instead of 25",
            "backup.d/vendor is missing",
            "backup.d/rogue is not in the manifest",
            "'../etc/passwd', which lies outside",
        ] {
            assert!(all.contains(why), "{why}:\n{all}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| {
            let error = Bundle::open(path, dir.path()).unwrap_err();
            assert!(error.downcast_ref::<Refused>().is_some(), "{error:#}");
            error.to_string()
        };
        assert!(refused(dir.path()).contains("is no migration bundle: manifest.json"));
        assert!(refused(&dir.path().join("gone")).contains("gone"));
        let file = dir.path().join("x.tar.gz");
        fs::write(&file, "garbage").unwrap();
        assert!(refused(&file).contains("cannot be unpacked"));
        assert!(!dir.path().join("image-slots-bundle").exists());
    }

    #[test]
    fn an_archive_is_unpacked_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        drop(bundle(&source));
        let archive = dir.path().join("migration.tar.gz");
        let mut tar = tools::command("tar", ["-czf"]);
        tools::run(tar.arg(&archive).arg("-C").arg(&source).arg(".")).unwrap();
        let opened = Bundle::open(&archive, dir.path()).unwrap();
        assert_eq!(opened.faults(), Vec::<String>::new());
        drop(opened);
        assert!(!dir.path().join("image-slots-bundle").exists());
    }

    #[test]
    fn signatures_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path());
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        assert_eq!(bundle.signed(&Signature::Trusted, root.path()), Signed::NotAsked);
        let openssl = |args: &[&str]| {
            let done = tools::run(tools::command("openssl", args).current_dir(root.path()));
            done.unwrap();
        };
        for name in ["one", "two"] {
            openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name]);
            openssl(&["pkey", "-in", name, "-pubout", "-out", &format!("{name}.pem")]);
        }
        let one = Signature::Key(at("one.pem"));
        assert_eq!(bundle.signed(&one, root.path()), Signed::Missing);
        let (signature, manifest) = (dir.path().join(SIGNATURE), dir.path().join(MANIFEST));
        openssl(&["dgst", "-sha256", "-sign", "one", "-out", signature.to_str().unwrap(), manifest.to_str().unwrap()]);
        assert_eq!(bundle.signed(&one, root.path()), Signed::Right);
        assert_eq!(bundle.signed(&Signature::Any, root.path()), Signed::Right);
        assert_eq!(bundle.signed(&Signature::Trusted, root.path()), Signed::NoKey);
        fs::create_dir_all(root.path().join("etc/upgrade-tiny")).unwrap();
        fs::copy(at("two.pem"), root.path().join(TRUSTED)).unwrap();
        assert!(matches!(bundle.signed(&Signature::Trusted, root.path()), Signed::Wrong(_)));
        assert!(matches!(bundle.signed(&Signature::Key(at("gone")), root.path()), Signed::Wrong(_)));
    }
}
