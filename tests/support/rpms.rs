//! Small RPM repositories for tests: packages that are unsigned, that conflict, whose scripts fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository in a directory of its own, with the keys that sign in it.
pub struct Rpms {
    // Not in a sandbox: the path of gpg-agent's socket has to be short.
    dir: tempfile::TempDir,
}

impl Rpms {
    /// An empty one, with a key called `good`.
    pub fn new() -> Self {
        let rpms = Self { dir: tempfile::Builder::new().prefix("rpms.").tempdir().unwrap() };
        for name in ["gnupg", "specs", "repository"] {
            fs::create_dir(rpms.dir.path().join(name)).unwrap();
        }
        run(Command::new("chmod").arg("700").arg(rpms.dir.path().join("gnupg")));
        rpms.make_key("good", None);
        rpms
    }

    /// Makes a key, at another time if one is given (`20400101T000000`).
    pub fn make_key(&self, name: &str, time: Option<&str>) -> PathBuf {
        run(self.gpg(time).args(["--passphrase", "", "--quick-generate-key", name, "rsa2048", "sign", "never"]));
        let key = run(self.gpg(time).args(["--armor", "--export", name]));
        fs::write(self.key(name), key).unwrap();
        self.key(name)
    }

    /// The public half of a key, in a file.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.key"))
    }

    /// Builds a package that has no files. `spec`: lines for the spec file.
    pub fn package(&self, name: &str, spec: &str) -> PathBuf {
        let file = self.dir.path().join(format!("specs/{name}.spec"));
        let head = format!("Name: {name}\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n");
        fs::write(&file, format!("{head}{spec}\n%description\nx\n%files\n")).unwrap();
        let top = format!("_topdir {}", self.dir.path().join("build").display());
        let out = format!("_rpmdir {}", self.repository().display());
        run(Command::new("rpmbuild").args(["-bb", "--quiet", "--define", &top, "--define", &out]).arg(&file));
        self.repository().join(format!("noarch/{name}-1-1.noarch.rpm"))
    }

    /// Builds a package and signs it with the key `good`.
    pub fn signed(&self, name: &str, spec: &str) -> &Self {
        self.sign(&self.package(name, spec), "good", None);
        self
    }

    /// Signs a package.
    pub fn sign(&self, package: &Path, key: &str, time: Option<&str>) {
        let time = time.map(|time| format!("--faked-system-time {time}")).unwrap_or_default();
        let extra = format!("_gpg_sign_cmd_extra_args --pinentry-mode loopback --passphrase '' {time}");
        let path = format!("_gpg_path {}", self.dir.path().join("gnupg").display());
        let name = format!("_gpg_name {key}");
        let mut command = Command::new("rpmsign");
        for define in [name.as_str(), &path, &extra, "__gpg /usr/bin/gpg"] {
            command.args(["--define", define]);
        }
        run(command.arg("--addsign").arg(package));
    }

    /// Where the packages are.
    pub fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// Writes the repository's data, and a file for dnf that names it `extra`, with the keys in `keys`.
    pub fn repository_file(&self, keys: &Path) -> PathBuf {
        run(Command::new("createrepo_c").arg("-q").arg(self.repository()));
        let file = self.dir.path().join("extra.repo");
        let text = "[extra]\nname=Extra\ngpgcheck=1\n";
        let address = self.repository();
        fs::write(&file, format!("{text}baseurl=file://{}\ngpgkey=file://{}\n", address.display(), keys.display()))
            .unwrap();
        file
    }

    fn gpg(&self, time: Option<&str>) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--homedir"]).arg(self.dir.path().join("gnupg"));
        command.args(time.map(|time| ["--faked-system-time", time]).into_iter().flatten());
        command
    }
}

impl Default for Rpms {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Rpms {
    fn drop(&mut self) {
        // Its agent would stay.
        Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.dir.path().join("gnupg"))
            .args(["--kill", "all"])
            .output()
            .ok();
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
