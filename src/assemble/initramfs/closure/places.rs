//! The directories that all programs of a tree have in common.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::assemble::initramfs::view::{View, read};

use super::elf::Abi;
use super::files::Files;
use super::ld_cache::Cache;
use super::{dirs, ld_conf};

/// What stands in for the question "which directories does ldconfig know".
#[derive(Debug)]
pub enum Table {
    /// The directories that `/etc/ld.so.conf` names: of a system whose cache is made anew.
    Conf(Vec<PathBuf>),
    /// The libraries in `/etc/ld.so.cache`: of an image, in which the loader sees nothing else.
    Cache(Cache),
}

/// Directories that are searched for every program.
#[derive(Debug)]
pub struct Places {
    /// What ldconfig knows.
    pub table: Table,
    glibc: HashMap<Abi, Vec<PathBuf>>,
    musl: HashMap<String, Vec<PathBuf>>,
}

impl Places {
    /// As a system would search whose ldconfig has run.
    pub fn of_system(view: &dyn View) -> Self {
        Self::with(Table::Conf(ld_conf::directories(view)))
    }

    /// As the loader searches in exactly this tree: only its cache counts.
    pub fn of_image(view: &dyn View) -> Self {
        Self::with(Table::Cache(Cache::parse(&read(view, Path::new("/etc/ld.so.cache")).unwrap_or_default())))
    }

    fn with(table: Table) -> Self {
        Self { table, glibc: HashMap::new(), musl: HashMap::new() }
    }

    /// The default directories of a glibc: those that its loader carries, else all that are usual.
    pub fn glibc(&mut self, files: &mut Files<'_>, loader: Option<&str>, abi: Abi) -> Vec<PathBuf> {
        if let Some(known) = self.glibc.get(&abi) {
            return known.clone();
        }
        let Some(loader) = loader else { return dirs::defaults(abi) };
        let bytes = files.file(Path::new(loader)).and_then(|found| files.view.read(&found.path).ok());
        let dirs = bytes.and_then(|bytes| dirs::of_loader(&bytes)).unwrap_or_else(|| dirs::defaults(abi));
        self.glibc.insert(abi, dirs.clone());
        dirs
    }

    /// The directories of a musl: `/etc/ld-musl-ARCH.path`, else three that are compiled in. `/etc` is beside the `/lib`
    /// that the loader is in.
    pub fn musl(&mut self, files: &mut Files<'_>, loader: Option<&str>, arch: &str) -> Vec<PathBuf> {
        if let Some(known) = self.musl.get(arch) {
            return known.clone();
        }
        let prefix = loader.and_then(|l| Path::new(l).parent()?.parent()).unwrap_or(Path::new("/"));
        let path = prefix.join(format!("etc/ld-musl-{arch}.path"));
        let list = read(files.view, &path).map(|b| String::from_utf8_lossy(&b).into_owned());
        let list = list.unwrap_or_else(|_| "/lib:/usr/local/lib:/usr/lib".to_owned());
        let dirs: Vec<PathBuf> = list.split(['\n', ':']).filter(|d| d.starts_with('/')).map(PathBuf::from).collect();
        self.musl.insert(arch.to_owned(), dirs.clone());
        dirs
    }

    /// All directories that are known for a kind of machine, without search paths of files.
    pub fn all(&self, abi: Abi) -> Vec<PathBuf> {
        let conf = if let Table::Conf(dirs) = &self.table { dirs.clone() } else { vec![] };
        let defaults = self.glibc.get(&abi).cloned().unwrap_or_else(|| dirs::defaults(abi));
        conf.into_iter().chain(defaults).chain(self.musl.values().flatten().cloned()).collect()
    }
}
