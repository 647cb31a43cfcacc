//! The root tree as a container image: an OCI image layout in one tar file, which podman, skopeo and containerd
//! load; `manifest.json` beside it makes `docker load` take it too.
//!
//! Format: opencontainers/image-spec 1.0 (image-layout.md, manifest.md, config.md).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::archive::TarStream;
use super::gzip;
use super::publish::hex;
use crate::error::on;
use crate::plan::output::OutputOptions;

/// The length of a tar header and the unit that members are padded to.
const BLOCK: u64 = 512;
/// gzip's usual level: a registry would recompress anyway.
const LEVEL: u32 = 6;

/// Writes the image to `target`.
///
/// # Errors
/// When tar fails or the file cannot be written.
pub fn write(tree: &Path, target: &Path, options: &OutputOptions) -> Result<()> {
    let writing = || on("writing", target);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(target).with_context(writing)?;
    // The layer's header needs its digest and size: it is written once they are known.
    file.seek(SeekFrom::Start(BLOCK)).with_context(writing)?;
    // The image specification asks for layers without sparse members.
    let mut stream = Hashing::new(TarStream::start(tree, options.epoch, false)?);
    let mut output = Hashing::new(&mut file);
    gzip::compress(&mut stream, &mut output, LEVEL).with_context(writing)?;
    let (layer_digest, layer_size) = output.digest();
    let (diff_id, _) = stream.digest();
    stream.inner.finish()?;
    let has_shell = tree.join("bin/sh").symlink_metadata().is_ok();
    let config = config(options, &diff_id, has_shell).to_string();
    let config_digest = digest_of(config.as_bytes());
    let manifest = manifest(&config_digest, config.len(), &layer_digest, layer_size).to_string();
    let manifest_digest = digest_of(manifest.as_bytes());
    let name = options.docker_target.as_deref().unwrap_or("");
    let members = [
        (blob(&config_digest), config),
        (blob(&manifest_digest), manifest.clone()),
        ("index.json".to_owned(), index(&manifest_digest, manifest.len(), name).to_string()),
        ("manifest.json".to_owned(), docker_manifest(&config_digest, &layer_digest, name).to_string()),
        ("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string()),
    ];
    let mut write = || -> io::Result<()> {
        file.write_all(&vec![0; padding(layer_size)])?;
        for (name, content) in &members {
            append(&mut file, name, content.as_bytes())?;
        }
        // Two empty blocks end the archive.
        file.write_all(&[0; 2 * BLOCK as usize])?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(header(&blob(&layer_digest), layer_size)?.as_bytes())
    };
    write().with_context(writing)
}

fn config(options: &OutputOptions, diff_id: &str, has_shell: bool) -> Value {
    let created = options.epoch.and_then(|e| DateTime::<Utc>::from_timestamp(e, 0)).unwrap_or_else(Utc::now);
    let created = created.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut run = json!({"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]});
    if has_shell {
        run["Cmd"] = json!(["/bin/sh"]);
    }
    json!({
        "created": created,
        "architecture": options.oci_architecture,
        "os": "linux",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": "image-create"}],
    })
}

fn manifest(config: &str, config_size: usize, layer: &str, layer_size: u64) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": layer,
            "size": layer_size,
        }],
    })
}

fn index(manifest: &str, size: usize, name: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest,
            "size": size,
            // podman and skopeo read the first, containerd the second.
            "annotations": {
                "org.opencontainers.image.ref.name": name,
                "io.containerd.image.name": name,
            },
        }],
    })
}

fn docker_manifest(config: &str, layer: &str, name: &str) -> Value {
    json!([{"Config": blob(config), "RepoTags": [name], "Layers": [blob(layer)]}])
}

/// The member's name of a `sha256:…` digest.
fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn append(file: &mut File, name: &str, content: &[u8]) -> io::Result<()> {
    file.write_all(header(name, content.len() as u64)?.as_bytes())?;
    file.write_all(content)?;
    file.write_all(&vec![0; padding(content.len() as u64)])
}

fn header(name: &str, size: u64) -> io::Result<tar::Header> {
    // GNU's header can tell sizes beyond 8 GiB.
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK) - size) as usize
}

/// Passes bytes through and takes their digest.
struct Hashing<T> {
    inner: T,
    sum: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, sum: Sha256::new(), count: 0 }
    }

    fn digest(&self) -> (String, u64) {
        (format!("sha256:{}", hex(&self.sum.clone().finalize())), self.count)
    }

    fn take_in(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.take_in(&buffer[..n]);
        Ok(n)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.take_in(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
