//! The modules of one kernel: what depmod wrote about them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::assemble::initramfs::view::{Node, View, resolve};

use super::aliases::Aliases;
use super::settings::Settings;
use super::{load, names};

/// Where kernels have their modules; the first is a link to the second in newer systems.
const PLACES: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];

/// A module that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// With `_` for `-`.
    pub name: String,
    /// Where its file is, below the kernel's directory.
    pub file: PathBuf,
    /// All modules that it needs, also those that they need in turn: the names, in the order of `modules.dep`.
    pub needs: Vec<String>,
}

/// Modules that are loaded with another without being needed by the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Softdep {
    /// Before it.
    pub pre: Vec<String>,
    /// After it.
    pub post: Vec<String>,
    /// Named without saying when. modprobe does not load them; the kernel asks for them later.
    pub other: Vec<String>,
}

/// The modules of one kernel.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// `6.1.0-56-amd64`
    pub kernel: String,
    /// Its directory as it is asked for: `/lib/modules/6.1.0-56-amd64`.
    pub dir: PathBuf,
    /// Loadable modules, in the order of `modules.dep`.
    pub modules: Vec<Module>,
    pub(super) by_name: HashMap<String, usize>,
    /// Aliases of loadable modules.
    pub aliases: Aliases,
    /// Exported symbols, as `symbol:name` and module.
    pub symbols: Vec<(String, String)>,
    /// By the module that they are for; lines for the same module add up.
    pub softdeps: HashMap<String, Softdep>,
    /// Modules that another may ask for while it runs.
    pub weakdeps: HashMap<String, Vec<String>>,
    /// Modules that are part of the kernel: names.
    pub builtin: HashSet<String>,
    /// Aliases of what is built in.
    pub builtin_aliases: Aliases,
    /// What the tree's `modprobe.d` says about aliases.
    pub settings: Settings,
    /// Lines of `modules.softdep`, `modules.weakdep` and `modules.devname`, by the module that they begin with.
    pub(super) lines: load::Lines,
    /// `modules.builtin` as it is.
    pub builtin_list: Vec<u8>,
    /// `modules.builtin.modinfo` as it is.
    pub builtin_modinfo: Vec<u8>,
    /// `modules.order` as it is.
    pub order: Vec<String>,
    /// There was no `modules.dep`: all of this is from the modules themselves.
    pub scanned: bool,
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The kernel has no directory.
    #[error("there are no modules of kernel {kernel}: {}", there_are(.have))]
    NoKernel {
        /// The one that was asked for.
        kernel: String,
        /// Those that are there.
        have: Vec<String>,
    },
    /// A file cannot be read.
    #[error("reading {}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was said.
        error: io::Error,
    },
    /// A file is not as depmod writes it.
    #[error("{}:{line}: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

fn there_are(kernels: &[String]) -> String {
    match kernels {
        [] => "neither /lib/modules nor /usr/lib/modules has any kernel's".to_owned(),
        kernels => format!("there are those of {}", kernels.join(", ")),
    }
}

/// The kernels that have modules in a tree, sorted.
pub fn kernels(view: &dyn View) -> Vec<String> {
    let mut found = Vec::new();
    for place in PLACES {
        let Ok(dir) = resolve(view, Path::new(place)) else { continue };
        for name in view.list(&dir.path).unwrap_or_default() {
            let is_dir = resolve(view, &dir.path.join(&name)).is_ok_and(|end| end.node == Node::Dir);
            if let (true, Ok(name)) = (is_dir, name.into_string())
                && !found.contains(&name)
            {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

impl Index {
    /// Reads what is known about the modules of `kernel`. Without `modules.dep` (in a package that was only unpacked,
    /// say) the modules themselves are read.
    ///
    /// # Errors
    /// The kernel is not there, or a file cannot be read.
    pub fn load(view: &dyn View, kernel: &str) -> Result<Self, IndexError> {
        let is_name = !kernel.is_empty() && !kernel.contains('/') && kernel != "." && kernel != "..";
        let dirs = PLACES.iter().map(|place| Path::new(place).join(kernel));
        let dir = dirs.into_iter().find(|dir| is_name && resolve(view, dir).is_ok_and(|end| end.node == Node::Dir));
        match dir {
            Some(dir) => load::load(view, kernel, dir),
            None => Err(IndexError::NoKernel { kernel: kernel.to_owned(), have: kernels(view) }),
        }
    }

    /// A module by its name, with `-` or `_`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Module> {
        self.by_name.get(&names::asked(name)).map(|&index| &self.modules[index])
    }

    /// Whether a name, or something with this alias, is part of the kernel.
    #[must_use]
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&names::asked(name)) || !self.builtin_aliases.find(name).is_empty()
    }

    /// The modules that modprobe loads for an alias that no module has as its name. Settings of the tree come before
    /// what modules say of themselves, and what is blacklisted is left out.
    #[must_use]
    pub fn aliased(&self, alias: &str) -> Vec<&str> {
        let all = self.aliased_or_blacklisted(alias).into_iter();
        all.filter(|module| !self.settings.blacklist.contains(*module)).collect()
    }

    /// The same with those that are blacklisted.
    #[must_use]
    pub fn aliased_or_blacklisted(&self, alias: &str) -> Vec<&str> {
        let set = self.settings.aliases.find(alias);
        if set.is_empty() {
            return self.aliases.find(alias);
        }
        // "alias NAME off" is how people say that there is none.
        let is_there = |module: &&str| self.get(module).is_some() || self.builtin.contains(*module);
        set.into_iter().filter(is_there).collect()
    }

    /// Where the file of a module is in the view, before links are followed.
    #[must_use]
    pub fn path_of(&self, module: &Module) -> PathBuf {
        self.dir.join(&module.file)
    }

    pub(super) fn add(&mut self, module: Module) {
        // modprobe takes the first of a name.
        let index = self.modules.len();
        self.by_name.entry(module.name.clone()).or_insert(index);
        self.modules.push(module);
    }
}
