//! A call of dnf, and what can be looked up around it when it has failed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::clock;
use super::say;
use crate::exec::command::Cmd;
use crate::package::dnf::repositories::{self, Repository};
use crate::package::dnf::{Explanation, Failure, Reason, Surroundings};
use crate::package::openpgp;

/// The words of dnf that packages or groups follow.
const VERBS: &[&str] = &["install", "remove", "update", "upgrade", "download", "mark", "group"];

/// A call of dnf: program, options, verb, and what it is to be done with.
pub(super) struct Call<'a> {
    options: &'a [String],
    asked: &'a [String],
}

impl<'a> Call<'a> {
    /// The call that `argv` is.
    pub(super) fn new(argv: &'a [String]) -> Self {
        let verb = argv.iter().skip(1).position(|word| VERBS.contains(&word.as_str()));
        let (options, asked) = argv.split_at(verb.map_or(argv.len(), |at| at + 1));
        Self { options, asked: asked.get(1..).unwrap_or_default() }
    }

    /// The value of `--NAME=VALUE` or `--setopt=NAME=VALUE`.
    fn option(&self, name: &str) -> Option<&str> {
        let value = |word: &'a String| {
            let word = word.strip_prefix("--setopt=").or_else(|| word.strip_prefix("--"))?;
            word.strip_prefix(name)?.strip_prefix('=')
        };
        self.options.iter().filter_map(value).next_back()
    }

    /// The repositories in use.
    pub(super) fn repositories(&self) -> Vec<Repository> {
        let dir = self.option("reposdir").unwrap_or("/etc/yum.repos.d");
        let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let files: BTreeSet<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "repo")).collect();
        let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
        texts.flat_map(|text| repositories::parse(&text)).filter(|repository| !repository.disabled).collect()
    }

    /// Looks up what explains `failure`.
    pub(super) fn surroundings(&self, failure: &Failure) -> Surroundings {
        let mut around = Surroundings {
            asked: self.asked.to_vec(),
            repositories: self.repositories(),
            release: self.option("releasever").unwrap_or_default().to_owned(),
            ..Surroundings::default()
        };
        if let Failure::NotFound { packages, groups } = failure {
            let has_group = !groups.is_empty() || self.asked.iter().any(|word| word.starts_with('@'));
            around.groups = if has_group { self.groups() } else { Vec::new() };
            around.packages = if packages.is_empty() { Vec::new() } else { self.packages() };
        }
        if let Failure::Metadata { repository, .. } = failure {
            let repository = around.repositories.iter().find(|r| r.id == *repository);
            around.releases = repository.map(releases).unwrap_or_default();
        }
        if failure.may_be_the_clock() {
            let keys = key_files(failure, &around.repositories);
            around.no_keys = keys.iter().filter(|file| holds_no_key(file)).map(|f| f.display().to_string()).collect();
            let root = Path::new(self.option("installroot").unwrap_or("/"));
            around.clock = clock::difference(&keys, root, url_of(failure));
        }
        around
    }

    /// The names of all packages that the repositories have, from the cache.
    fn packages(&self) -> Vec<String> {
        // dnf 5 ends lines only where it is told to; dnf 4 does so anyway.
        sorted(self.query(&["repoquery", "--qf", "%{name}\n"]).lines().map(str::trim))
    }

    /// The ids of all groups and environments.
    fn groups(&self) -> Vec<String> {
        // dnf 4 says ids if it is verbose: `   Core (core)`. dnf 5 has no -v, and a table whose first column they are.
        let four = self.query(&["-v", "group", "list", "--hidden"]);
        let indented = four.lines().filter(|line| line.starts_with(' '));
        let ids = indented.filter_map(|line| line.strip_suffix(')')?.rsplit_once('(')).map(|(_, id)| id);
        let ids = sorted(ids);
        if !ids.is_empty() {
            return ids;
        }
        let five = self.query(&["group", "list", "--hidden"]) + &self.query(&["environment", "list"]);
        sorted(five.lines().filter_map(|line| line.split_whitespace().next()).filter(|id| *id != "ID"))
    }

    /// What the same dnf, asked something else, answers from its cache; empty when it cannot.
    fn query(&self, words: &[&str]) -> String {
        let Some((program, options)) = self.options.split_first() else { return String::new() };
        let options = options.iter().filter(|option| !["--refresh", "-v"].contains(&option.as_str()));
        let command = Cmd::new(program).args(options).args(["-q", "-C"]).args(words);
        command.read().unwrap_or_default()
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// The files among the keys that dnf named, or else among those of the repositories.
fn key_files(failure: &Failure, repositories: &[Repository]) -> Vec<PathBuf> {
    let named = match failure {
        Failure::Signature { keys, .. } => keys.as_slice(),
        _ => &[],
    };
    let all = repositories.iter().flat_map(|repository| &repository.keys);
    let keys: Vec<&String> = if named.is_empty() { all.collect() } else { named.iter().collect() };
    keys.into_iter().filter_map(|key| key.strip_prefix("file://")).map(PathBuf::from).collect()
}

/// Whether a file can be read and holds no key.
pub(super) fn holds_no_key(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| openpgp::created(&bytes).is_empty())
}

fn url_of(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Metadata { reason: Reason::Certificate { url, .. }, .. }
        | Failure::Download { reason: Reason::Certificate { url, .. }, .. }
        | Failure::Key(Reason::Certificate { url, .. }) => Some(url),
        _ => None,
    }
}

/// The releases on a repository's mirror, oldest first; empty when the mirror cannot be listed.
fn releases(repository: &Repository) -> Vec<String> {
    let Some((mirror, below)) = repository.releases() else { return Vec::new() };
    let first = below.split('/').next().unwrap_or_default();
    let mut found: Vec<String> = match mirror.strip_prefix("file://") {
        Some(dir) => {
            let names =
                fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok());
            names.filter(|name| Path::new(dir).join(name).join(first).is_dir()).collect()
        }
        None => {
            let curl = Cmd::new("curl").args(["-fsSL", "--max-time", "10"]).arg(format!("{mirror}/"));
            let page = curl.read().unwrap_or_default();
            let link = Regex::new(r#"href="(?:\./)?([^"/]+)/""#).expect("this pattern is valid");
            link.captures_iter(&page).map(|found| found[1].to_owned()).collect()
        }
    };
    found.retain(|name| name.starts_with(|c: char| c.is_ascii_digit()));
    let number = |name: &str| name.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect::<Vec<_>>();
    found.sort_by_key(|name| number(name));
    found.dedup();
    found
}

/// Says what is explained, as the engine's report of a failed hook finds it: `TOOL: error: …`.
pub(super) fn tell(tool: &str, told: &Explanation) -> anyhow::Result<()> {
    say(&format!("{tool}: error: {}", told.what))?;
    for line in &told.details {
        say(&format!("    {line}"))?;
    }
    told.hints.iter().try_for_each(|hint| say(&format!("hint: {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_call_is_taken_apart() {
        let argv = words("chroot /tools dnf -y --installroot=/r --setopt=reposdir=/d --releasever=9 install a @core");
        let call = Call::new(&argv);
        assert_eq!(call.option("reposdir"), Some("/d"));
        assert_eq!((call.option("installroot"), call.option("config")), (Some("/r"), None));
        assert_eq!(call.asked, ["a", "@core"]);
        assert_eq!(call.options.last().unwrap(), "--releasever=9");
    }

    #[test]
    fn a_mirror_of_files_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        for release in ["9", "10.1", "9.4", "8.10", "docs", "11"] {
            let part = if release == "11" { "Other" } else { "BaseOS" };
            fs::create_dir_all(dir.path().join(release).join(part)).unwrap();
        }
        let address = format!("file://{}/$releasever/BaseOS/$basearch/os", dir.path().display());
        let repository = Repository { baseurl: vec![address], ..Repository::default() };
        assert_eq!(releases(&repository), ["8.10", "9", "9.4", "10.1"]);
    }
}
