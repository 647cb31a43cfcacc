//! The stand-in for Rocky Linux's repositories (tests/rocky-standin), built once and kept.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::{Outcome, Sandbox, repository, skip_without, skip_without_root};

/// What building it needs of the host: tests/rocky-standin/host-packages.txt.
const TOOLS: &[&str] =
    &["apt-get", "python3", "dpkg-deb", "rpmbuild", "rpmsign", "createrepo_c", "gpg", "gpg-agent", "dnf"];

/// The mirror in target/rocky-standin.
#[derive(Debug, Clone)]
pub struct Standin {
    dir: PathBuf,
}

impl Standin {
    /// The stand-in, built now if what is there is missing or old. `None`, with a line on stderr, when the
    /// test is to be skipped.
    pub fn get() -> Option<Self> {
        static BUILT: OnceLock<()> = OnceLock::new();
        if skip_without_root() || skip_without(TOOLS) {
            return None;
        }
        // Test programs that run side by side wait for each other: build.py takes a lock.
        BUILT.get_or_init(|| {
            let built = Command::new(repository().join("tests/rocky-standin/build.py")).output().unwrap();
            assert!(built.status.success(), "build.py: {}", String::from_utf8_lossy(&built.stderr));
        });
        Some(Self { dir: repository().join("target/rocky-standin") })
    }

    /// The folder below which `9/BaseOS/x86_64/os` lies.
    pub fn mirror(&self) -> PathBuf {
        self.dir.join("mirror")
    }

    /// The same as an address.
    pub fn url(&self) -> String {
        format!("file://{}", self.mirror().display())
    }

    /// The public key that has signed the packages.
    pub fn key(&self) -> PathBuf {
        self.mirror().join("RPM-GPG-KEY-Rocky-9")
    }

    /// The file that says what it was made from, and the fingerprint of its key: JSON.
    pub fn made_from(&self) -> PathBuf {
        self.dir.join("standin.json")
    }

    /// Makes `sandbox` build rocky-minimal from this mirror, as files; EPEL as well.
    pub fn give_to(&self, sandbox: &mut Sandbox) {
        sandbox.env("DIB_ROCKY_MIRROR", &self.url());
        sandbox.env("DIB_EPEL_MIRROR", &format!("{}/epel", self.url()));
        sandbox.env("DIB_ROCKY_GPG_KEY", &self.key().to_string_lossy());
    }

    /// A sandbox that builds Rocky trees of `packages`.
    pub fn sandbox(&self, packages: &str) -> Sandbox {
        let mut sandbox = Sandbox::new();
        self.give_to(&mut sandbox);
        sandbox.env("DIB_ROCKY_PACKAGES", packages);
        sandbox
    }

    /// Serves the mirror on loopback.
    pub fn serve(&self) -> Served {
        Served::start(&self.mirror())
    }
}

/// Builds `out/x.tar` of rocky-minimal and `elements`, without the element base.
pub fn build_tar(sandbox: &Sandbox, elements: &[&str]) -> Outcome {
    sandbox.run_long([&["-n", "-t", "tar", "-o", "x", "rocky-minimal"], elements].concat())
}

/// serve.py with a mirror; ends when dropped, and with the test.
pub struct Served {
    server: Child,
    url: String,
}

impl Served {
    /// Serves `dir`.
    pub fn start(dir: &Path) -> Self {
        let mut server = Command::new(repository().join("tests/rocky-standin/serve.py"))
            .arg("--until-eof")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "serve.py did not start");
        Self { server, url: url.trim().to_owned() }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port; a guest of QEMU's user network reaches it at 10.0.2.2.
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
