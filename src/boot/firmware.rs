//! UEFI firmware for guests: where distributions put OVMF.

use std::path::{Path, PathBuf};

/// Firmware as two flash images of equal kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ovmf {
    /// The code, never written.
    pub code: PathBuf,
    /// The variable store to start from.
    pub vars: PathBuf,
}

/// Code and variable store, best first; the paths of Debian, Fedora, Arch, openSUSE and QEMU's own.
const PLACES: &[(&str, &str)] = &[
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("usr/share/qemu/ovmf-x86_64-code.bin", "usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("usr/share/qemu/edk2-x86_64-code.fd", "usr/share/qemu/edk2-i386-vars.fd"),
    ("opt/homebrew/share/qemu/edk2-x86_64-code.fd", "opt/homebrew/share/qemu/edk2-i386-vars.fd"),
];

impl Ovmf {
    /// The first complete pair below `root` (`/` outside tests).
    pub fn find(root: &Path) -> Option<Self> {
        PLACES
            .iter()
            .map(|(code, vars)| Self { code: root.join(code), vars: root.join(vars) })
            .find(|pair| pair.code.is_file() && pair.vars.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        root
    }

    #[test]
    fn the_first_complete_pair_wins() {
        let root = root_with(&[
            "usr/share/OVMF/OVMF_CODE_4M.fd",
            "usr/share/OVMF/OVMF_CODE.fd",
            "usr/share/OVMF/OVMF_VARS.fd",
            "usr/share/qemu/ovmf-x86_64-code.bin",
        ]);
        let found = Ovmf::find(root.path()).unwrap();
        assert_eq!(found.code, root.path().join("usr/share/OVMF/OVMF_CODE.fd"));
        assert_eq!(found.vars, root.path().join("usr/share/OVMF/OVMF_VARS.fd"));
    }

    #[test]
    fn no_pair_no_firmware() {
        let root = root_with(&["usr/share/edk2/ovmf/OVMF_CODE.fd"]);
        assert_eq!(Ovmf::find(root.path()), None);
    }
}
