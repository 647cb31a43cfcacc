//! Kernel modules: which file a name or a device means, what it needs, and loading it.
//!
//! The index is that of depmod in its text form (`modules.dep(5)`, `modprobe.d(5)`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::alias;
use crate::cmdline::CommandLine;
use crate::console;

/// What depmod and the settings of modprobe say about the modules of a kernel.
#[derive(Debug, Default)]
pub struct Index {
    dir: PathBuf,
    /// Name to file (relative to `dir`) and the files that it needs, nearest first.
    files: HashMap<String, (String, Vec<String>)>,
    /// Patterns by what stands before their first wildcard or colon, with the module that each means.
    aliases: HashMap<Vec<u8>, Vec<(Vec<u8>, String)>>,
    /// Modules to load before and after another.
    soft: HashMap<String, (Vec<String>, Vec<String>)>,
    builtin: HashSet<String>,
    /// Patterns of the settings, which come before those of the modules themselves.
    set: Vec<(Vec<u8>, String)>,
    options: HashMap<String, Vec<String>>,
    blacklist: HashSet<String>,
}

/// A module's name as the kernel writes it.
#[must_use]
pub fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The name of the module in a file: `kernel/fs/ext4/ext4.ko` is `ext4`.
#[must_use]
pub fn name_of(file: &str) -> String {
    let last = file.rsplit('/').next().unwrap_or(file);
    normal(last.split(".ko").next().unwrap_or(last))
}

impl Index {
    /// Reads the index of a kernel's modules in `dir` and the settings in `modprobe.d` folders. A file hides those of its
    /// name in later folders.
    ///
    /// A kernel without modules has an empty index; files that are not there say nothing.
    #[must_use]
    pub fn read(dir: &Path, settings: &[&Path], line: &CommandLine) -> Self {
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let mut index = Self { dir: dir.to_path_buf(), ..Self::default() };
        index.add_files(&text("modules.dep"));
        index.add_aliases(&text("modules.alias"));
        index.add_settings(&text("modules.softdep"));
        index.builtin.extend(text("modules.builtin").lines().map(name_of));
        let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for entry in settings.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            if path.extension() == Some(OsStr::new("conf")) {
                files.entry(name).or_insert(path);
            }
        }
        for file in files.values() {
            let text = fs::read(file).unwrap_or_default();
            index.add_settings(&String::from_utf8_lossy(&text).replace("\\\n", " "));
        }
        let lists = ["modprobe.blacklist", "module_blacklist", "rd.driver.blacklist"];
        let named = lists.iter().flat_map(|list| line.all(list)).flat_map(|names| names.split(','));
        index.blacklist.extend(named.map(normal));
        index
    }

    fn add_files(&mut self, text: &str) {
        for (file, needs) in text.lines().filter_map(|l| l.split_once(':')) {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            self.files.insert(name_of(file), (file.to_owned(), needs));
        }
    }

    fn add_aliases(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) {
                let pattern = alias::plain(pattern).into_bytes();
                self.aliases.entry(kind(&pattern)).or_default().push((pattern, normal(module)));
            }
        }
    }

    /// Takes over the lines of `modprobe.d` that are data; `install` and `remove` are commands and are not run.
    fn add_settings(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("softdep"), Some(module)) => {
                    let soft = self.soft.entry(normal(module)).or_default();
                    let mut after = false;
                    for word in words {
                        match word {
                            "pre:" => after = false,
                            "post:" => after = true,
                            name if after => soft.1.push(normal(name)),
                            name => soft.0.push(normal(name)),
                        }
                    }
                }
                (Some("options"), Some(module)) => {
                    self.options.entry(normal(module)).or_default().extend(words.map(str::to_owned));
                }
                (Some("blacklist"), Some(module)) => drop(self.blacklist.insert(normal(module))),
                (Some("alias"), Some(pattern)) => {
                    let module = words.next().map(normal);
                    self.set.extend(module.map(|module| (alias::plain(pattern).into_bytes(), module)));
                }
                _ => {}
            }
        }
    }

    /// The modules that know a device, blacklisted ones left out.
    #[must_use]
    pub fn for_device(&self, modalias: &str) -> Vec<String> {
        let modalias = alias::plain(modalias);
        let text = modalias.as_bytes();
        let mut found = self.set_for(text);
        if !found.is_empty() {
            // "alias NAME off" is how people say that there is none.
            found.retain(|module| self.is_there(module));
        } else {
            let known = self.aliases.get(&kind(text)).into_iter().flatten();
            found = known.filter(|(pattern, _)| alias::matches(pattern, text)).map(|(_, module)| module).collect();
        }
        let mut seen = HashSet::new();
        found.retain(|module| !self.blacklist.contains(*module) && seen.insert(*module));
        found.into_iter().cloned().collect()
    }

    fn is_there(&self, module: &str) -> bool {
        self.files.contains_key(module) || self.builtin.contains(module)
    }

    /// What the settings make of an alias.
    fn set_for(&self, text: &[u8]) -> Vec<&String> {
        let hits = self.set.iter().filter(|(pattern, _)| alias::matches(pattern, text));
        hits.map(|(_, module)| module).collect()
    }

    /// The modules that a name means: as the settings have it, else the module of this name, else those of this alias.
    fn meant(&self, name: &str) -> Vec<String> {
        if self.is_there(name) && self.set_for(name.as_bytes()).is_empty() {
            vec![name.to_owned()]
        } else {
            self.for_device(name)
        }
    }

    /// The files to load for a module, in order, those already `loaded` left out. A name that is no module may be an
    /// alias (`fs-ext4`); one that means nothing here has no files.
    #[must_use]
    pub fn order(&self, name: &str, loaded: &HashSet<String>) -> Vec<String> {
        self.order_of(&self.meant(&normal(name)), loaded)
    }

    fn order_of(&self, modules: &[String], loaded: &HashSet<String>) -> Vec<String> {
        let (mut files, mut seen) = (Vec::new(), loaded.clone());
        modules.iter().for_each(|module| self.add_to_order(module, &mut seen, &mut files));
        files
    }

    fn add_to_order(&self, name: &str, seen: &mut HashSet<String>, files: &mut Vec<String>) {
        if self.builtin.contains(name) || !seen.insert(name.to_owned()) {
            return;
        }
        let Some((file, needs)) = self.files.get(name) else { return };
        let (before, after) = self.soft.get(name).cloned().unwrap_or_default();
        let meant = |names: &[String]| names.iter().flat_map(|name| self.meant(name)).collect::<Vec<_>>();
        meant(&before).iter().for_each(|module| self.add_to_order(module, seen, files));
        needs.iter().rev().for_each(|needed| self.add_to_order(&name_of(needed), seen, files));
        files.push(file.clone());
        meant(&after).iter().for_each(|module| self.add_to_order(module, seen, files));
    }
}

/// What groups patterns so that a device needs few comparisons: the bus, up to the colon.
fn kind(text: &[u8]) -> Vec<u8> {
    let end = text.iter().position(|b| *b == b':').unwrap_or(0);
    // A wildcard in the bus's name would be in no group; depmod writes none.
    text[..end].to_vec()
}

/// Loads modules and remembers which.
#[derive(Debug)]
pub struct Loader {
    index: Index,
    line: CommandLine,
    loaded: HashSet<String>,
}

impl Loader {
    /// Begins with the modules that are loaded already.
    #[must_use]
    pub fn new(index: Index, line: CommandLine) -> Self {
        let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
        let loaded = modules.lines().filter_map(|l| l.split_whitespace().next()).map(normal).collect();
        Self { index, line, loaded }
    }

    /// What is known about the modules.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Loads a module with all that it needs. Gives whether anything was loaded; failures are told, and tried only once.
    pub fn load(&mut self, name: &str) -> bool {
        self.load_files(self.index.order(name, &self.loaded))
    }

    /// Loads the drivers of a device, as [`Self::load`].
    pub fn load_for_device(&mut self, modalias: &str) -> bool {
        self.load_files(self.index.order_of(&self.index.for_device(modalias), &self.loaded))
    }

    fn load_files(&mut self, files: Vec<String>) -> bool {
        let mut any = false;
        for file in files {
            let module = name_of(&file);
            self.loaded.insert(module.clone());
            match self.insert(&file, &module) {
                Ok(()) => any = true,
                // The device is not there, or another driver has it: drivers of platforms and CPUs probe like that.
                Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => {}
                Err(e) => console::warn(&format!("loading the module {file}: {e}")),
            }
        }
        any
    }

    /// Whether a name means a module that is loaded, or built into the kernel.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let name = normal(name);
        let means = |name: &String| self.loaded.contains(name) || self.index.builtin.contains(name);
        means(&name) || self.index.for_device(&name).iter().any(means)
    }

    fn insert(&self, file: &str, module: &str) -> io::Result<()> {
        let opened = fs::File::open(self.index.dir.join(file))?;
        let set = self.index.options.get(module).map(|o| o.join(" ")).unwrap_or_default();
        let parameters = format!("{set} {}", self.line.module_parameters(module));
        let parameters = CString::new(parameters.trim())?;
        let mut flags = ModuleInitFlags::empty();
        if !file.ends_with(".ko") {
            // MODULE_INIT_COMPRESSED_FILE of Linux 5.17; image-create packs modules uncompressed.
            flags = ModuleInitFlags::from_bits_retain(4);
        }
        match finit_module(&opened, &parameters, flags) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        index.add_files("kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\nkernel/fs/jbd2/jbd2.ko:\nkernel/lib/crc16.ko:\n\
            kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio.ko:\nkernel/crypto/crc32c-intel.ko:\n");
        index.add_aliases(
            "alias virtio:d00000002v* virtio_blk\nalias fs-ext4 ext4\nalias pci:v00001AF4d*sv*sd*bc*sc*i* virtio-pci\n",
        );
        index.add_settings(
            "softdep ext4 pre: crc32c-intel post: absent\noptions ext4 a=1\nblacklist evbug\nblacklist virtio-pci\n",
        );
        index
    }

    #[test]
    fn what_is_needed_is_loaded_first() {
        let files = index().order("ext4", &HashSet::new());
        let names: Vec<String> = files.iter().map(|f| name_of(f)).collect();
        assert_eq!(names, ["crc32c_intel", "crc16", "jbd2", "ext4"]);
        let loaded = HashSet::from(["jbd2".to_owned(), "crc32c_intel".to_owned()]);
        assert_eq!(index().order("ext4", &loaded).len(), 2);
        assert!(index().order("ext4", &HashSet::from(["ext4".to_owned()])).is_empty());
    }

    #[test]
    fn settings_come_before_what_modules_say_and_hide_those_of_their_name() {
        let dir = tempfile::tempdir().unwrap();
        for (place, text) in [
            ("modules/modules.dep", "a.ko:\nb-c.ko:\nd.ko: a.ko\n"),
            ("modules/modules.alias", "alias pci:v1* a\nalias pci:v1* b_c\nalias pci:v2* d\n"),
            ("etc/x.conf", "blacklist \\\n a\nalias pci:v2* off\nalias my-* d\nalias b_c off\n"),
            ("lib/x.conf", "blacklist b-c\n"),
        ] {
            let path = dir.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let folders = ["etc", "lib"].map(|name| dir.path().join(name));
        let folders = [folders[0].as_path(), folders[1].as_path()];
        let index = Index::read(&dir.path().join("modules"), &folders, &CommandLine::parse(""));
        assert_eq!(index.for_device("pci:v1d1"), ["b_c"]);
        assert!(index.for_device("pci:v2d1").is_empty());
        assert_eq!(index.order("my-disk", &HashSet::new()), ["a.ko", "d.ko"], "what is needed is not held back");
        assert!(index.order("b-c", &HashSet::new()).is_empty());
        assert_eq!(index.order("a", &HashSet::new()), ["a.ko"]);
    }

    #[test]
    fn devices_and_aliases_find_their_modules() {
        assert_eq!(index().for_device("virtio:d00000002v00001AF4"), ["virtio_blk"]);
        assert!(index().for_device("pci:v00001AF4d00001000sv0sd0bc0sc0i0").is_empty(), "blacklisted");
        assert_eq!(index().order("fs-ext4", &HashSet::new()).len(), 4);
        assert_eq!(alias::plain("of:N*T*Cnxp,imx-[0-9]-*"), "of:N*T*Cnxp,imx_[0-9]_*");
        assert!(index().order("nothing", &HashSet::new()).is_empty());
    }
}
