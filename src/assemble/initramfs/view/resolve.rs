//! Follows links inside a view, and tells everything that was passed on the way.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Node, View};

/// So many links does Linux follow in one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// A path followed to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path without links.
    pub path: PathBuf,
    /// What is there; never a link.
    pub node: Node,
    /// Every directory and link on the way, in the order of the walk, without the root and the end itself.
    pub passed: Vec<(PathBuf, Node)>,
}

impl Resolved {
    /// The links among what was passed.
    pub fn links(&self) -> impl Iterator<Item = &Path> {
        self.passed.iter().filter(|(_, node)| matches!(node, Node::Link(_))).map(|(path, _)| path.as_path())
    }

    /// Whether the end is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.node, Node::File { .. })
    }
}

/// Why a path has no end.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// Something is not there: the path asked for, or what a link on the way points at.
    #[error("{} is not there{}", .path.display(), through(.links))]
    Missing {
        /// What is not there.
        path: PathBuf,
        /// The links that led to it.
        links: Vec<PathBuf>,
    },
    /// Links point at each other.
    #[error("{} leads through more than {MAX_LINKS} links", .0.display())]
    Loop(PathBuf),
    /// The operating system says no.
    #[error("reading {}: {error}", .path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

fn through(links: &[PathBuf]) -> String {
    links.last().map_or_else(String::new, |link| format!(" (the link {} points there)", link.display()))
}

impl From<Unresolved> for io::Error {
    fn from(error: Unresolved) -> Self {
        let kind = match &error {
            Unresolved::Missing { .. } => io::ErrorKind::NotFound,
            Unresolved::Loop(_) => io::ErrorKind::InvalidData,
            Unresolved::Io { error, .. } => error.kind(),
        };
        Self::new(kind, error.to_string())
    }
}

/// The components still to walk, and how many links were followed.
struct Walk {
    todo: VecDeque<OsString>,
    links: usize,
    done: Resolved,
}

/// Follows `path`, and the links in it, inside the view: absolute targets begin at the view's root, and `..` ends there.
///
/// # Errors
/// Something on the way is not there or no directory, links that point at each other, or what the operating system says.
pub fn resolve(view: &dyn View, path: &Path) -> Result<Resolved, Unresolved> {
    let done = Resolved { path: PathBuf::from("/"), node: Node::Dir, passed: vec![] };
    let mut walk = Walk { todo: VecDeque::new(), links: 0, done };
    walk.put_first(path);
    while let Some(name) = walk.todo.pop_front() {
        if name == ".." {
            walk.done.path.pop();
            continue;
        }
        let here = walk.done.path.join(&name);
        let node = view.get(&here).map_err(|error| Unresolved::Io { path: here.clone(), error })?;
        match node {
            Some(Node::Link(target)) => walk.follow(path, here, target)?,
            Some(Node::Dir) => {
                walk.done.passed.push((here.clone(), Node::Dir));
                walk.done.path = here;
            }
            Some(end) if walk.todo.is_empty() => {
                walk.done.path = here;
                walk.done.node = end;
                return Ok(walk.done);
            }
            Some(_) | None => {
                let links = walk.done.links().map(Path::to_path_buf).collect();
                let path = walk.todo.iter().fold(here, |path, name| path.join(name));
                return Err(Unresolved::Missing { path, links });
            }
        }
    }
    let end = walk.done.path.clone();
    walk.done.passed.retain(|(path, _)| *path != end);
    Ok(walk.done)
}

impl Walk {
    fn put_first(&mut self, path: &Path) {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.todo.push_front(name.to_owned()),
                Component::ParentDir => self.todo.push_front("..".into()),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
    }

    fn follow(&mut self, asked: &Path, here: PathBuf, target: PathBuf) -> Result<(), Unresolved> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Unresolved::Loop(asked.to_owned()));
        }
        if target.is_absolute() {
            self.done.path = PathBuf::from("/");
        }
        self.put_first(&target);
        self.done.passed.push((here, Node::Link(target)));
        Ok(())
    }
}

/// Reads the file that `path` leads to.
///
/// # Errors
/// As [`resolve`], and those of [`View::read`].
pub fn read(view: &dyn View, path: &Path) -> io::Result<Vec<u8>> {
    view.read(&resolve(view, path)?.path)
}

/// Whether `path` leads to something.
pub fn exists(view: &dyn View, path: &Path) -> bool {
    resolve(view, path).is_ok()
}
