//! The bundle itself: one flat archive.

use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use crate::error::on;

/// Writes the files of `stage`, in this order. What is large in it is packed already, so little is tried.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(stage: &Path, names: &[String], target: &Path, epoch: Option<i64>) -> Result<()> {
    let writing = || on("writing", target);
    let out = BufWriter::new(File::create(target).with_context(writing)?);
    let mut archive = Builder::new(GzEncoder::new(out, Compression::fast()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let time = epoch.map_or(now, |epoch| u64::try_from(epoch).unwrap_or(0));
    for name in names {
        let path = stage.join(name);
        let mut file = File::open(&path).with_context(|| on("reading", &path))?;
        let meta = file.metadata().with_context(|| on("reading", &path))?;
        let mut header = Header::new_gnu();
        header.set_size(meta.len());
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
        archive.append_data(&mut header, name, &mut file).with_context(writing)?;
        // Two copies of a payload need not be there at a time.
        drop(fs::remove_file(&path));
    }
    let packed = archive.into_inner().with_context(writing)?.finish().with_context(writing)?;
    packed.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(writing)?;
    Ok(())
}
