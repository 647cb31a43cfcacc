//! The index of a kernel that depmod has not seen: read from the modules themselves.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::assemble::initramfs::view::{Node, View, resolve};

use super::aliases::Aliases;
use super::index::{Index, IndexError, Module};
use super::{modinfo, names};

/// Fills in modules, aliases and soft dependencies. A file that is no module is an error that names it.
pub fn scan(view: &dyn View, index: &mut Index) -> Result<(), IndexError> {
    index.scanned = true;
    let dir = resolve(view, &index.dir).map_err(|e| IndexError::Io { path: index.dir.clone(), error: e.into() })?.path;
    let mut files = Vec::new();
    below(view, &dir, Path::new(""), &mut files)?;
    sort(&mut files, &index.order);

    let mut direct: HashMap<String, Vec<String>> = HashMap::new();
    let mut aliases = Vec::new();
    let mut found = Vec::new();
    for file in files {
        let Some(name) = names::of_file(&file) else { continue };
        // Updates come before the kernel's own in depmod's search order, and so does the first of a name here.
        if direct.contains_key(&name) {
            continue;
        }
        let path = dir.join(&file);
        let bytes = view.read(&path).map_err(|error| IndexError::Io { path: path.clone(), error })?;
        let info =
            modinfo::read(&path, bytes).map_err(|why| IndexError::Io { path, error: std::io::Error::other(why) })?;
        direct.insert(name.clone(), info.list("depends").map(names::plain).collect());
        aliases.extend(info.all("alias").map(|alias| (alias.to_owned(), name.clone())));
        for (lines, key) in [(&mut index.lines.softdep, "softdep"), (&mut index.lines.weakdep, "weakdep")] {
            lines.extend(info.all(key).map(|text| (name.clone(), format!("{key} {name} {text}"))));
        }
        found.push((name, file));
    }
    for (name, file) in found {
        let needs = sorted_needs(&name, &direct);
        index.add(Module { name, file, needs });
    }
    index.aliases = Aliases::new(aliases);
    Ok(())
}

/// All module files below `dir/inner`, relative to `dir`.
fn below(view: &dyn View, dir: &Path, inner: &Path, found: &mut Vec<PathBuf>) -> Result<(), IndexError> {
    let here = dir.join(inner);
    let failed = |error| IndexError::Io { path: here.clone(), error };
    for name in view.list(&here).map_err(failed)? {
        let path = inner.join(&name);
        match view.get(&dir.join(&path)).map_err(failed)? {
            Some(Node::Dir) => below(view, dir, &path, found)?,
            // "build" and "source" are links to trees elsewhere; links to single modules (weak-updates) count.
            Some(Node::File { .. } | Node::Link(_)) if names::of_file(&path).is_some() => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

/// As in `modules.order`; what is not named there comes last, updates first of all.
fn sort(files: &mut [PathBuf], order: &[String]) {
    let places: HashMap<&str, usize> = order.iter().enumerate().map(|(place, line)| (line.as_str(), place)).collect();
    files.sort_by_key(|file| {
        let text = file.to_string_lossy();
        let plain = names::COMPRESSED.iter().find_map(|ending| text.strip_suffix(ending)).unwrap_or(&text);
        let rank = if text.starts_with("updates/") { 0 } else { 1 };
        (rank, places.get(plain).copied().unwrap_or(usize::MAX), file.clone())
    });
}

/// All that a module needs, in turn: each before what it needs itself, as modprobe reads the line from its end.
fn sorted_needs(name: &str, direct: &HashMap<String, Vec<String>>) -> Vec<String> {
    let mut done = Vec::new();
    let mut seen = HashSet::from([name.to_owned()]);
    for need in direct.get(name).into_iter().flatten() {
        visit(need, direct, &mut seen, &mut done);
    }
    done.reverse();
    done
}

fn visit(name: &str, direct: &HashMap<String, Vec<String>>, seen: &mut HashSet<String>, done: &mut Vec<String>) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    for need in direct.get(name).into_iter().flatten() {
        visit(need, direct, seen, done);
    }
    done.push(name.to_owned());
}
