//! Puts finished files in their place: written under a name of their own, checksummed, synced, renamed.
//! Whoever looks at the destination sees the old file or the whole new one.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::Digest;

use super::host::directory_of;
use crate::error::on;
use crate::plan::output::{Checksum, OutputOptions, OutputPlan};
use crate::report::{Event, Reporter};

/// Read at a time.
const CHUNK: usize = 1 << 20;

/// A file that is being written beside its target, as `.NAME.partial`; removed unless it is published.
#[derive(Debug)]
#[must_use = "dropping it removes the unfinished file"]
pub struct Partial {
    path: PathBuf,
    active: bool,
}

impl Partial {
    /// For the file `target`. What an earlier build that was killed left under the name is removed.
    ///
    /// # Errors
    /// When that cannot be removed.
    pub fn beside(target: &Path) -> Result<Self> {
        let mut name = OsString::from(".");
        name.push(target.file_name().with_context(|| format!("{} is no file name", target.display()))?);
        name.push(".partial");
        let path = directory_of(target).join(name);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            Err(err) => return Err(err).with_context(|| on("removing", &path)),
        }
        Ok(Self { path, active: true })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs what was written and renames it to `target`, over what is there.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn place(self, target: &Path) -> Result<()> {
        File::open(&self.path).and_then(|f| f.sync_all()).with_context(|| on("syncing", &self.path))?;
        self.rename(target)?;
        let dir = directory_of(target);
        File::open(dir).and_then(|d| d.sync_all()).with_context(|| on("syncing", dir))
    }

    fn rename(mut self, target: &Path) -> Result<()> {
        let renaming = || format!("renaming {} to {}", self.path.display(), target.display());
        std::fs::rename(&self.path, target).with_context(renaming)?;
        self.active = false;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.active {
            // Nothing may have been written yet.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// A file that is complete and on stable storage, but not in its place yet.
#[derive(Debug)]
#[must_use = "it is removed unless it is published"]
pub struct Finished {
    output: OutputPlan,
    partial: Partial,
    sums: Vec<(Checksum, String)>,
}

impl Finished {
    /// Syncs what was written to `partial` and takes its checksums.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(output: &OutputPlan, partial: Partial, options: &OutputOptions) -> Result<Self> {
        let sums = checksums(partial.path(), &options.checksums)?;
        Self::with_sums(output, partial, sums)
    }

    /// As [`Finished::new`], with checksums that were taken before.
    ///
    /// # Errors
    /// When it cannot be synced.
    pub fn with_sums(output: &OutputPlan, partial: Partial, sums: Vec<(Checksum, String)>) -> Result<Self> {
        let path = partial.path();
        File::open(path).and_then(|f| f.sync_all()).with_context(|| on("syncing", path))?;
        Ok(Self { output: output.clone(), partial, sums })
    }

    /// Moves it to its place, the old one out of the way first, and writes the checksum files.
    ///
    /// # Errors
    /// When a file cannot be renamed or written.
    pub fn publish(self, options: &OutputOptions, reporter: &Reporter) -> Result<()> {
        let target = &self.output.path;
        let keep = self.output.format.keeps_old() && !options.overwrite;
        if keep && target.exists() {
            let kept = keep_old(&self.output)?;
            reporter.info(format!("The old image was renamed {}", kept.display()));
        }
        if let Some((user, group)) = options.owner {
            let path = self.partial.path();
            chown(path, Some(user), Some(group)).with_context(|| on("setting the owner of", path))?;
        }
        self.partial.rename(target)?;
        for sum in [Checksum::Md5, Checksum::Sha256] {
            let file = with_suffix(target, sum.extension());
            match self.sums.iter().find(|(s, _)| *s == sum) {
                Some((_, digest)) => write_sum(&file, digest, target, options)?,
                // One that is there speaks of a file that is gone.
                None => drop(std::fs::remove_file(&file)),
            }
        }
        let dir = directory_of(target);
        File::open(dir).and_then(|d| d.sync_all()).with_context(|| on("syncing", dir))?;
        let bytes = std::fs::metadata(target).map_or(0, |m| m.len());
        reporter.event(&Event::OutputWritten { path: target, bytes });
        Ok(())
    }
}

/// Renames an old image and its checksum files to `STEM-YYYY.mm.dd-HH.MM.SS.EXT` (contract 7.2).
fn keep_old(output: &OutputPlan) -> Result<PathBuf> {
    let target = &output.path;
    let extension = format!(".{}", output.format.extension());
    let text = target.as_os_str().to_string_lossy();
    let stem = text.strip_suffix(&extension).unwrap_or(&text);
    let now = chrono::Local::now().format("%Y.%m.%d-%H.%M.%S");
    let mut kept = PathBuf::from(format!("{stem}-{now}{extension}"));
    // Two builds within one second.
    for n in 2.. {
        if !kept.exists() {
            break;
        }
        kept = PathBuf::from(format!("{stem}-{now}-{n}{extension}"));
    }
    for sum in ["", Checksum::Md5.extension(), Checksum::Sha256.extension()] {
        let (from, to) = (with_suffix(target, sum), with_suffix(&kept, sum));
        if from.exists() {
            let renaming = || format!("renaming {} to {}", from.display(), to.display());
            std::fs::rename(&from, &to).with_context(renaming)?;
        }
    }
    Ok(kept)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    if suffix.is_empty() {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes one checksum in the format of the coreutils, naming the image as the user did.
fn write_sum(file: &Path, digest: &str, target: &Path, options: &OutputOptions) -> Result<()> {
    let partial = Partial::beside(file)?;
    let line = format!("{digest}  {}\n", target.display());
    std::fs::write(partial.path(), line).with_context(|| on("writing", partial.path()))?;
    if let Some((user, group)) = options.owner {
        let path = partial.path();
        chown(path, Some(user), Some(group)).with_context(|| on("setting the owner of", path))?;
    }
    partial.rename(file)
}

/// Takes all wanted checksums of a file in one pass, in lower-case hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn checksums(path: &Path, wanted: &[Checksum]) -> Result<Vec<(Checksum, String)>> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let mut md5 = wanted.contains(&Checksum::Md5).then(md5::Md5::new);
    let mut sha256 = wanted.contains(&Checksum::Sha256).then(sha2::Sha256::new);
    let mut file = File::open(path).with_context(|| on("opening", path))?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = file.read(&mut buffer).with_context(|| on("reading", path))?;
        if n == 0 {
            break;
        }
        if let Some(sum) = &mut md5 {
            sum.update(&buffer[..n]);
        }
        if let Some(sum) = &mut sha256 {
            sum.update(&buffer[..n]);
        }
    }
    let md5 = md5.map(|s| (Checksum::Md5, hex(&s.finalize())));
    let sha256 = sha256.map(|s| (Checksum::Sha256, hex(&s.finalize())));
    Ok(md5.into_iter().chain(sha256).collect())
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::output::Format;

    fn publish(dir: &Path, content: &str, options: &OutputOptions) {
        let output = OutputPlan { format: Format::Qcow2, path: dir.join("image.qcow2") };
        let partial = Partial::beside(&output.path).unwrap();
        std::fs::write(partial.path(), content).unwrap();
        Finished::new(&output, partial, options).unwrap().publish(options, &Reporter::quiet()).unwrap();
    }

    fn listing(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn c8_an_old_image_is_kept_with_its_checksums() {
        let dir = tempfile::tempdir().unwrap();
        let options = OutputOptions { checksums: vec![Checksum::Md5, Checksum::Sha256], ..Default::default() };
        publish(dir.path(), "old", &options);
        publish(dir.path(), "new", &options);
        let names = listing(dir.path());
        assert_eq!(names.len(), 6, "{names:?}");
        let dated = regex::Regex::new(r"^image-\d{4}\.\d\d\.\d\d-\d\d\.\d\d\.\d\d\.qcow2$").unwrap();
        let kept = names.iter().find(|n| dated.is_match(n)).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(kept)).unwrap(), "old");
        assert!(names.contains(&format!("{kept}.md5")) && names.contains(&format!("{kept}.sha256")));
        assert_eq!(std::fs::read_to_string(dir.path().join("image.qcow2")).unwrap(), "new");
        publish(dir.path(), "third", &options);
        assert_eq!(listing(dir.path()).len(), 9, "builds within one second keep each other");
    }

    #[test]
    fn c8_overwriting_keeps_nothing_old_and_no_stale_checksum() {
        let dir = tempfile::tempdir().unwrap();
        publish(dir.path(), "old", &OutputOptions { checksums: vec![Checksum::Md5], ..Default::default() });
        publish(dir.path(), "new", &OutputOptions { overwrite: true, ..Default::default() });
        assert_eq!(listing(dir.path()), ["image.qcow2"]);
    }

    #[test]
    fn c9_a_checksum_file_names_the_image_as_the_user_did() {
        let dir = tempfile::tempdir().unwrap();
        let options = OutputOptions { checksums: vec![Checksum::Sha256], ..Default::default() };
        publish(dir.path(), "abc", &options);
        assert_eq!(listing(dir.path()), ["image.qcow2", "image.qcow2.sha256"]);
        let text = std::fs::read_to_string(dir.path().join("image.qcow2.sha256")).unwrap();
        let image = dir.path().join("image.qcow2");
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text, format!("{sum}  {}\n", image.display()));
    }

    #[test]
    fn an_unfinished_file_goes_with_its_guard() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.raw");
        let partial = Partial::beside(&target).unwrap();
        std::fs::write(partial.path(), "half").unwrap();
        assert_eq!(listing(dir.path()), [".x.raw.partial"]);
        // A second one takes over what a killed build left.
        std::mem::forget(partial);
        drop(Partial::beside(&target).unwrap());
        assert_eq!(listing(dir.path()), [] as [&str; 0]);
    }
}
