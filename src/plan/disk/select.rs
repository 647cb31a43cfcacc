//! Which description a build uses: the request's, an element's, or the one built in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Fault, Place};

/// What faults name when a description came in a variable.
pub const VARIABLE: &str = "DIB_BLOCK_DEVICE_CONFIG";

/// The description of builds that have no other: the image is one filesystem, without partitions.
pub const FALLBACK: &str = "\
- local_loop:
    name: image0
    mkfs:
      name: mkfs_root
      mount:
        mount_point: /
        fstab:
          options: defaults
          fsck-passno: 1
";

/// Where the description is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In the request itself.
    Text(String),
    /// Nobody brought one: [`FALLBACK`].
    Fallback,
}

impl Source {
    /// The description's text, and the name that faults give its file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn load(&self) -> Result<(String, PathBuf), Fault> {
        match self {
            Source::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok((text, path.clone())),
                Err(error) => Err(Fault::at(Place::file(path), format!("reading the disk layout: {error}"))),
            },
            Source::Text(text) => Ok((text.clone(), PathBuf::from(VARIABLE))),
            Source::Fallback => Ok((FALLBACK.to_string(), PathBuf::from("the built-in disk layout"))),
        }
    }
}

/// Picks the description. `config` is `DIB_BLOCK_DEVICE_CONFIG` (`file://PATH`, or the description
/// itself); `arch` is `ARCH`; `files` are the `block-device-*.yaml` of the build's elements, with the
/// elements' names.
///
/// # Errors
/// Two elements that both bring one for this architecture.
pub fn select(config: Option<&str>, arch: &str, files: &[(String, PathBuf)]) -> Result<Source, Fault> {
    match config.filter(|config| !config.trim().is_empty()) {
        Some(config) => Ok(match config.strip_prefix("file://") {
            Some(path) => Source::File(PathBuf::from(path)),
            None => Source::Text(config.to_string()),
        }),
        None => from_elements(arch, files),
    }
}

fn from_elements(arch: &str, files: &[(String, PathBuf)]) -> Result<Source, Fault> {
    // Both spellings of little-endian POWER share a file.
    let arch = if arch == "ppc64le" { "ppc64el" } else { arch };
    let own = format!("block-device-{arch}.yaml");
    let mut chosen: Vec<(&str, &Path)> = Vec::new();
    for name in [own.as_str(), "block-device-default.yaml"] {
        for (element, path) in files.iter().filter(|(_, path)| path.file_name().is_some_and(|n| n == name)) {
            if !chosen.iter().any(|(other, _)| other == element) {
                chosen.push((element, path));
            }
        }
    }
    chosen.sort();
    match chosen.as_slice() {
        [] => Ok(Source::Fallback),
        [(_, path)] => Ok(Source::File(path.to_path_buf())),
        several => {
            let names: Vec<String> = several.iter().map(|(element, _)| format!("'{element}'")).collect();
            let message = format!("the elements {} each bring a disk layout", names.join(" and "));
            let first = several[0].1.display();
            Err(Fault::new(message).hint(format!("leave all but one out, or choose one: {VARIABLE}=file://{first}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<(String, PathBuf)> {
        list.iter().map(|(element, file)| (element.to_string(), Path::new("/e").join(element).join(file))).collect()
    }

    #[test]
    fn the_request_comes_first() {
        let two = files(&[("a", "block-device-default.yaml"), ("b", "block-device-default.yaml")]);
        assert_eq!(select(Some("file:///x.yaml"), "amd64", &two), Ok(Source::File("/x.yaml".into())));
        assert_eq!(select(Some("- mkfs"), "amd64", &two), Ok(Source::Text("- mkfs".into())));
        assert_eq!(select(Some(""), "amd64", &[]), Ok(Source::Fallback));
        assert_eq!(select(None, "amd64", &[]), Ok(Source::Fallback));
    }

    #[test]
    fn the_architecture_s_file_comes_before_the_default() {
        let both = files(&[("mbr", "block-device-default.yaml"), ("mbr", "block-device-ppc64el.yaml")]);
        let path = |arch| match select(None, arch, &both) {
            Ok(Source::File(path)) => path.file_name().unwrap().to_str().unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(path("amd64"), "block-device-default.yaml");
        assert_eq!(path("ppc64el"), "block-device-ppc64el.yaml");
        assert_eq!(path("ppc64le"), "block-device-ppc64el.yaml");
        let other = files(&[("x", "block-device-arm64.yaml")]);
        assert_eq!(select(None, "amd64", &other), Ok(Source::Fallback));
    }

    #[test]
    fn two_providers_are_a_fault_that_names_both() {
        let two = files(&[("mine", "block-device-amd64.yaml"), ("block-device-efi", "block-device-default.yaml")]);
        let fault = select(None, "amd64", &two).unwrap_err();
        assert_eq!(fault.message, "the elements 'block-device-efi' and 'mine' each bring a disk layout");
        assert!(fault.hint.unwrap().contains("/e/block-device-efi/block-device-default.yaml"));
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let fault = Source::File("/nowhere/x.yaml".into()).load().unwrap_err();
        assert!(fault.to_string().starts_with("/nowhere/x.yaml: reading the disk layout: "));
    }
}
