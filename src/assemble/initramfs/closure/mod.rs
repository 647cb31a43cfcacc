//! Everything that programs need to run: their loader, libraries, interpreters, and the links on the way to them.
//!
//! Only bytes are read. Nothing of the tree is run, so it can be of another machine.

mod dirs;
pub mod dlopen;
pub mod elf;
mod files;
pub mod items;
pub mod ld_cache;
mod ld_conf;
pub mod miss;
mod places;
mod process;
pub mod script;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::assemble::initramfs::view::{Node, Resolved, Unresolved, View, resolve};
use crate::near::{near, quoted};

use elf::{Abi, Object};
use files::{Files, Kind};
pub use items::{Chain, Item, Items};
pub use ld_cache::Cache;
pub use miss::{Miss, Misses};
use places::Places;
use process::Process;
use script::Script;

/// Where the name of a program is looked up.
pub const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Files that are there in every system and tell which machine it is for.
const NATIVE: [&str; 5] = ["/bin/sh", "/sbin/init", "/usr/bin/env", "/lib/systemd/systemd", "/bin/busybox"];

/// Everything that was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// What has to be in the tree, sorted by path.
    pub items: Vec<Item>,
    /// What is missing and is not needed at once.
    pub warnings: Vec<Miss>,
    /// What the tree needs as `/etc/ld.so.cache`: libraries in directories that only `/etc/ld.so.conf` names, which the
    /// loader itself does not read. `None` if there are none.
    pub cache: Option<Cache>,
}

/// What a file is to a kernel that is asked to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// ELF with a loader of its own, or complete in itself.
    Program,
    /// ELF that programs load.
    Library,
    /// Begins with `#!`.
    Script,
    /// Begins as an ELF file and does not go on as one; or cannot be read.
    Damaged,
    /// Anything else.
    Data,
}

/// A search for all that some programs need.
pub struct Closure<'a> {
    files: Files<'a>,
    places: Places,
    asked: Chain,
    todo: VecDeque<(Rc<Resolved>, Chain)>,
    libraries: Vec<(String, Chain)>,
    looked_into: HashSet<PathBuf>,
    first_abi: Option<Abi>,
    items: Items,
    missing: Vec<Miss>,
    warnings: Vec<Miss>,
    cache: Option<Cache>,
}

impl<'a> Closure<'a> {
    /// Looks into a system, in which ldconfig is taken to have run.
    pub fn new(view: &'a dyn View) -> Self {
        Self::with(view, Places::of_system(view))
    }

    /// Looks into a tree as it is when its programs start: of what ldconfig knows, only `/etc/ld.so.cache` counts.
    pub fn of_image(view: &'a dyn View) -> Self {
        Self::with(view, Places::of_image(view))
    }

    fn with(view: &'a dyn View, places: Places) -> Self {
        Self {
            files: Files::new(view),
            places,
            asked: Chain::default(),
            todo: VecDeque::new(),
            libraries: vec![],
            looked_into: HashSet::new(),
            first_abi: None,
            items: Items::default(),
            missing: vec![],
            warnings: vec![],
            cache: None,
        }
    }

    /// Says who asks for what is added from here on: the last name of its chains.
    pub fn asked_by(&mut self, who: &str) -> &mut Self {
        self.asked = Chain::asked_by(who);
        self
    }

    /// Adds a program: a path, or a name that is looked up in [`PATH`].
    pub fn add_program(&mut self, program: &str) -> &mut Self {
        let chain = self.asked.clone();
        self.program(program, &chain);
        self
    }

    /// Adds a library by its name (`libnss_files.so.2`, `libnss_*.so.2`) or path, for the programs that were added.
    pub fn add_library(&mut self, name: &str) -> &mut Self {
        self.libraries.push((name.to_owned(), self.asked.clone()));
        self
    }

    /// Adds any file; a program, library or script brings what it needs.
    pub fn add_file(&mut self, path: &Path) -> &mut Self {
        let chain = self.asked.clone();
        match resolve(self.files.view, path) {
            Ok(found) => self.take(Rc::new(found), chain),
            Err(error) => self.missing.push(Miss::new(path.display().to_string(), &chain).because(error.to_string())),
        }
        self
    }

    /// What the file at a path without links is.
    pub fn kind(&mut self, path: &Path) -> FileKind {
        match self.files.kind(path) {
            // libc can be run as well, to print its version.
            Kind::Elf(object) if object.soname.is_none() && object.interpreter.is_some() => FileKind::Program,
            Kind::Elf(object) if object.is_program => FileKind::Program,
            Kind::Elf(_) => FileKind::Library,
            Kind::Script(_) => FileKind::Script,
            Kind::Damaged(_) => FileKind::Damaged,
            Kind::Data => FileKind::Data,
        }
    }

    /// Everything that was added, and what it needs.
    ///
    /// # Errors
    /// All that is missing.
    pub fn finish(mut self) -> Result<Found, Misses> {
        let (found, missing) = self.search();
        Misses::or(missing, found)
    }

    /// Everything that could be found, and all that is missing.
    pub fn search(&mut self) -> (Found, Vec<Miss>) {
        self.look_into_all();
        for (name, chain) in std::mem::take(&mut self.libraries) {
            self.library(&name, &chain);
        }
        self.look_into_all();
        let found = Found {
            items: std::mem::take(&mut self.items).into_vec(),
            warnings: std::mem::take(&mut self.warnings),
            cache: self.cache.take(),
        };
        (found, std::mem::take(&mut self.missing))
    }

    fn program(&mut self, name: &str, chain: &Chain) {
        let found = if name.contains('/') {
            resolve(self.files.view, &Path::new("/").join(name)).map_err(|error| self.no_file(name, chain, &error))
        } else {
            self.look_up(name).ok_or_else(|| self.no_program(name, chain))
        };
        match found {
            Err(miss) => self.missing.push(miss),
            Ok(found) => match found.node {
                Node::File { mode, .. } if mode & 0o111 != 0 => self.take(Rc::new(found), chain.clone()),
                Node::File { .. } => self.missing.push(Miss::new(name, chain).because("it has no execute bit")),
                _ => self.missing.push(Miss::new(name, chain).because("it is no regular file")),
            },
        }
    }

    fn look_up(&self, name: &str) -> Option<Resolved> {
        let found = PATH.iter().filter_map(|dir| resolve(self.files.view, &Path::new(dir).join(name)).ok());
        found.into_iter().find(|found| matches!(found.node, Node::File { mode, .. } if mode & 0o111 != 0))
    }

    fn no_file(&self, name: &str, chain: &Chain, error: &Unresolved) -> Miss {
        let miss = Miss::new(name, chain);
        match error {
            Unresolved::Missing { links, .. } if links.is_empty() => miss,
            error => miss.because(error.to_string()),
        }
    }

    fn no_program(&self, name: &str, chain: &Chain) -> Miss {
        let dirs = PATH.iter().filter_map(|dir| resolve(self.files.view, Path::new(dir)).ok());
        let names = dirs.filter_map(|dir| self.files.view.list(&dir.path).ok()).flatten();
        let names: BTreeSet<String> = names.filter_map(|n| n.into_string().ok()).filter(|n| n != name).collect();
        let miss = Miss::new(format!("program {name}"), chain);
        match near(name, names.iter().map(String::as_str)) {
            known if known.is_empty() => miss.hint(format!("looked in {}", PATH.join(", "))),
            known => miss.hint(format!("did you mean {}?", quoted(&known))),
        }
    }

    fn take(&mut self, found: Rc<Resolved>, chain: Chain) {
        self.items.add(&found, &chain);
        if found.is_file() && self.looked_into.insert(found.path.clone()) {
            self.todo.push_back((found, chain));
        }
    }

    fn look_into_all(&mut self) {
        while let Some((found, chain)) = self.todo.pop_front() {
            match self.files.kind(&found.path) {
                Kind::Data => {}
                Kind::Damaged(why) => {
                    self.missing.push(Miss::new(found.path.display().to_string(), &chain).because(why));
                }
                Kind::Script(script) => self.script(&script, &chain.below(found.path.display().to_string())),
                Kind::Elf(object) => self.load(found, object, &chain),
            }
        }
    }

    fn script(&mut self, script: &Script, chain: &Chain) {
        self.program(&script.interpreter, chain);
        if let Some(name) = &script.by_env {
            self.program(name, &chain.below(&script.interpreter));
        }
    }

    fn load(&mut self, found: Rc<Resolved>, object: Rc<Object>, chain: &Chain) {
        // Neither static programs nor kernel modules need a loader.
        if !object.dynamic {
            return;
        }
        let abi = object.abi;
        self.first_abi.get_or_insert(abi);
        let mut process = Process::load(&mut self.files, &mut self.places, found, object, chain);
        let missing = std::mem::take(&mut process.missing);
        let warnings = std::mem::take(&mut process.warnings);
        for file in std::mem::take(&mut process.loaded) {
            self.items.add(&file.found, &file.needed_by);
            if let Some((name, path)) = file.by_conf {
                self.cache.get_or_insert_with(|| Cache::new(abi)).add(abi, &name, &path);
            }
        }
        missing.into_iter().for_each(|miss| miss.add_to(&mut self.missing));
        warnings.into_iter().for_each(|miss| miss.add_to(&mut self.warnings));
    }

    fn library(&mut self, name: &str, chain: &Chain) {
        if name.starts_with('/') {
            let chain = chain.clone();
            let asked = std::mem::replace(&mut self.asked, chain);
            self.add_file(Path::new(name));
            self.asked = asked;
            return;
        }
        let miss = Miss::new(format!("library {name}"), chain);
        let Some(abi) = self.first_abi.or_else(|| self.native()) else {
            self.missing.push(miss.because("no program tells which machine it is for"));
            return;
        };
        let dirs = self.places.all(abi);
        let is_pattern = name.contains(['*', '?', '[']);
        let mut hits = 0;
        for dir in &dirs {
            let path = dir.join(name);
            let paths = if is_pattern { ld_conf::expand(self.files.view, &path) } else { vec![path] };
            for path in paths {
                let Some(found) = self.files.file(&path) else { continue };
                if matches!(self.files.kind(&found.path), Kind::Elf(object) if object.abi == abi) {
                    hits += 1;
                    self.take(found, chain.clone());
                }
            }
            if hits > 0 && !is_pattern {
                return;
            }
        }
        if hits == 0 {
            let dirs: Vec<String> = dirs.iter().map(|d| d.display().to_string()).collect();
            self.missing.push(miss.hint(format!("looked in {}", dirs.join(", "))));
        }
    }

    /// The machine that the system is for.
    fn native(&mut self) -> Option<Abi> {
        NATIVE.iter().find_map(|path| {
            let found = self.files.file(Path::new(path))?;
            match self.files.kind(&found.path) {
                Kind::Elf(object) => Some(object.abi),
                _ => None,
            }
        })
    }
}
