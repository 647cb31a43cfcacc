//! ext2, ext3 and ext4: one mke2fs run makes the filesystem at its offset in the raw file and fills it.

use std::path::Path;

use anyhow::Result;
use uuid::Uuid;

use super::ext_inodes;
use super::filesystem::{Job, TooSmall};
use super::host;
use crate::plan::output::Tool;
use crate::report::Reporter;

/// Makes and fills it; see [`super::filesystem::fill`].
///
/// # Errors
/// As there.
pub fn fill(job: &Job, source: Option<&Path>, reporter: &Reporter) -> Result<()> {
    let fs = job.filesystem;
    let mut cmd = host::command(Tool::MKE2FS)?
        .args(["-t", &fs.kind, "-F", "-q"])
        .args(["-L", &fs.label, "-U", &job.uuid.to_string()])
        .args(arguments(job));
    if let Some(source) = source {
        cmd = cmd.arg("-d").arg(source);
    }
    if let Some(epoch) = job.epoch {
        // mke2fs before 1.47.1 knows only the first of these.
        cmd = cmd.env("E2FSPROGS_FAKE_TIME", epoch.to_string()).env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    cmd = cmd.arg(job.image).arg(format!("{}k", job.kibibytes()));
    let mut no_room = None;
    let exit = cmd.stream(|line| {
        if tells_no_room(line) {
            no_room = Some(line.to_owned());
        }
        reporter.output(line);
    })?;
    if exit.code != 0 {
        if let Some(line) = no_room {
            return Err(TooSmall::new(job, source, line).into());
        }
        anyhow::bail!("{} ended with status {}: {}", cmd.line(), exit.code, exit.tail.join("; "));
    }
    ext_inodes::finish(job.image, job.extent.start, source, job.epoch)
}

/// The words of mke2fs when blocks, inodes or the room for its structures run out.
fn tells_no_room(line: &str) -> bool {
    ["Could not allocate block", "Could not allocate inode", "too small for a journal", "Not enough space to build"]
        .iter()
        .any(|words| line.contains(words))
}

/// The layout's options with everything of `-E` in one argument: mke2fs heeds only the last one.
fn arguments(job: &Job) -> Vec<String> {
    let mut extended = vec![
        format!("offset={}", job.extent.start),
        // The seed of directory hashes is random otherwise.
        format!("hash_seed={}", Uuid::new_v5(&job.uuid, b"hash seed")),
        // The file is new and sparse: discarding is useless, and zeroes cost nothing.
        "nodiscard".to_owned(),
        "lazy_itable_init=0".to_owned(),
    ];
    let mut plain = Vec::new();
    let mut options = job.filesystem.options.iter();
    while let Some(option) = options.next() {
        match option.strip_prefix("-E") {
            Some("") => extended.extend(options.next().cloned()),
            Some(joined) => extended.push(joined.to_owned()),
            None => plain.push(option.clone()),
        }
    }
    let has_block_size = plain.iter().any(|o| o.starts_with("-b"));
    if job.sector_size > 1024 && !has_block_size {
        // A block smaller than the disk's sector cannot be mounted.
        plain.extend(["-b".to_owned(), job.sector_size.to_string()]);
    }
    plain.extend(["-E".to_owned(), extended.join(",")]);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::disk::{Extent, Filesystem};

    fn arguments_of(options: &[&str], sector_size: u32) -> Vec<String> {
        let fs = Filesystem {
            name: "mkfs_root".into(),
            base: "root".into(),
            kind: "ext4".into(),
            label: "root".into(),
            uuid: None,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            mount_point: Some("/".into()),
            fstab: None,
        };
        let job = Job {
            filesystem: &fs,
            uuid: Uuid::nil(),
            image: Path::new("x.raw"),
            extent: Extent { start: 1 << 20, length: 1 << 30 },
            sector_size,
            epoch: None,
            work: Path::new("/tmp"),
        };
        arguments(&job)
    }

    #[test]
    fn extended_options_come_in_one_argument() {
        let args = arguments_of(&["-E", "resize=99", "-i", "4096", "-Estride=2", "-J", "size=64"], 512);
        assert_eq!(args[..4], ["-i", "4096", "-J", "size=64"]);
        assert_eq!(args[4], "-E");
        assert!(args[5].starts_with("offset=1048576,hash_seed="), "{}", args[5]);
        assert!(args[5].ends_with(",resize=99,stride=2"), "{}", args[5]);
        assert_eq!(args.len(), 6);
    }

    #[test]
    fn blocks_are_not_smaller_than_sectors() {
        assert_eq!(arguments_of(&[], 4096)[..2], ["-b", "4096"]);
        assert_eq!(arguments_of(&["-b", "8192"], 4096)[..2], ["-b", "8192"]);
    }
}
