//! `cache-url [-f] URL DEST`: downloads a file unless the copy that is there is still good
//! (contract 3.9). Uses the curl of where it runs; without one only `file://` works.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{out, say};
use crate::error::on;
use crate::exec::command::{code_of, quote};

const USAGE: &str = "usage: cache-url [-f] URL DEST
Downloads URL to DEST, unless the server says that DEST is still current.
  -f  force: fetch it anew, past all caches";

/// Exit status for "the server does not have it": callers try another address then.
const NOT_THERE: u8 = 44;

/// Downloads, or keeps what is there.
///
/// # Errors
/// When a file cannot be written, or curl is needed and not there. curl's own failure is its exit status.
pub fn run(args: Vec<String>) -> Result<u8> {
    let mut force = false;
    let mut words = Vec::new();
    for arg in &args {
        match arg.as_str() {
            "-h" | "--help" => return out(USAGE).map(|()| 0),
            "-f" => force = true,
            word => words.push(word),
        }
    }
    let [url, dest] = words[..] else {
        say(USAGE)?;
        return Ok(1);
    };
    Download::new(url, Path::new(dest), force)?.run()
}

struct Download<'a> {
    url: &'a str,
    dest: &'a Path,
    /// DEST is a named pipe: somebody reads what is written to it.
    pipe: bool,
    force: bool,
    /// Ask the server whether DEST is still current.
    conditional: bool,
    temporary: tempfile::NamedTempFile,
}

impl<'a> Download<'a> {
    fn new(url: &'a str, dest: &'a Path, force: bool) -> Result<Self> {
        let found = fs::metadata(dest).ok();
        let pipe = found.as_ref().is_some_and(|m| m.file_type().is_fifo());
        let conditional = !force && found.is_some_and(|m| m.is_file() && m.len() > 0);
        // Beside DEST, so that it can be renamed there in one step.
        let dir = match dest.parent() {
            _ if pipe => std::env::temp_dir(),
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let builder = tempfile::Builder::new().prefix(".download.").rand_bytes(8).to_owned();
        let temporary = builder.tempfile_in(&dir).with_context(|| on("creating a file in", &dir))?;
        Ok(Self { url, dest, pipe, force, conditional, temporary })
    }

    fn run(self) -> Result<u8> {
        let status = match self.curl()? {
            Curl::Ended(code, _) if code != 0 => {
                say(&format!("cache-url: curl ended with status {code} for {}", self.url))?;
                return Ok(u8::try_from(code).unwrap_or(1));
            }
            Curl::Ended(_, status) => status,
            Curl::Missing => self.without_curl()?,
        };
        match status.as_str() {
            // 226 is FTP's word for a file that has been sent.
            "200" | "226" => self.keep(),
            _ if self.url.starts_with("file://") => self.keep(),
            "304" | "213" => {
                out(&format!("Server says {} is not modified; using the cached {}", self.url, self.dest())).map(|()| 0)
            }
            "404" => {
                say(&format!("cache-url: {} is not there (status 404)", self.url))?;
                Ok(NOT_THERE)
            }
            other => {
                say(&format!("cache-url: server replied with status {other} for {}", self.url))?;
                Ok(1)
            }
        }
    }

    fn dest(&self) -> std::path::Display<'_> {
        self.dest.display()
    }

    /// Runs curl. stubs in elements' tests count on `-L -o FILE` coming first.
    fn curl(&self) -> Result<Curl> {
        let mut curl = Command::new("curl");
        curl.args(["-L", "-o"]).arg(self.temporary.path());
        curl.args(["-w", "%{http_code}", "-sS", "--connect-timeout", "10", "--retry", "3", "--retry-delay", "30"]);
        if self.force {
            curl.args(["-H", "Pragma: no-cache, no-store", "-H", "Cache-Control: no-cache, no-store"]);
        }
        if self.conditional {
            curl.arg("-z").arg(self.dest);
        }
        curl.arg(self.url).stdin(Stdio::null()).stdout(Stdio::piped());
        let why = if self.conditional { "to see whether the cached copy is current" } else { "anew" };
        out(&format!("Fetching {} {why}", quote(self.url)))?;
        let output = match curl.spawn().and_then(|child| child.wait_with_output()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Curl::Missing),
            output => output.context("starting curl")?,
        };
        let status = String::from_utf8_lossy(&output.stdout);
        // With redirects or retries the last line counts.
        let status = status.lines().last().unwrap_or_default().trim().to_owned();
        Ok(Curl::Ended(code_of(output.status), status))
    }

    fn without_curl(&self) -> Result<String> {
        let Some(path) = self.url.strip_prefix("file://") else {
            bail!(
                "there is no curl here, so {} cannot be fetched; install curl first, or fetch it in a host phase",
                self.url
            );
        };
        let file = Path::new(path);
        fs::copy(file, self.temporary.path()).with_context(|| on("copying", file))?;
        Ok(String::new())
    }

    /// Puts what was downloaded in DEST's place.
    fn keep(self) -> Result<u8> {
        let downloaded = self.temporary.path();
        if self.conditional && fs::metadata(downloaded).with_context(|| on("reading", downloaded))?.len() == 0 {
            // An empty answer to a conditional request is how curl reports an unmodified file://.
            return out(&format!("Ignoring empty file; using the cached {}", self.dest())).map(|()| 0);
        }
        if self.pipe {
            let mut from = fs::File::open(downloaded).with_context(|| on("reading", downloaded))?;
            let mut to =
                fs::OpenOptions::new().write(true).open(self.dest).with_context(|| on("opening", self.dest))?;
            io::copy(&mut from, &mut to).with_context(|| on("writing", self.dest))?;
            return Ok(0);
        }
        // A temporary file is its owner's only; a cached one is everybody's.
        fs::set_permissions(downloaded, fs::Permissions::from_mode(0o644))
            .with_context(|| on("setting the mode of", downloaded))?;
        self.temporary.persist(self.dest).with_context(|| on("writing", self.dest))?;
        out("Downloaded and cached").map(|()| 0)
    }
}

enum Curl {
    /// Its exit status, and the server's status.
    Ended(i32, String),
    Missing,
}
