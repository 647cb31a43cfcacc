//! Chooses modules: what was asked for, what that needs, and the firmware.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::assemble::initramfs::closure::items::{Chain, Item, Items};
use crate::assemble::initramfs::closure::miss::{Miss, Misses};
use crate::assemble::initramfs::view::{View, resolve};
use crate::near::{near, quoted};

use super::aliases::matches;
use super::firmware::{Firmware, Policy};
use super::index::{Index, Module};
use super::{Profile, modinfo, names};

/// What was chosen.
#[derive(Debug, Clone, Default)]
pub struct Picked {
    /// What has to be in the tree: module files, firmware, directories and links on the way; sorted by path.
    pub items: Vec<Item>,
    /// Names of the modules, each with for whose sake it was chosen, in the order of the choice.
    pub modules: Vec<(String, Chain)>,
    /// Names that were asked for and are part of the kernel.
    pub builtin: BTreeSet<String>,
    /// Files of firmware.
    pub firmware: Vec<PathBuf>,
    /// Firmware that is not there.
    pub warnings: Vec<Miss>,
}

impl Picked {
    /// The names alone, for [`Tables::of`](super::Tables::of).
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.modules.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A choice of modules of one kernel.
pub struct Selection<'a> {
    view: &'a dyn View,
    index: &'a Index,
    firmware: Policy,
    asked: Chain,
    seen: HashSet<String>,
    /// Reversed: the next is the last.
    todo: Vec<(String, Chain)>,
    items: Items,
    /// Module files, with the chain of what they need.
    files: Vec<(PathBuf, Chain)>,
    picked: Picked,
    missing: Vec<Miss>,
}

impl<'a> Selection<'a> {
    /// Nothing is chosen yet. `view` has the files of `index`.
    pub fn new(view: &'a dyn View, index: &'a Index) -> Self {
        Self {
            view,
            index,
            firmware: Policy::default(),
            asked: Chain::default(),
            seen: HashSet::new(),
            todo: vec![],
            items: Items::default(),
            files: vec![],
            picked: Picked::default(),
            missing: vec![],
        }
    }

    /// Says what to do about firmware.
    pub fn firmware(&mut self, policy: Policy) -> &mut Self {
        self.firmware = policy;
        self
    }

    /// Says who asks for what is added from here on: the last name of its chains.
    pub fn asked_by(&mut self, who: &str) -> &mut Self {
        self.asked = Chain::asked_by(who);
        self
    }

    /// Adds what a request stands for: a name (`virtio-net`, `virtio_net.ko`), an alias (`fs-xfs`, `pci:v0000...`), a
    /// pattern of names (`virtio_*`), a file, directory or pattern of files (`kernel/drivers/nvme`, `drivers/net/v*`),
    /// or `:all`.
    pub fn add(&mut self, request: &str) -> &mut Self {
        if !self.add_if_there(request) {
            let known = self.index.modules.iter().map(|m| m.name.as_str());
            let known = near(&names::asked(request), known.chain(self.index.builtin.iter().map(String::as_str)));
            let miss = Miss::new(format!("module {request}"), &self.asked);
            let blacklisted = self.index.aliased_or_blacklisted(request);
            let miss = miss.because(match blacklisted.first() {
                Some(module) => format!("it is an alias of {module}, which the tree's modprobe.d blacklists"),
                None => format!("kernel {} has none of this name or alias", self.index.kernel),
            });
            self.missing.push(if known.is_empty() || !blacklisted.is_empty() {
                miss
            } else {
                miss.hint(format!("did you mean {}?", quoted(&known)))
            });
        }
        self
    }

    /// The same, without a miss if there is no such module. Says whether there is one, be it built in.
    pub fn add_if_there(&mut self, request: &str) -> bool {
        let (modules, builtin) = self.meant(request);
        let there = !modules.is_empty() || !builtin.is_empty();
        self.picked.builtin.extend(builtin);
        let chain = self.asked.clone();
        modules.into_iter().for_each(|name| self.take(name, chain.clone()));
        there
    }

    /// Adds the drivers of the devices of a machine, as the aliases and blacklists of the tree have it. Devices that no
    /// module is for are passed over.
    pub fn add_hardware(&mut self, profile: &Profile) -> &mut Self {
        for device in &profile.devices {
            let chain = self.asked.below(format!("device {device}"));
            let drivers: Vec<String> = self.index.aliased(&device.modalias).into_iter().map(str::to_owned).collect();
            drivers.into_iter().for_each(|name| self.take(name, chain.clone()));
        }
        self
    }

    /// Everything that was chosen, and all that it needs.
    ///
    /// # Errors
    /// Modules that are not there or damaged; firmware, if it is required.
    pub fn finish(mut self) -> Result<Picked, Misses> {
        let (picked, missing) = self.search();
        Misses::or(missing, picked)
    }

    /// Everything that could be found, and all that is missing.
    pub fn search(&mut self) -> (Picked, Vec<Miss>) {
        if self.firmware != Policy::Leave {
            self.take_firmware();
        }
        let mut picked = std::mem::take(&mut self.picked);
        picked.items = std::mem::take(&mut self.items).into_vec();
        (picked, std::mem::take(&mut self.missing))
    }

    /// The names of loadable and of built-in modules that a request means.
    fn meant(&self, request: &str) -> (Vec<String>, Vec<String>) {
        let index = self.index;
        if request == ":all" {
            return (index.modules.iter().map(|m| m.name.clone()).collect(), vec![]);
        }
        if !request.contains(':') && request.contains('/') {
            return self.by_path(request);
        }
        if request.contains(['*', '?', '[']) {
            let pattern = names::plain(request.strip_suffix(".ko").unwrap_or(request));
            let hit = |name: &&str| matches(pattern.as_bytes(), name.as_bytes());
            let modules = index.modules.iter().map(|m| m.name.as_str()).filter(hit).map(str::to_owned).collect();
            return (modules, index.builtin.iter().map(String::as_str).filter(hit).map(str::to_owned).collect());
        }
        let name = names::asked(request);
        // modprobe loads what the settings make of a name. Who asks for the module itself gets it all the same.
        let (builtin, mut modules): (Vec<_>, Vec<_>) =
            index.aliased(request).into_iter().map(str::to_owned).partition(|module| index.builtin.contains(module));
        if index.get(&name).is_some() && !modules.contains(&name) {
            modules.insert(0, name.clone());
        }
        let is_set = !index.settings.aliases.find(request).is_empty();
        if is_set || !modules.is_empty() || !builtin.is_empty() {
            return (modules, builtin);
        }
        let aliased = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect::<Vec<_>>();
        if index.builtin.contains(&name) {
            return (vec![], vec![name]);
        }
        (vec![], aliased(index.builtin_aliases.find(request)))
    }

    fn by_path(&self, request: &str) -> (Vec<String>, Vec<String>) {
        let wanted = request.trim_start_matches(['=', '/']).trim_end_matches('/');
        let wanted = wanted.strip_prefix("kernel/").unwrap_or(wanted);
        let plain = |path: &str| {
            let path = path.strip_prefix("kernel/").unwrap_or(path);
            names::COMPRESSED.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path).to_owned()
        };
        let wanted = plain(wanted);
        let hit = |path: &str| {
            let path = plain(path);
            let inside = path.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            inside || matches(wanted.as_bytes(), path.as_bytes())
        };
        let modules = self.index.modules.iter().filter(|m| m.file.to_str().is_some_and(hit)).map(|m| m.name.clone());
        let builtin = String::from_utf8_lossy(&self.index.builtin_list).into_owned();
        let builtin = builtin.lines().filter(|l| hit(l)).filter_map(|line| names::of_file(Path::new(line)));
        (modules.collect(), builtin.collect())
    }

    /// Takes a module and everything that it needs, unless it is taken already.
    fn take(&mut self, name: String, chain: Chain) {
        self.todo.push((name, chain));
        while let Some((name, chain)) = self.todo.pop() {
            if !self.seen.insert(name.clone()) {
                continue;
            }
            match self.index.get(&name) {
                Some(module) => self.module(module, chain),
                None if self.index.is_builtin(&name) => {
                    self.picked.builtin.insert(name);
                }
                None => self.missing.push(Miss::new(format!("module {name}"), &chain)),
            }
        }
    }

    fn module(&mut self, module: &Module, chain: Chain) {
        let below = chain.below(&module.name);
        let path = self.index.path_of(module);
        match resolve(self.view, &path) {
            Err(_) => {
                let miss = Miss::new(format!("module {}", module.name), &chain);
                self.missing.push(miss.because(format!("modules.dep names {}, which is not there", path.display())));
                return;
            }
            Ok(found) => {
                self.items.add(&found, &chain);
                self.files.push((found.path, below.clone()));
            }
        }
        self.picked.modules.push((module.name.clone(), chain));
        self.soft(&module.name, &below);
        // The list has also what is needed in turn. For the chains' sake, what is needed directly is looked at first,
        // and it is at the end of what is still to do.
        let (indirect, direct): (Vec<_>, Vec<_>) = module.needs.iter().partition(|need| {
            module.needs.iter().any(|n| n != *need && self.index.get(n).is_some_and(|other| other.needs.contains(need)))
        });
        self.todo.extend(indirect.into_iter().chain(direct).map(|need| (need.clone(), below.clone())));
    }

    /// Soft and weak dependencies: names or aliases, and no harm is done if there is no such module.
    fn soft(&mut self, name: &str, below: &Chain) {
        let soft = self.index.softdeps.get(name);
        let soft = soft.into_iter().flat_map(|s| s.pre.iter().chain(&s.post).chain(&s.other));
        let weak = self.index.weakdeps.get(name).into_iter().flatten();
        for wanted in soft.chain(weak) {
            let (modules, _) = self.meant(wanted);
            self.todo.extend(modules.into_iter().map(|module| (module, below.clone())));
        }
    }

    fn take_firmware(&mut self) {
        let files = std::mem::take(&mut self.files);
        let mut firmware = Firmware::new(self.view, &self.index.kernel);
        for ((_, below), names) in files.iter().zip(firmware_names(self.view, &files)) {
            let names = match names {
                Ok(names) => names,
                Err(why) => {
                    self.missing.push(Miss::new("firmware of the module", below).because(why));
                    continue;
                }
            };
            for name in names {
                match firmware.add(&name, &mut self.items, below) {
                    Ok(paths) => self.picked.firmware.extend(paths),
                    Err(miss) if self.firmware == Policy::Require => self.missing.push(miss),
                    Err(miss) => self.picked.warnings.push(miss),
                }
            }
        }
    }
}

/// What each module names as its firmware. Unpacking all modules of a kernel takes seconds: every processor helps.
fn firmware_names(view: &dyn View, files: &[(PathBuf, Chain)]) -> Vec<Result<Vec<String>, String>> {
    let read = |path: &Path| {
        let bytes = view.read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let info = modinfo::read(path, bytes)?;
        Ok(info.all("firmware").map(str::to_owned).collect())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).max(1);
    let mut names: Vec<Option<Result<Vec<String>, String>>> = files.iter().map(|_| None).collect();
    let places = Mutex::new(names.iter_mut().zip(files));
    // No thread that has panicked holds it, and what the others take is whole.
    let next = || places.lock().unwrap_or_else(|e| e.into_inner()).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((place, (path, _))) = next() {
                    *place = Some(read(path));
                }
            });
        }
    });
    names.into_iter().map(|names| names.unwrap_or_else(|| Ok(vec![]))).collect()
}
