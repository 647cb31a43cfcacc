//! What the kernel does with one entry: `do_name`, `do_symlink` and `maybe_link` of Linux (`init/initramfs.c`).

use std::collections::BTreeMap;

use super::{File, Lost, ROOT, Tree};
use crate::assemble::initramfs::entry::{Content, DIRECTORY, Entry, LINK, REGULAR};
use crate::assemble::initramfs::segments::At;

impl Tree {
    /// Unpacks one entry over what is there, and gives its path without links. `None` if the kernel would pass over
    /// it, which [`Tree::lost`] then has.
    pub fn unpack(&mut self, entry: Entry, at: Option<At>) -> Option<Vec<u8>> {
        let name = entry.name.clone();
        match self.place(entry, at) {
            Ok(path) => Some(path),
            Err(why) => {
                self.lost.push(Lost { at, name, why });
                None
            }
        }
    }

    /// Forgets which numbers are hard links, as at the end of each archive.
    pub fn forget_links(&mut self) {
        self.links.clear();
    }

    fn place(&mut self, entry: Entry, at: Option<At>) -> Result<Vec<u8>, String> {
        if entry.name == b"." {
            if !entry.is_dir() {
                return Err("the root is a directory".to_owned());
            }
            self.files[ROOT].set(entry, at);
            return Ok(b".".to_vec());
        }
        let (dir, name) = match entry.name.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&entry.name[..slash], &entry.name[slash + 1..]),
            None => (&b""[..], &entry.name[..]),
        };
        if matches!(name, b"." | b"..") {
            return Err("it names a directory by dots".to_owned());
        }
        let lead = self.lead(dir, true);
        if let Some(why) = lead.blocked {
            return Err(why);
        }
        let Some(dir) = lead.id() else { return Err("its directory is not there".to_owned()) };
        if !self.files[dir].entry.is_dir() {
            return Err("what it is in is no directory".to_owned());
        }
        let name = name.to_vec();
        let path = if dir == ROOT { name.clone() } else { [&lead.path()[..], &name].join(&b'/') };
        match entry.kind() {
            REGULAR => self.regular(dir, name, entry, at)?,
            DIRECTORY => self.directory(dir, name, entry, at)?,
            LINK => {
                self.clear(dir, &name, None)?;
                self.add(dir, name, entry, at);
            }
            _ if entry.is_special() => self.special(dir, name, entry, at)?,
            other => return Err(format!("there is no kind of file with the mode {other:o}")),
        }
        Ok(path)
    }

    fn regular(&mut self, dir: usize, name: Vec<u8>, entry: Entry, at: Option<At>) -> Result<(), String> {
        if let Some(old) = self.linked(&entry) {
            self.clear(dir, &name, None)?;
            self.files[dir].children.insert(name, old);
            // Names without content leave the content alone.
            match entry.content {
                Content::Empty => self.files[old].set_metadata(entry),
                _ => self.files[old].set(entry, at),
            }
            return Ok(());
        }
        // A file that is there is written anew: its other names see that.
        match self.clear(dir, &name, Some(REGULAR))? {
            Some(id) => {
                self.files[id].set(entry.clone(), at);
                self.remember(&entry, id);
            }
            None => {
                let id = self.add(dir, name, entry.clone(), at);
                self.remember(&entry, id);
            }
        }
        Ok(())
    }

    fn directory(&mut self, dir: usize, name: Vec<u8>, entry: Entry, at: Option<At>) -> Result<(), String> {
        match self.clear(dir, &name, Some(DIRECTORY))? {
            Some(id) => self.files[id].set(entry, at),
            None => drop(self.add(dir, name, entry, at)),
        }
        Ok(())
    }

    fn special(&mut self, dir: usize, name: Vec<u8>, entry: Entry, at: Option<At>) -> Result<(), String> {
        if let Some(old) = self.linked(&entry) {
            self.clear(dir, &name, None)?;
            self.files[dir].children.insert(name, old);
            return Ok(());
        }
        match self.clear(dir, &name, Some(entry.kind()))? {
            // mknod fails then, and only owner and mode are set.
            Some(id) => self.files[id].set_metadata(entry),
            None => {
                let id = self.add(dir, name, entry.clone(), at);
                self.remember(&entry, id);
            }
        }
        Ok(())
    }

    /// Removes what stands at a name unless it is of the kind `same`, which is given back. Directories that hold
    /// something stay.
    fn clear(&mut self, dir: usize, name: &[u8], same: Option<u32>) -> Result<Option<usize>, String> {
        let Some(&id) = self.files[dir].children.get(name) else { return Ok(None) };
        let old = &self.files[id];
        if same == Some(old.entry.kind()) {
            return Ok(Some(id));
        }
        if !old.children.is_empty() {
            return Err("a directory that is not empty stands in its place".to_owned());
        }
        self.files[dir].children.remove(name);
        Ok(None)
    }

    fn add(&mut self, dir: usize, name: Vec<u8>, entry: Entry, at: Option<At>) -> usize {
        let id = self.files.len();
        self.files.push(File { entry, children: BTreeMap::new(), from: at });
        self.files[dir].children.insert(name, id);
        id
    }

    fn linked(&self, entry: &Entry) -> Option<usize> {
        (entry.nlink >= 2).then(|| self.links.get(&(entry.ino, entry.dev, entry.kind())).copied()).flatten()
    }

    fn remember(&mut self, entry: &Entry, id: usize) {
        if entry.nlink >= 2 {
            self.links.insert((entry.ino, entry.dev, entry.kind()), id);
        }
    }
}

impl File {
    fn set(&mut self, entry: Entry, at: Option<At>) {
        self.entry = entry;
        self.from = at;
    }

    fn set_metadata(&mut self, entry: Entry) {
        let (content, rdev) = (std::mem::replace(&mut self.entry.content, Content::Empty), self.entry.rdev);
        self.entry = Entry { content, rdev, ..entry };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: Vec<Entry>) -> Tree {
        let mut tree = Tree::new();
        for entry in entries {
            if entry.name == b"TRAILER" {
                tree.forget_links();
            } else {
                tree.unpack(entry, None);
            }
        }
        tree
    }

    fn dir(name: &str) -> Entry {
        Entry::new(name, DIRECTORY | 0o755)
    }

    fn file(name: &str, content: &str) -> Entry {
        let content = if content.is_empty() { Content::Empty } else { Content::Bytes(content.as_bytes().into()) };
        Entry::new(name, REGULAR | 0o644).with(content)
    }

    fn link(name: &str, target: &str) -> Entry {
        Entry::new(name, LINK | 0o777).with(Content::Bytes(target.as_bytes().into()))
    }

    fn hard(name: &str, content: &str) -> Entry {
        Entry { nlink: 2, ino: 7, ..file(name, content) }
    }

    fn text(tree: &Tree, path: &str) -> String {
        tree.content(path).map_or_else(|e| format!("{e:#}"), |b| String::from_utf8_lossy(&b).into_owned())
    }

    fn names(tree: &Tree) -> Vec<String> {
        tree.entries().iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect()
    }

    #[test]
    fn entries_land_where_links_of_the_image_lead() {
        let tree = tree(vec![
            dir("usr"),
            dir("usr/lib"),
            link("lib", "usr/lib"),
            link("lib64", "/lib/../lib"),
            file("lib/a", "A"),
            file("lib64/b", "B"),
            file("../../lib/c", "C"),
        ]);
        assert_eq!(names(&tree), [".", "lib", "lib64", "usr", "usr/lib", "usr/lib/a", "usr/lib/b", "usr/lib/c"]);
        assert_eq!(text(&tree, "/lib64/a"), "A");
        assert_eq!(tree.land("lib64/new/x").unwrap(), b"usr/lib/new/x");
        assert_eq!(tree.missing_dirs("lib64/new/y/x").unwrap(), [b"usr/lib/new".to_vec(), b"usr/lib/new/y".to_vec()]);
        assert!(tree.land("lib/a/x").unwrap_err().contains("/usr/lib/a is no directory"));
        assert_eq!(tree.get("lib").unwrap().kind(), LINK);
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one_and_directories_keep_their_children() {
        let mut mode = dir("d");
        mode.mode = DIRECTORY | 0o700;
        let tree = tree(vec![
            dir("d"),
            file("d/x", "old"),
            file("was-file", "1"),
            dir("empty"),
            mode,
            file("d/x", "new"),
            link("was-file", "d"),
            file("empty", "file now"),
            file("d", "cannot be"),
        ]);
        assert_eq!(tree.get("d").unwrap().mode & 0o7777, 0o700);
        assert_eq!(text(&tree, "was-file/x"), "new");
        assert_eq!(text(&tree, "empty"), "file now");
        assert_eq!(tree.lost().len(), 1);
        assert!(tree.lost()[0].why.contains("not empty"));
    }

    #[test]
    fn hard_links_share_their_content_until_the_archive_ends() {
        let tree = tree(vec![hard("a", ""), hard("b", "both"), file("TRAILER", ""), hard("c", "other archive")]);
        assert_eq!(text(&tree, "a"), "both");
        assert_eq!(text(&tree, "c"), "other archive");
        let entries = tree.entries();
        let counts: Vec<_> = entries.iter().map(|e| (e.nlink, e.content == Content::Empty)).collect();
        assert_eq!(counts, [(2, true), (2, true), (2, false), (1, false)]);
    }

    #[test]
    fn what_the_kernel_passes_over_is_known() {
        let tree = tree(vec![
            file("no/such/dir", "x"),
            file("f", "x"),
            file("f/below", "x"),
            link("loop", "loop"),
            file("loop/x", "x"),
        ]);
        let why: Vec<&str> = tree.lost().iter().map(|l| &l.why[..]).collect();
        assert_eq!(why, ["its directory is not there", "what it is in is no directory", "/loop leads in a circle"]);
    }

    #[test]
    fn a_removed_directory_takes_what_is_in_it() {
        let mut tree = tree(vec![dir("d"), file("d/x", "x"), link("l", "d")]);
        assert!(tree.remove("l"));
        assert!(tree.remove("d"));
        assert!(!tree.remove("d"));
        assert_eq!(names(&tree), ["."]);
        assert!(tree.insert(file("d/x", "x")).is_err());
        tree.insert(file("d", "x")).unwrap();
        assert!(tree.lost().is_empty());
    }
}
