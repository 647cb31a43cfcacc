//! Small RPM packages, made by a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Sandbox;

/// A package to be made.
#[derive(Debug, Clone, Default)]
pub struct Rpm<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version; 1 if empty.
    pub version: &'a str,
    /// More lines of the head: `Provides: x`.
    pub head: &'a str,
    /// Files: path, mode, text.
    pub files: &'a [(&'a str, u32, &'a str)],
    /// What runs at the end of the transaction that installs it.
    pub posttrans: &'a str,
}

impl Rpm<'_> {
    /// Makes it, unsigned and for all architectures; needs rpmbuild.
    pub fn build(&self, sandbox: &Sandbox) -> PathBuf {
        let top = sandbox.path("rpmbuild");
        let source = top.join("files").join(self.name);
        fs::create_dir_all(&source).unwrap();
        let (mut install, mut files) = (String::new(), String::new());
        for (n, (path, mode, text)) in self.files.iter().enumerate() {
            let file = source.join(n.to_string());
            fs::write(&file, text).unwrap();
            install += &format!("install -D -m {mode:o} {} %{{buildroot}}{path}\n", file.display());
            files += &format!("{path}\n");
        }
        let version = if self.version.is_empty() { "1" } else { self.version };
        let spec = format!(
            "Name: {}\nVersion: {version}\nRelease: 1\nSummary: Made by a test\nLicense: none\nBuildArch: noarch\n{}\n\
             %description\nMade by a test.\n%install\n{install}\n%posttrans\n{}\n%files\n{files}",
            self.name, self.head, self.posttrans
        );
        let file = top.join(format!("{}.spec", self.name));
        fs::write(&file, spec).unwrap();
        let mut command = Command::new("rpmbuild");
        command.arg("-bb").arg("--define").arg(format!("_topdir {}", top.display())).arg(&file);
        let out = command.env("HOME", sandbox.path("home")).output().unwrap();
        assert!(out.status.success(), "rpmbuild: {}", String::from_utf8_lossy(&out.stderr));
        top.join(format!("RPMS/noarch/{}-{version}-1.noarch.rpm", self.name))
    }

    /// Makes it, and puts it into an element's folder as `rpms/NAME.rpm`.
    pub fn build_into(&self, sandbox: &Sandbox, element: &Path) {
        let place = element.join("rpms");
        fs::create_dir_all(&place).unwrap();
        fs::copy(self.build(sandbox), place.join(format!("{}.rpm", self.name))).unwrap();
    }
}
