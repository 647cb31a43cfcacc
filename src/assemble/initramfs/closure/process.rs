//! Loads a program as the loader of its libc would: which file stands for each library it needs.
//!
//! glibc: `elf/dl-load.c` (`_dl_map_object`); musl: `ldso/dynlink.c` (`load_library`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::assemble::initramfs::view::Resolved;

use super::dirs;
use super::dlopen::Priority;
use super::elf::{Abi, Object};
use super::files::{Files, Kind};
use super::items::Chain;
use super::miss::Miss;
use super::places::{Places, Table};

/// glibc opens this when a thread is cancelled or ends itself, and ends the program if it is not there.
const UNWINDER: &str = "libgcc_s.so.1";

/// One file of a process.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where it was found.
    pub found: Rc<Resolved>,
    /// What it says.
    object: Rc<Object>,
    /// The directory that `$ORIGIN` stands for.
    origin: PathBuf,
    /// Who needed it first; an index.
    by: Option<usize>,
    /// For whose sake it is needed.
    pub needed_by: Chain,
    /// The name and the path by which it was found, if that was only because `/etc/ld.so.conf` names the directory.
    pub by_conf: Option<(String, PathBuf)>,
}

/// A program that is being loaded.
pub struct Process<'p, 'a> {
    files: &'p mut Files<'a>,
    places: &'p Places,
    abi: Abi,
    /// `x86_64` if the libc is musl.
    musl: Option<String>,
    /// Directories that are searched at last.
    defaults: Vec<PathBuf>,
    /// All files, the program first.
    pub loaded: Vec<Loaded>,
    names: HashMap<String, usize>,
    /// What is missing.
    pub missing: Vec<Miss>,
    /// What is missing and does not hinder the program at once.
    pub warnings: Vec<Miss>,
}

/// Where a library was found.
struct Hit {
    opened: PathBuf,
    found: Rc<Resolved>,
    object: Rc<Object>,
    by_conf: bool,
}

/// The outcome of a search that found nothing.
enum NoHit {
    /// Searched in these directories; files of the name that are for other machines.
    Nowhere(Vec<PathBuf>, Vec<PathBuf>),
    /// A file of the name cannot be loaded.
    Damaged(String),
}

impl<'p, 'a> Process<'p, 'a> {
    /// Loads a program or a library (as if a program without search paths of its own had opened it), with all it needs.
    pub fn load(
        files: &'p mut Files<'a>,
        places: &'p mut Places,
        found: Rc<Resolved>,
        object: Rc<Object>,
        chain: &Chain,
    ) -> Self {
        let interpreter = object.interpreter.clone();
        let musl = interpreter.as_deref().map_or_else(|| musl_by_needs(&object), dirs::musl_arch).map(str::to_owned);
        let defaults = match &musl {
            Some(arch) => places.musl(files, interpreter.as_deref(), arch),
            None => places.glibc(files, interpreter.as_deref(), object.abi),
        };
        let abi = object.abi;
        let mut process = Self {
            files,
            places,
            abi,
            musl,
            defaults,
            loaded: vec![],
            names: HashMap::new(),
            missing: vec![],
            warnings: vec![],
        };
        let origin = found.path.parent().unwrap_or(Path::new("/")).to_owned();
        process.push(Loaded { found, object, origin, by: None, needed_by: chain.clone(), by_conf: None }, None);
        if let Some(path) = interpreter {
            process.interpreter(&path);
        }
        process.libraries();
        process
    }

    fn push(&mut self, file: Loaded, name: Option<&str>) {
        let index = self.loaded.len();
        for name in name.map(str::to_owned).into_iter().chain(file.object.soname.clone()) {
            self.names.entry(name).or_insert(index);
        }
        self.loaded.push(file);
    }

    fn interpreter(&mut self, path: &str) {
        let chain = self.chain_below(0);
        let Some(found) = self.files.file(Path::new(path)) else {
            self.missing.push(Miss::new(format!("the loader {path}"), &chain));
            return;
        };
        match self.files.kind(&found.path) {
            Kind::Elf(object) => {
                let origin = Path::new(path).parent().unwrap_or(Path::new("/")).to_owned();
                let file = Loaded { found, object, origin, by: Some(0), needed_by: chain, by_conf: None };
                let name = Path::new(path).file_name().map(|n| n.to_string_lossy().into_owned());
                self.push(file, name.as_deref());
            }
            Kind::Damaged(why) => self.missing.push(Miss::new(format!("the loader {path}"), &chain).because(why)),
            Kind::Script(_) | Kind::Data => {
                self.missing.push(Miss::new(format!("the loader {path}"), &chain).because("it is no ELF file"));
            }
        }
    }

    fn chain_below(&self, index: usize) -> Chain {
        let file = &self.loaded[index];
        file.needed_by.below(file.found.path.display().to_string())
    }

    /// Breadth first, as loaders do: a library that is there already under its name is not searched again.
    fn libraries(&mut self) {
        let mut index = 0;
        while index < self.loaded.len() {
            let object = self.loaded[index].object.clone();
            for name in &object.needed {
                if let Err(miss) = self.need(name, Some(index), index) {
                    self.missing.push(miss);
                }
            }
            for entry in &object.dlopens {
                self.open_later(index, entry.priority, &entry.soname, &entry.feature);
            }
            if object.cancels_threads && self.musl.is_none() && !object.needed.iter().any(|n| n == UNWINDER) {
                // The search is on behalf of libc, which has no search path.
                if let Err(miss) = self.need(UNWINDER, None, index) {
                    self.unwinder_is_missing(miss);
                }
            }
            index += 1;
        }
    }

    fn unwinder_is_missing(&mut self, miss: Miss) {
        let miss = miss.because("glibc opens it when a thread is cancelled or ends itself");
        // Whoever made an image may know that its threads never do.
        let list = if matches!(self.places.table, Table::Conf(_)) { &mut self.missing } else { &mut self.warnings };
        list.push(miss);
    }

    fn open_later(&mut self, index: usize, priority: Priority, names: &[String], feature: &str) {
        if priority == Priority::Suggested || names.iter().any(|name| self.need(name, Some(index), index).is_ok()) {
            return;
        }
        if priority == Priority::Required {
            let what = format!("library {}", names.join(" or "));
            self.missing
                .push(Miss::new(what, &self.chain_below(index)).because(format!("opened at run time for {feature}")));
        }
    }

    /// Adds the library `name` for the file `user`, found with the search paths of `from`.
    fn need(&mut self, name: &str, from: Option<usize>, user: usize) -> Result<(), Miss> {
        if self.names.contains_key(name) || (self.musl.is_some() && dirs::is_musl_itself(name)) {
            return Ok(());
        }
        let chain = self.chain_below(user);
        let hit = self.search(name, from).map_err(|no| no.miss(name, &chain))?;
        if let Some(same) = self.loaded.iter().position(|l| l.found.path == hit.found.path) {
            self.names.insert(name.to_owned(), same);
            // Another way to the same file: its links are needed as well.
            self.loaded.push(Loaded { found: hit.found, ..self.loaded[same].again() });
            return Ok(());
        }
        let origin = hit.opened.parent().unwrap_or(Path::new("/")).to_owned();
        let Hit { opened, found, object, by_conf } = hit;
        let by_conf = by_conf.then(|| (name.to_owned(), opened));
        self.push(Loaded { found, object, origin, by: Some(user), needed_by: chain, by_conf }, Some(name));
        Ok(())
    }

    fn search(&mut self, name: &str, from: Option<usize>) -> Result<Hit, NoHit> {
        let mut tried = Vec::new();
        let mut others = Vec::new();
        if name.contains('/') {
            let paths = from.map_or_else(Vec::new, |from| self.expand(name, from));
            let hit = self.first(paths.iter().cloned(), false, &mut others)?;
            return hit.ok_or(NoHit::Nowhere(vec![], others));
        }
        let own = self.own_dirs(from);
        if let Some(hit) = self.first(own.iter().map(|d| d.join(name)), false, &mut others)? {
            return Ok(hit);
        }
        tried.extend(own);
        let no_defaults = from.is_some_and(|from| self.loaded[from].object.no_default_dirs);
        if self.musl.is_none() {
            let known: Vec<PathBuf> = match &self.places.table {
                Table::Conf(dirs) => dirs.iter().map(|dir| dir.join(name)).collect(),
                Table::Cache(cache) => cache.paths(name).map(Path::to_path_buf).collect(),
            };
            let is_default = |path: &Path| path.parent().is_some_and(|dir| self.defaults.iter().any(|d| d == dir));
            let known: Vec<_> = known.into_iter().filter(|path| !(no_defaults && is_default(path))).collect();
            if let Some(mut hit) = self.first(known.iter().cloned(), true, &mut others)? {
                hit.by_conf = !self.defaults.iter().any(|dir| Some(dir.as_path()) == hit.opened.parent());
                return Ok(hit);
            }
            tried.extend(known.iter().filter_map(|path| path.parent()).map(Path::to_path_buf));
        }
        if !no_defaults {
            let defaults = self.defaults.clone();
            if let Some(hit) = self.first(defaults.iter().map(|d| d.join(name)), false, &mut others)? {
                return Ok(hit);
            }
            tried.extend(defaults);
        }
        let mut once = Vec::new();
        tried.into_iter().for_each(|dir| {
            if !once.contains(&dir) {
                once.push(dir)
            }
        });
        Err(NoHit::Nowhere(once, others))
    }

    /// The first path at which there is a library for this process. One for another machine is passed over; anything
    /// else ends the search, as it ends the loader's.
    fn first(
        &mut self,
        paths: impl Iterator<Item = PathBuf>,
        by_conf: bool,
        others: &mut Vec<PathBuf>,
    ) -> Result<Option<Hit>, NoHit> {
        for opened in paths {
            let Some(found) = self.files.file(&opened) else { continue };
            match self.files.kind(&found.path) {
                Kind::Elf(object) if object.abi == self.abi => return Ok(Some(Hit { opened, found, object, by_conf })),
                Kind::Elf(_) => others.push(opened),
                Kind::Damaged(why) => return Err(NoHit::Damaged(why)),
                Kind::Script(_) | Kind::Data => {
                    return Err(NoHit::Damaged(format!("{} is no ELF file", found.path.display())));
                }
            }
        }
        Ok(None)
    }

    /// Directories from DT_RPATH and DT_RUNPATH.
    fn own_dirs(&self, from: Option<usize>) -> Vec<PathBuf> {
        let mut dirs = Vec::new();
        let mut add = |index: usize, list: Option<&String>| {
            for dir in list.into_iter().flat_map(|list| list.split(':')).filter(|d| !d.is_empty()) {
                dirs.extend(self.expand(dir, index));
            }
        };
        let has_runpath = from.is_some_and(|from| self.loaded[from].object.runpath.is_some());
        let mut at = from;
        let mut did_program = false;
        while let Some(index) = at {
            let file = &self.loaded[index];
            // musl makes no difference between the two: both hold for what is needed in turn.
            if self.musl.is_some() {
                add(index, file.object.runpath.as_ref().or(file.object.rpath.as_ref()));
            } else if !has_runpath {
                add(index, file.object.rpath.as_ref());
            }
            did_program |= index == 0;
            at = file.by;
        }
        if self.musl.is_none() {
            if !did_program && !has_runpath {
                add(0, self.loaded[0].object.rpath.as_ref());
            }
            if let Some(from) = from {
                add(from, self.loaded[from].object.runpath.as_ref());
            }
        }
        dirs
    }

    /// Fills in `$ORIGIN`, `$LIB` and `$PLATFORM`. A path that is still relative depends on where the program is started
    /// and is left out.
    fn expand(&self, text: &str, index: usize) -> Vec<PathBuf> {
        let file = &self.loaded[index];
        let with = |text: String, name: &str, value: &str| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        };
        let text = with(text.to_owned(), "ORIGIN", &file.origin.display().to_string());
        let text = with(text, "PLATFORM", dirs::platform(self.abi));
        let texts = if text.contains("$LIB") || text.contains("${LIB}") {
            dirs::lib_names(self.abi).iter().map(|lib| with(text.clone(), "LIB", lib)).collect()
        } else {
            vec![text]
        };
        texts.into_iter().filter(|text| text.starts_with('/')).map(PathBuf::from).collect()
    }
}

impl Loaded {
    /// The same file, needing nothing more.
    fn again(&self) -> Self {
        let needs_nothing =
            Object { needed: vec![], dlopens: vec![], cancels_threads: false, ..Object::clone(&self.object) };
        Self { object: Rc::new(needs_nothing), ..self.clone() }
    }
}

impl NoHit {
    fn miss(self, name: &str, chain: &Chain) -> Miss {
        let miss = Miss::new(format!("library {name}"), chain);
        match self {
            Self::Damaged(why) => miss.because(why),
            Self::Nowhere(_, others) if !others.is_empty() => {
                let others: Vec<String> = others.iter().map(|p| p.display().to_string()).collect();
                miss.because(format!("{} is for another kind of machine", others.join(", ")))
            }
            Self::Nowhere(dirs, _) if dirs.is_empty() => miss,
            Self::Nowhere(dirs, _) => {
                let dirs: Vec<String> = dirs.iter().map(|p| p.display().to_string()).collect();
                miss.hint(format!("looked in {}", dirs.join(", ")))
            }
        }
    }
}

/// The machine's name of musl if a library without a loader needs musl's libc.
fn musl_by_needs(object: &Object) -> Option<&str> {
    object.needed.iter().find_map(|name| name.strip_prefix("libc.musl-")?.split(".so").next())
}
