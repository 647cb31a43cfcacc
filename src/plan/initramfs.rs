//! `initramfs.json`: what an element, or a person, wants in an initramfs, as data.
//!
//! Several of them are merged into one [`Spec`]: lists are joined, and files that two of them put in one place
//! have to be the same.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::error::{Fault, Faults, Place};
use crate::near::near;
use crate::yaml::{self, Node};

/// The name of the file in an element's folder.
pub const FILE: &str = "initramfs.json";

/// The folder of the engine's data in which the descriptions of a build's elements lie, a folder for each.
pub const FOLDER: &str = "initramfs";

/// The stages of the boot at which hooks are run, in order (`image-init` names them).
pub const STAGES: [&str; 4] = image_init::hooks::STAGES;

const KEYS: [&str; 8] =
    ["programs", "optional-programs", "modules", "optional-modules", "load", "files", "units", "hooks"];

/// What an initramfs shall hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// Programs with all that they need: absolute paths in the tree, or names to look up.
    pub programs: Vec<Wish>,
    /// Kernel modules with all that they need: names, aliases, `DIRECTORY/` for all below it, `name*` patterns.
    pub modules: Vec<Wish>,
    /// Modules that are loaded at boot even if no device asks for them.
    pub load: Vec<Wish>,
    /// Files by their place in the initramfs.
    pub files: BTreeMap<String, File>,
    /// systemd units.
    pub units: Vec<PathBuf>,
    /// Programs of the maker's own that are run at a stage of the boot: stage, file.
    pub hooks: Vec<(String, PathBuf)>,
}

/// Something that is asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The name.
    pub name: String,
    /// Left out without a word where the tree does not have it.
    pub optional: bool,
    /// Where it was asked for: the start of the chain that an error prints.
    pub place: String,
}

/// A file that is put into the initramfs as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it comes from.
    pub source: Source,
    /// Permissions; those of the source if not given.
    pub mode: Option<u32>,
    /// Where it was asked for.
    pub place: Place,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Beside the description.
    Beside(PathBuf),
    /// In the tree that the initramfs is made for; absolute there.
    Tree(PathBuf),
}

impl Spec {
    /// Reads one description. Relative names of files in it are meant from its own folder.
    ///
    /// # Errors
    /// All mistakes at once, with lines and hints.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Faults> {
        let mut reader = Reader { dir: file.parent().unwrap_or(Path::new("")), faults: Vec::new() };
        let root = yaml::parse(text, file)?;
        let Some(entries) = root.as_map() else {
            return Err(root.fault(format!("an object is expected, not {}", root.kind())).into());
        };
        let mut spec = Self::default();
        for (key, value) in entries {
            match key.text().unwrap_or_default() {
                "programs" => spec.programs.extend(reader.wishes(value, false)),
                "optional-programs" => spec.programs.extend(reader.wishes(value, true)),
                "modules" => spec.modules.extend(reader.wishes(value, false)),
                "optional-modules" => spec.modules.extend(reader.wishes(value, true)),
                "load" => spec.load.extend(reader.wishes(value, false)),
                "files" => spec.files = reader.files(value),
                "units" => spec.units = reader.own_files(value),
                "hooks" => spec.hooks = reader.hooks(value),
                other => reader.unknown(key, &format!("unknown key '{other}'"), other, &KEYS),
            }
        }
        Faults::or(reader.faults, spec)
    }

    /// Joins descriptions, in order.
    ///
    /// # Errors
    /// Two different files for one place.
    pub fn merge(specs: impl IntoIterator<Item = Self>) -> Result<Self, Faults> {
        let mut all = Self::default();
        let mut faults = Vec::new();
        for spec in specs {
            add(&mut all.programs, spec.programs);
            add(&mut all.modules, spec.modules);
            add(&mut all.load, spec.load);
            all.units.extend(spec.units);
            all.hooks.extend(spec.hooks);
            for (place, file) in spec.files {
                match all.files.get(&place) {
                    Some(first) if (&first.source, first.mode) != (&file.source, file.mode) => {
                        let message = format!("{place} is brought already by {}", first.place);
                        faults.push(Fault::at(file.place, message).hint("leave one of the two out"));
                    }
                    _ => drop(all.files.insert(place, file)),
                }
            }
        }
        Faults::or(faults, all)
    }

    /// Checks that the files beside the description are there.
    ///
    /// # Errors
    /// Each file that is not.
    pub fn check_own_files(&self, described_in: &Path) -> Result<(), Faults> {
        let missing = self.own_files().filter(|f| !f.is_file());
        let fault = |f: &Path| Fault::at(Place::file(described_in), format!("there is no file {}", f.display()));
        Faults::or(missing.map(fault).collect(), ())
    }

    /// The files beside the description, absolute if the description's name was.
    pub fn own_files(&self) -> impl Iterator<Item = &Path> {
        let beside = self.files.values().filter_map(|f| match &f.source {
            Source::Beside(path) => Some(path.as_path()),
            Source::Tree(_) => None,
        });
        beside.chain(self.units.iter().map(PathBuf::as_path)).chain(self.hooks.iter().map(|(_, path)| path.as_path()))
    }
}

/// Adds wishes that are not there yet; a wish that somebody needs is no longer optional.
fn add(all: &mut Vec<Wish>, more: Vec<Wish>) {
    for wish in more {
        match all.iter_mut().find(|w| w.name == wish.name) {
            Some(first) if first.optional && !wish.optional => *first = wish,
            Some(_) => {}
            None => all.push(wish),
        }
    }
}

/// Reads values and collects mistakes.
struct Reader<'a> {
    dir: &'a Path,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn unknown(&mut self, node: &Node, message: &str, name: &str, known: &[&str]) {
        let hint = match near(name, known.iter().copied()).first() {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => format!("known: {}", known.join(", ")),
        };
        self.faults.push(node.fault(message).hint(hint));
    }

    /// The texts of a list.
    fn texts<'n>(&mut self, node: &'n Node) -> Vec<(&'n Node, &'n str)> {
        let Some(items) = node.as_list() else {
            self.faults.push(node.fault(format!("a list is expected, not {}", node.kind())));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items {
            match item.text().filter(|t| !t.is_empty()) {
                Some(text) => texts.push((item, text)),
                None => self.faults.push(item.fault(format!("a name is expected, not {}", item.kind()))),
            }
        }
        texts
    }

    fn wishes(&mut self, node: &Node, optional: bool) -> Vec<Wish> {
        let wish =
            |(item, name): (&Node, &str)| Wish { name: name.to_owned(), optional, place: item.place.to_string() };
        self.texts(node).into_iter().map(wish).collect()
    }

    fn own_files(&mut self, node: &Node) -> Vec<PathBuf> {
        self.texts(node).into_iter().filter_map(|(item, name)| self.beside(item, name)).collect()
    }

    /// A file beside the description, which must not lead out of its folder.
    fn beside(&mut self, node: &Node, name: &str) -> Option<PathBuf> {
        let path = Path::new(name);
        if path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
            let message = format!("'{name}' is not in the folder of this file");
            self.faults.push(node.fault(message).hint("write a name relative to the folder, without '..'"));
            return None;
        }
        Some(self.dir.join(path))
    }

    fn hooks(&mut self, node: &Node) -> Vec<(String, PathBuf)> {
        let mut hooks = Vec::new();
        if node.as_map().is_none() {
            self.faults.push(node.fault(format!("an object of stages is expected, not {}", node.kind())));
        }
        for (key, value) in node.as_map().unwrap_or_default() {
            let stage = key.text().unwrap_or_default();
            if !STAGES.contains(&stage) {
                self.unknown(key, &format!("unknown stage '{stage}'"), stage, &STAGES);
            }
            hooks.extend(self.own_files(value).into_iter().map(|file| (stage.to_owned(), file)));
        }
        hooks
    }

    fn files(&mut self, node: &Node) -> BTreeMap<String, File> {
        let mut files = BTreeMap::new();
        if node.as_map().is_none() {
            self.faults.push(node.fault(format!("an object of places is expected, not {}", node.kind())));
        }
        for (key, value) in node.as_map().unwrap_or_default() {
            let place = key.text().unwrap_or_default();
            let plain = Path::new(place).components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
            if !place.starts_with('/') || !plain || place.ends_with('/') {
                let hint = "write the absolute name that the file shall have in the initramfs";
                self.faults.push(key.fault(format!("'{place}' is no place for a file")).hint(hint));
            }
            if let Some((source, mode)) = self.file(value) {
                files.insert(place.to_owned(), File { source, mode, place: key.place.clone() });
            }
        }
        files
    }

    fn file(&mut self, node: &Node) -> Option<(Source, Option<u32>)> {
        let name = node.get("source").unwrap_or(node);
        let Some(text) = name.text().filter(|t| !t.is_empty()) else {
            let hint = r#"write "SOURCE", or {"source": "SOURCE", "mode": "0644"}"#;
            self.faults.push(node.fault(format!("the name of a file is expected, not {}", node.kind())).hint(hint));
            return None;
        };
        let mode = node.get("mode").and_then(|m| match u32::from_str_radix(m.text().unwrap_or_default(), 8) {
            Ok(bits) if bits <= 0o7777 => Some(bits),
            _ => {
                let message = format!("'{}' is no mode", m.text().unwrap_or_default());
                self.faults.push(m.fault(message).hint("write it in octal, as text: \"0644\""));
                None
            }
        });
        for (key, _) in node.as_map().unwrap_or_default() {
            let known = ["source", "mode"];
            let given = key.text().unwrap_or_default();
            if !known.contains(&given) {
                self.unknown(key, &format!("unknown key '{given}'"), given, &known);
            }
        }
        let source =
            if text.starts_with('/') { Source::Tree(text.into()) } else { Source::Beside(self.beside(name, text)?) };
        Some((source, mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
    "programs": ["lvm"],
    "optional-programs": ["/usr/sbin/e2fsck"],
    "modules": ["virtio_blk", "drivers/ata/"],
    "load": ["dm_mod"],
    "files": {
        "/etc/motd": "files/motd",
        "/etc/lvm/lvm.conf": {"source": "/etc/lvm/lvm.conf", "mode": "0600"}
    },
    "hooks": {"pre-mount": ["hooks/wait"]}
}"#;

    fn parse(text: &str) -> Result<Spec, Faults> {
        Spec::parse(text, Path::new("/elements/disk/initramfs.json"))
    }

    #[test]
    fn a_description_is_read() {
        let spec = parse(TEXT).unwrap();
        let names: Vec<_> = spec.programs.iter().map(|w| (w.name.as_str(), w.optional)).collect();
        assert_eq!(names, [("lvm", false), ("/usr/sbin/e2fsck", true)]);
        assert_eq!(spec.modules.len(), 2);
        assert_eq!(spec.files["/etc/motd"].source, Source::Beside("/elements/disk/files/motd".into()));
        assert_eq!(spec.files["/etc/lvm/lvm.conf"].mode, Some(0o600));
        assert_eq!(spec.files["/etc/lvm/lvm.conf"].source, Source::Tree("/etc/lvm/lvm.conf".into()));
        assert_eq!(spec.hooks, [("pre-mount".to_owned(), PathBuf::from("/elements/disk/hooks/wait"))]);
        assert_eq!(spec.own_files().count(), 2);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_lines_and_hints() {
        let text = "{\n \"program\": [\"x\"],\n \"modules\": \"ext4\",\n \"files\": {\"etc/x\": \"../x\", \"/a\": {\"source\": \"b\", \"mode\": \"rw\"}},\n \"hooks\": {\"premount\": []}\n}";
        let faults = parse(text).unwrap_err();
        let shown = faults.0.iter().map(Fault::sentence).collect::<Vec<_>>().join("\n");
        for part in [
            "2:",
            "did you mean 'programs'?",
            "a list is expected",
            "'etc/x' is no place",
            "'../x' is not in the folder",
            "'rw' is no mode",
            "did you mean 'pre-mount'?",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert_eq!(faults.0.len(), 6, "{shown}");
        assert!(parse("[]").is_err());
    }

    #[test]
    fn descriptions_are_joined_and_what_contradicts_is_told() {
        let other = parse(
            r#"{"optional-programs": ["lvm", "sh"], "programs": ["/usr/sbin/e2fsck"], "modules": ["virtio_blk"]}"#,
        )
        .unwrap();
        let all = Spec::merge([parse(TEXT).unwrap(), other]).unwrap();
        let names: Vec<_> = all.programs.iter().map(|w| (w.name.as_str(), w.optional)).collect();
        assert_eq!(names, [("lvm", false), ("/usr/sbin/e2fsck", false), ("sh", true)]);
        assert_eq!(all.modules.len(), 2);
        let clash = parse(r#"{"files": {"/etc/motd": "other"}}"#).unwrap();
        let faults = Spec::merge([parse(TEXT).unwrap(), clash]).unwrap_err();
        assert!(
            faults.to_string().contains("/etc/motd is brought already by /elements/disk/initramfs.json:7"),
            "{faults}"
        );
    }
}
