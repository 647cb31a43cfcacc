//! The message about a failure: what was being done, to what, why it failed, and what to do.

use super::repositories::Repository;
use super::{Failure, Reason, Scriptlet, SignatureFault};
use crate::error::{EXIT_BUILD, EXIT_DEFINITION, EXIT_HOST};
use crate::near::{near, quoted};

/// Lines that a message has at most below its first.
const DETAILS: usize = 8;

/// A message, in the parts in which it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What, to what, why: one line, lower case, no full stop.
    pub what: String,
    /// What a program said about it.
    pub details: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
    /// The exit code that fits.
    pub code: u8,
}

/// What the caller looked up to make the message better.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What the repositories have; empty when that is not known.
    pub packages: Vec<String>,
    /// The groups in the repositories, by id.
    pub groups: Vec<String>,
    /// What was asked for, in the caller's words.
    pub asked: Vec<String>,
    /// The repositories in use.
    pub repositories: Vec<Repository>,
    /// The release that was asked for; empty when there is no choice.
    pub release: String,
    /// The releases that the mirror has, if it can be listed.
    pub releases: Vec<String>,
    /// Files that are to hold keys and hold none.
    pub no_keys: Vec<String>,
    /// How this machine's clock differs from the repository's, if it does: a sentence without its full stop.
    pub clock: Option<String>,
}

impl Explanation {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), details: Vec::new(), hints: Vec::new(), code: EXIT_BUILD }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    fn details(mut self, lines: &[String]) -> Self {
        let more = lines.len().saturating_sub(DETAILS);
        self.details.extend(lines.iter().take(DETAILS).cloned());
        if more > 0 {
            self.details.push(format!("and {more} more"));
        }
        self
    }
}

impl Failure {
    /// The message.
    pub fn explain(&self, around: &Surroundings) -> Explanation {
        match self {
            Failure::NotFound { packages, groups } => not_found(packages, groups, around),
            Failure::Dependencies(reasons) => Explanation::new("the packages cannot be installed together")
                .details(reasons)
                .hint("leave one of them out, or add the repository that has what is missing"),
            Failure::Metadata { repository, reason } => metadata(repository, reason, around),
            Failure::NotCached { repository } => Explanation::new(format!(
                "reading repository '{repository}': it is not in the cache, and the build is offline"
            ))
            .hint("build once without --offline"),
            Failure::Download { file, reason } => {
                with_hint(Explanation::new(format!("downloading {file}: {}", words(reason))), reason)
            }
            Failure::Signature { package, fault, keys } => signature(package, *fault, keys, around),
            Failure::Key(reason) => with_hint(
                Explanation::new(format!("reading a key of the packages: {}", words(reason))).code(EXIT_DEFINITION),
                reason,
            ),
            Failure::Transaction(lines) => Explanation::new("rpm refuses to install the packages").details(lines),
            Failure::Space(lines) => Explanation::new("there is no room for the packages")
                .details(lines)
                .hint("TMPDIR=DIRECTORY builds elsewhere, --no-tmpfs on disk")
                .code(EXIT_HOST),
            Failure::Scriptlets(failed) => scriptlets(failed),
            Failure::Other(lines) => Explanation::new("dnf failed").details(lines),
        }
    }

    /// Whether a wrong clock can be the reason: then it is worth to compare it.
    pub fn may_be_the_clock(&self) -> bool {
        let certificate = |reason: &Reason| matches!(reason, Reason::Certificate { .. });
        match self {
            Failure::Signature { fault, .. } => *fault != SignatureFault::Missing,
            Failure::Metadata { reason, .. } | Failure::Download { reason, .. } | Failure::Key(reason) => {
                certificate(reason)
            }
            _ => false,
        }
    }
}

/// The message about scriptlets that failed.
pub fn scriptlets(failed: &[Scriptlet]) -> Explanation {
    let one = |s: &Scriptlet| format!("the {} script of package {} failed ({})", s.kind, s.package, s.end);
    let mut told = Explanation::new(match failed {
        [one_only] => one(one_only),
        several => format!("{} scripts of packages failed", several.len()),
    });
    for scriptlet in failed {
        if failed.len() > 1 {
            told.details.push(one(scriptlet));
        }
        // The last lines: what a script says last is mostly why it ended.
        let most = (DETAILS / failed.len()).max(1);
        let output = &scriptlet.output[scriptlet.output.len().saturating_sub(most)..];
        told.details.extend(output.iter().map(|line| format!("| {line}")));
    }
    let names: Vec<&str> = failed.iter().map(Scriptlet::name).collect();
    let after = failed.iter().all(|s| !["%pre", "%pretrans", "%preun"].contains(&s.kind.as_str()));
    if after {
        return told.hint(format!(
            "the image would lack what the script does; if it can do without: IMAGE_RPM_SCRIPTS_MAY_FAIL=\"{}\"",
            names.join(" ")
        ));
    }
    told.hint("leave the package out, or give its script what it needs: without it the package is not installed")
}

/// Names, with what they may have meant.
fn not_found(packages: &[String], groups: &[String], around: &Surroundings) -> Explanation {
    // dnf 5 calls both alike.
    let is_group = |name: &&String| {
        around
            .asked
            .iter()
            .any(|asked| asked.trim_start_matches("@^").trim_start_matches('@') == **name && asked.starts_with('@'))
    };
    let (also_groups, packages): (Vec<&String>, Vec<&String>) = packages.iter().partition(is_group);
    let groups: Vec<&String> = groups.iter().chain(also_groups).collect();
    let list = |names: &[&String]| {
        quoted(&names.iter().map(|name| name.as_str()).collect::<Vec<_>>()).replace(" or ", " and ")
    };
    let plural = |word: &str, names: &[&String]| if names.len() == 1 { word.to_owned() } else { format!("{word}s") };
    let kinds = [("package", &packages, &around.packages), ("group", &groups, &around.groups)];
    let parts: Vec<String> = kinds
        .iter()
        .filter(|(_, names, _)| !names.is_empty())
        .map(|(kind, names, _)| format!("{} {}", plural(kind, names), list(names)))
        .collect();
    let mut told = Explanation::new(format!("no repository has the {}", parts.join(" and the "))).code(EXIT_DEFINITION);
    for (kind, names, known) in kinds {
        let of = if kind == "group" { "the group " } else { "" };
        for name in names {
            let near = near(name, known.iter().map(String::as_str));
            told.hints.push(match near.is_empty() {
                true => format!("no {kind} is called nearly like '{name}'; is its repository enabled?"),
                false => format!("for {of}'{name}' did you mean {}?", quoted(&near)),
            });
        }
    }
    told.hints.truncate(DETAILS);
    told
}

fn metadata(id: &str, reason: &Reason, around: &Surroundings) -> Explanation {
    let repository = around.repositories.iter().find(|r| r.id == id);
    let missing = matches!(reason, Reason::NoFile { .. } | Reason::Status { code: 404, .. } | Reason::NoMirror);
    let reading = format!("reading repository '{id}'");
    let places = repository.and_then(Repository::releases);
    if missing && !around.release.is_empty() {
        if let Some((mirror, _)) = places
            && !around.releases.is_empty()
            && !around.releases.contains(&around.release)
        {
            let has = around.releases.join(", ");
            return Explanation::new(format!(
                "{reading}: the mirror {mirror} has no release {}, it has {has}",
                around.release
            ))
            .hint("set DIB_RELEASE to one of them")
            .code(EXIT_DEFINITION);
        }
        let told = Explanation::new(format!("{reading}: {}", words(reason)));
        return match places {
            Some((mirror, below)) => told.hint(format!(
                "below the mirror's address, {mirror}, there has to be {}/{below}: is the address right, and does the mirror have release {}?",
                around.release, around.release
            )),
            None => told.hint(format!("does the mirror have release {}, and for this architecture?", around.release)),
        };
    }
    let mut told = Explanation::new(format!("{reading}: {}", words(reason)));
    if let (Reason::Garbage(parser), Some(repository)) = (reason, repository) {
        told.details
            .push(format!("asked: {}", repository.baseurl.first().or(repository.list.as_ref()).map_or("", |a| a)));
        told.details.push(format!("parser: {}", parser.trim()));
    }
    with_clock(with_hint(told, reason), around)
}

fn signature(package: &str, fault: SignatureFault, keys: &[String], around: &Surroundings) -> Explanation {
    let checking = format!("checking the signature of {package}");
    let keys = if keys.is_empty() { "the repository's keys".to_owned() } else { keys.join(", ") };
    if !around.no_keys.is_empty() && fault != SignatureFault::Missing {
        return no_key(&around.no_keys[0]);
    }
    let told = match fault {
        SignatureFault::Missing => Explanation::new(format!("{checking}: it has none"))
            .hint("use a repository whose packages are signed: signatures are always checked"),
        SignatureFault::OtherKey => Explanation::new(format!("{checking}: it was made with another key than {keys}"))
            .hint("name the key of whoever makes the packages; if it is the right one, the package is not theirs"),
        SignatureFault::NoUsableKey => Explanation::new(format!("{checking}: there is no usable key in {keys}"))
            .hint("name a file with the public key of whoever makes the packages"),
        SignatureFault::Broken => {
            Explanation::new(format!("{checking}: it does not fit the package, or the package is damaged"))
                .hint("empty the cache of downloads, or use another mirror")
        }
    };
    with_clock(told, around)
}

/// The message about a key file that holds no key.
pub fn no_key(file: &str) -> Explanation {
    Explanation::new(format!("reading the key of the packages: {file} holds no OpenPGP public key"))
        .hint("export it with gpg --armor --export, or download it again")
        .code(EXIT_DEFINITION)
}

/// The message about a key that does not exist yet, if this machine's clock is right.
pub fn future_key(file: &str, clock: String) -> Explanation {
    let told = Explanation::new(format!("reading the key of the packages: {file} is from the future"));
    with_clock(told, &Surroundings { clock: Some(clock), ..Surroundings::default() })
}

fn with_clock(told: Explanation, around: &Surroundings) -> Explanation {
    match &around.clock {
        None => told,
        Some(clock) => Explanation { details: vec![clock.clone()], hints: Vec::new(), ..told }
            .hint("set this machine's clock (date -s, or start its time service)")
            .code(EXIT_HOST),
    }
}

/// A reason in words that go on after a colon.
fn words(reason: &Reason) -> String {
    match reason {
        Reason::Status { code, url } => format!("{url} answered with status {code}"),
        Reason::NoFile { url } => format!("there is no {url}"),
        Reason::Unreachable { url, why } => format!("no connection to {url} ({why})"),
        Reason::Certificate { url, why } => format!("the certificate of {url} is not accepted ({why})"),
        Reason::Checksum => "what came is not what the repository says it is (its checksum differs)".to_owned(),
        Reason::Truncated { url } => format!("{url} came only in part"),
        Reason::Garbage(_) => "what came is no repository data".to_owned(),
        Reason::NoMirror => "the list of mirrors names none".to_owned(),
        Reason::Other(text) => text.clone(),
    }
}

fn with_hint(told: Explanation, reason: &Reason) -> Explanation {
    let hint = match reason {
        Reason::Status { code: 400..=499, .. } | Reason::NoFile { .. } => "is the address right?",
        Reason::Status { .. } => "the server has a problem: try again later, or use another mirror",
        Reason::Unreachable { .. } => {
            "is the address right, does this machine reach it, is a proxy needed (http_proxy, https_proxy)?"
        }
        Reason::Certificate { .. } => {
            "is the address right, and does this machine trust whoever signed the certificate?"
        }
        Reason::Checksum | Reason::Truncated { .. } => {
            "the mirror is being updated, or something on the way changes files: try again later, or use another mirror"
        }
        Reason::Garbage(_) => "is it the address of a repository? A login page or a proxy may have answered",
        Reason::NoMirror | Reason::Other(_) => return told,
    };
    told.hint(hint)
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
