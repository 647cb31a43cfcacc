//! The root tree as an archive: tar, tgz, aci, squashfs.
//!
//! Everything is in them: numeric owners, all extended attributes, ACLs, devices, hard links, empty directories.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{gzip, host};
use crate::error::on;
use crate::exec::command::{Cmd, code_of};
use crate::plan::output::{OutputOptions, Tool};
use crate::report::Reporter;

/// The arguments of GNU tar that make the same archive of the same tree, whatever the order of its directories.
/// With `sparse`, holes are stored as such, which not every reader understands.
fn tar_arguments(epoch: Option<i64>, sparse: bool) -> Vec<String> {
    let mut args: Vec<String> = [
        "--create",
        "--format=pax",
        // Else pax headers carry the process number and the times of last access.
        "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        "--sort=name",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
    ]
    .map(str::to_owned)
    .into();
    if let Some(epoch) = epoch {
        args.extend([format!("--mtime=@{epoch}"), "--clamp-mtime".to_owned()]);
    } else if sparse {
        // Sparse members carry tar's process number: not for a build that can be repeated.
        args.push("--sparse".to_owned());
    }
    args
}

/// Writes the tree as a tar archive with names relative to `.`.
///
/// # Errors
/// When tar is missing or fails.
pub fn tar(tree: &Path, target: &Path, options: &OutputOptions, reporter: &Reporter) -> Result<()> {
    let cmd = host::command(Tool::TAR)?.args(tar_arguments(options.epoch, true)).arg("--file").arg(target);
    cmd.arg("--directory").arg(tree).arg(".").run(reporter)
}

/// Writes the tree as an application container image: names under `rootfs`, and the manifest if there is one.
///
/// # Errors
/// When tar is missing or fails, or the manifest cannot be read.
pub fn aci(tree: &Path, target: &Path, options: &OutputOptions, work: &Path, reporter: &Reporter) -> Result<()> {
    let mut cmd = host::command(Tool::TAR)?.args(tar_arguments(options.epoch, false)).arg("--file").arg(target);
    // Member names and hard links' targets, but not the targets of symbolic links.
    cmd = cmd.arg("--transform=flags=rhS;s,^\\.,rootfs,");
    let dir = tempfile::tempdir_in(work).with_context(|| on("making a directory in", work))?;
    match &options.aci_manifest {
        Some(manifest) => {
            std::fs::copy(manifest, dir.path().join("manifest"))
                .with_context(|| on("reading the manifest", manifest))?;
            cmd = cmd.arg("--directory").arg(dir.path()).arg("manifest");
        }
        None => reporter.warn("the aci image has no manifest: ACI_MANIFEST is not set"),
    }
    cmd.arg("--directory").arg(tree).arg(".").run(reporter)
}

/// Writes the tree as a tar archive, compressed with gzip or with the program that the caller named.
///
/// # Errors
/// When a tool is missing or fails.
pub fn tgz(tree: &Path, target: &Path, options: &OutputOptions) -> Result<()> {
    let mut stream = TarStream::start(tree, options.epoch, true)?;
    let mut file = File::create(target).with_context(|| on("making", target))?;
    match &options.gzip {
        None => gzip::compress(&mut stream, &mut file, 9).with_context(|| on("writing", target))?,
        Some(program) => {
            let line = || format!("running {} -9", program.display());
            let mut child =
                Command::new(program).arg("-9").stdin(Stdio::piped()).stdout(file).spawn().with_context(line)?;
            let mut input = child.stdin.take().context("the compressor has no input")?;
            let copied = std::io::copy(&mut stream, &mut input).and_then(|_| input.flush());
            drop(input);
            let status = child.wait().with_context(line)?;
            if !status.success() {
                bail!("{} -9 ended with status {}", program.display(), code_of(status));
            }
            copied.with_context(line)?;
        }
    }
    stream.finish()
}

/// Writes the tree as a squashfs.
///
/// # Errors
/// When mksquashfs is missing or fails.
pub fn squashfs(tree: &Path, target: &Path, options: &OutputOptions, reporter: &Reporter) -> Result<()> {
    let mut cmd: Cmd = host::command(Tool::MKSQUASHFS)?.arg(tree).arg(target);
    cmd = cmd.args(["-comp", "xz", "-noappend", "-no-recovery", "-no-progress"]);
    if let Some(epoch) = options.epoch {
        cmd = cmd.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    cmd.run(reporter)
}

/// A running tar whose archive is read as it is made.
#[derive(Debug)]
#[must_use = "an archive that is not finished may be incomplete"]
pub struct TarStream {
    child: Child,
    output: BufReader<ChildStdout>,
    errors: std::thread::JoinHandle<String>,
}

impl TarStream {
    /// Starts archiving `tree`; with `sparse`, holes are stored as such, which not every reader understands.
    ///
    /// # Errors
    /// When tar is missing or cannot be started.
    pub fn start(tree: &Path, epoch: Option<i64>, sparse: bool) -> Result<Self> {
        let mut command = Command::new(host::find(Tool::TAR)?);
        command.args(tar_arguments(epoch, sparse));
        command.arg("--directory").arg(tree).arg(".").env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting tar")?;
        let output = BufReader::with_capacity(1 << 16, child.stdout.take().context("tar has no output")?);
        let mut stderr = child.stderr.take().context("tar has no error output")?;
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read up to an error is all there is to tell.
            drop(stderr.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Self { child, output, errors })
    }

    /// Checks that the archive, read to its end, is complete.
    ///
    /// # Errors
    /// When tar failed; the message holds its last words.
    pub fn finish(self) -> Result<()> {
        let Self { mut child, output, errors } = self;
        drop(output);
        let status = child.wait().context("waiting for tar")?;
        let said = errors.join().unwrap_or_default();
        if !status.success() {
            bail!("tar ended with status {}: {}", code_of(status), said.trim());
        }
        Ok(())
    }
}

impl Read for TarStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.output.read(buffer)
    }
}
