//! Files that modules hand to devices.

use std::path::{Path, PathBuf};

use crate::assemble::initramfs::closure::items::{Chain, Items};
use crate::assemble::initramfs::closure::miss::Miss;
use crate::assemble::initramfs::view::{Node, Resolved, View, resolve};

use super::aliases::matches;

/// What to do about firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Take what is there and warn of the rest: many modules name files that no release has.
    #[default]
    Warn,
    /// What is not there is missing.
    Require,
    /// Take none.
    Leave,
}

/// Finds firmware as the kernel does (`fw_path` of `drivers/base/firmware_loader`).
pub struct Firmware<'a> {
    view: &'a dyn View,
    dirs: Vec<PathBuf>,
    /// All files, relative to the directories above; listed only if a module uses a wildcard.
    all: Option<Vec<String>>,
}

impl<'a> Firmware<'a> {
    /// Of the view's `/lib/firmware`, for one kernel.
    pub fn new(view: &'a dyn View, kernel: &str) -> Self {
        let base = ["/lib/firmware", "/usr/lib/firmware"].map(Path::new);
        let base = base.into_iter().find(|dir| resolve(view, dir).is_ok()).unwrap_or(Path::new("/lib/firmware"));
        let dirs = vec![base.join("updates").join(kernel), base.join("updates"), base.join(kernel), base.to_owned()];
        Self { view, dirs, all: None }
    }

    /// Adds the files that a name in a module stands for.
    ///
    /// # Errors
    /// There are none.
    pub fn add(&mut self, name: &str, items: &mut Items, chain: &Chain) -> Result<Vec<PathBuf>, Miss> {
        let found =
            if name.contains(['*', '?', '[']) { self.by_pattern(name) } else { self.find(name).into_iter().collect() };
        if found.is_empty() {
            return Err(Miss::new(format!("firmware {name}"), chain));
        }
        found.iter().for_each(|end| items.add(end, chain));
        Ok(found.into_iter().map(|end| end.path).collect())
    }

    fn find(&self, name: &str) -> Option<Resolved> {
        let names = ["", ".zst", ".xz"].map(|ending| format!("{name}{ending}"));
        let paths = self.dirs.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name)));
        paths.filter_map(|path| resolve(self.view, &path).ok()).find(Resolved::is_file)
    }

    fn by_pattern(&mut self, pattern: &str) -> Vec<Resolved> {
        let all = match self.all.take() {
            Some(all) => all,
            None => {
                let mut all = Vec::new();
                self.dirs.iter().for_each(|dir| list(self.view, dir, "", 0, &mut all));
                all
            }
        };
        let plain = |name: &str| name.trim_end_matches(".xz").trim_end_matches(".zst").to_owned();
        let mut names: Vec<String> =
            all.iter().map(|name| plain(name)).filter(|n| matches(pattern.as_bytes(), n.as_bytes())).collect();
        names.sort();
        names.dedup();
        self.all = Some(all);
        names.iter().filter_map(|name| self.find(name)).collect()
    }
}

/// Directories of firmware are no deeper than this; links can lead in circles.
const DEPTH: usize = 8;

fn list(view: &dyn View, dir: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(end) = resolve(view, dir) else { return };
    if end.node != Node::Dir || depth > DEPTH {
        return;
    }
    for name in view.list(&end.path).unwrap_or_default().iter().filter_map(|n| n.to_str()) {
        let relative = format!("{prefix}{name}");
        match resolve(view, &end.path.join(name)).map(|end| end.node) {
            Ok(Node::Dir) => list(view, &end.path.join(name), &format!("{relative}/"), depth + 1, found),
            Ok(Node::File { .. }) => found.push(relative),
            _ => {}
        }
    }
}
