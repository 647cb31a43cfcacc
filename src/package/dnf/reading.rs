//! Finds the reason of a failure in dnf's output.

use regex::Regex;

use super::{Failure, Reason, SignatureFault, scriptlets};

type Reader = fn(&[&str]) -> Option<Failure>;

/// What `lines`, the output of a dnf that failed, say about the reason.
///
/// The wordings are those of dnf 4.14 and librepo 1.14 (seen), and of dnf 5.2 (dnf5/main.cpp,
/// libdnf5/base/log_event.cpp, solver_problems.cpp, transaction.cpp, repo/*.cpp in its sources).
pub fn failure(lines: &[String]) -> Failure {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    let readers: [Reader; 8] =
        [not_cached, metadata, not_found, dependencies, download, signature, transaction, failed_scriptlets];
    let found = readers.iter().find_map(|read| read(&lines));
    found.unwrap_or_else(|| key(&lines).unwrap_or_else(|| Failure::Other(last_words(&lines))))
}

/// What the first pattern's groups match in the first line that it matches.
fn captures<'a>(lines: &[&'a str], pattern: &str) -> Option<Vec<&'a str>> {
    let pattern = regex(pattern);
    let found = lines.iter().find_map(|line| pattern.captures(line))?;
    Some(found.iter().skip(1).map(|group| group.map_or("", |m| m.as_str())).collect())
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("patterns of this file are valid")
}

fn not_cached(lines: &[&str]) -> Option<Failure> {
    let found = captures(lines, r#"Cache-only enabled but no cache for (?:repository )?['"]([^'"]+)"#)?;
    Some(Failure::NotCached { repository: found[0].to_owned() })
}

fn metadata(lines: &[&str]) -> Option<Failure> {
    let four = r"Failed to download metadata for repo '([^']+)': (.*)";
    let five = r#"Failed to download metadata \([^)]*\) for repository "([^"]+)"(?:: )?(.*)"#;
    let found = captures(lines, four).or_else(|| captures(lines, five))?;
    Some(Failure::Metadata { repository: found[0].to_owned(), reason: reason(lines, found[1]) })
}

fn download(lines: &[&str]) -> Option<Failure> {
    let found = captures(lines, r"^\s*\[FAILED\] ([^:]+): (.*)");
    let found = found.or_else(|| captures(lines, r"(Failed to download packages)(.*)"))?;
    // dnf 4 names the mirror's answer on lines of its own, before it gives up.
    let start = format!("[MIRROR] {}: ", found[0]);
    let answers: Vec<&str> = lines.iter().copied().filter(|line| line.contains(&start)).collect();
    let answers = if answers.is_empty() { lines } else { &answers };
    Some(Failure::Download { file: found[0].to_owned(), reason: reason(answers, found[1]) })
}

/// librepo's words for what went wrong with a download; `last` is what dnf makes of it.
fn reason(lines: &[&str], last: &str) -> Reason {
    if let Some(found) = captures(lines, r"Status code: (\d+) for (\S+)") {
        return Reason::Status { code: found[0].parse().unwrap_or(0), url: found[1].to_owned() };
    }
    if let Some(found) = captures(lines, r"Curl error \((\d+)\): (.*?) for (\S+)(?: \[(.*)\])?$") {
        let why = if found[3].is_empty() { found[1] } else { found[3] };
        let (url, why) = (found[2].to_owned(), why.to_owned());
        // Numbers of curl's errors: libcurl-errors(3).
        return match found[0] {
            "37" => Reason::NoFile { url },
            "18" => Reason::Truncated { url },
            "35" | "51" | "58" | "60" | "77" | "83" => Reason::Certificate { url, why },
            _ => Reason::Unreachable { url, why },
        };
    }
    if lines.iter().any(|line| line.contains("checksum doesn't match")) {
        return Reason::Checksum;
    }
    let all = || std::iter::once(last).chain(lines.iter().copied());
    if let Some(garbage) = all().find_map(|line| line.split_once("repomd.xml parser error: ")) {
        return Reason::Garbage(garbage.1.to_owned());
    }
    if all().any(|line| line.contains("No URLs in mirrorlist") || line.contains("Usable URL not found")) {
        return Reason::NoMirror;
    }
    Reason::Other(last.to_owned())
}

fn not_found(lines: &[&str]) -> Option<Failure> {
    let (mut packages, mut groups) = (Vec::new(), Vec::new());
    let listed = [
        ("Error: Unable to find a match: ", ' '),
        ("No match for argument: ", ' '),
        ("missing packages: ", ','),
        ("missing groups or modules: ", ','),
    ];
    for line in lines.iter().map(|line| line.trim()) {
        if let Some((start, names, comma)) = listed.iter().find_map(|(s, c)| Some((s, line.strip_prefix(s)?, c))) {
            let names = names.split([' ', *comma]).filter(|name| !name.is_empty()).map(str::to_owned);
            if start.contains("groups") { groups.extend(names) } else { packages.extend(names) }
        }
        let group = line.strip_suffix("' is not available.").and_then(|line| line.split_once("Group '"));
        // An environment is asked for as @^NAME.
        groups.extend(group.map(|(_, name)| name.trim_start_matches('^').to_owned()));
    }
    for names in [&mut packages, &mut groups] {
        names.sort();
        names.dedup();
    }
    (!packages.is_empty() || !groups.is_empty()).then_some(Failure::NotFound { packages, groups })
}

/// The solver's reasons: lines below `Problem:`, or what rpm's own check misses.
fn dependencies(lines: &[&str]) -> Option<Failure> {
    let (mut reasons, mut inside, mut found) = (Vec::new(), false, false);
    let heading = regex(r"^\s*Problem(?: \d+)?: (.*)");
    for line in lines {
        if let Some(first) = heading.captures(line) {
            (inside, found) = (true, true);
            reasons.extend(short(&first[1]));
        } else if *line == "Error: transaction check vs depsolve:" {
            (inside, found) = (true, true);
        } else if line.trim_start().starts_with('(') || line.starts_with("To diagnose") || line.starts_with("You ") {
            inside = false;
        } else if inside && (line.starts_with(' ') || line.contains(" is needed by ")) {
            reasons.extend(short(line.trim_start().trim_start_matches("- ")));
        } else {
            inside = false;
        }
    }
    // A stable sort: what cannot be had is the cause, who wanted it the way there.
    reasons.sort_by_key(|reason| !is_decisive(reason));
    let mut seen = std::collections::HashSet::new();
    reasons.retain(|reason| seen.insert(reason.clone()));
    found.then_some(Failure::Dependencies(reasons))
}

/// A reason without what every such line says; `None` when nothing remains.
fn short(reason: &str) -> Option<String> {
    let general =
        ["conflicting requests", "cannot install the best candidate for the job", "problem with installed package"];
    if reason.is_empty() || general.contains(&reason) {
        return None;
    }
    let reason = reason.strip_suffix(", but none of the providers can be installed").unwrap_or(reason);
    Some(reason.strip_prefix("package ").unwrap_or(reason).to_owned())
}

fn is_decisive(reason: &str) -> bool {
    let words = [
        "nothing provides ",
        " conflicts with ",
        "cannot install both ",
        " filtered out ",
        " inferior architecture",
        " compatible architecture",
        " obsoletes ",
        " is needed by ",
        " does not exist",
    ];
    words.iter().any(|word| reason.contains(word))
}

fn signature(lines: &[&str]) -> Option<Failure> {
    let five = captures(lines, r#"OpenPGP check for package "([^"]+)" .* has failed: (.*)"#);
    let (package, fault) = if let Some(found) = five {
        let fault = match found[1] {
            "The package is not signed." => SignatureFault::Missing,
            "Problem occurred when opening the package." => SignatureFault::Broken,
            "The repository does not have any OpenPGP keys configured." | "Public key import failed." => {
                SignatureFault::NoUsableKey
            }
            _ => SignatureFault::OtherKey,
        };
        (found[0], fault)
    } else if let Some(found) = captures(lines, r"^Package (\S+) is not signed$") {
        (found[0], SignatureFault::Missing)
    } else if let Some(found) = captures(lines, r"^Problem opening package (\S+)") {
        (found[0], SignatureFault::Broken)
    } else if let Some(found) = captures(lines, r"^Public key for (\S+) is not (?:installed|trusted)") {
        (found[0], SignatureFault::OtherKey)
    } else {
        // "The GPG keys … are already installed but they are not correct": also said of a file without keys.
        let found = captures(lines, r"^Check that the correct key URLs .* Failing package is: (\S+)")?;
        (found[0], SignatureFault::NoUsableKey)
    };
    let keys = captures(lines, r"GPG Keys are configured as: (.*)").map_or("", |found| found[0]);
    let keys = keys.split([',', ' ']).filter(|key| !key.is_empty()).map(str::to_owned).collect();
    Some(Failure::Signature { package: package.to_owned(), fault, keys })
}

/// A key that cannot be downloaded: dnf 4 says only what curl says.
fn key(lines: &[&str]) -> Option<Failure> {
    let bare: Vec<&str> =
        lines.iter().copied().filter(|l| l.starts_with("Curl error (") || l.starts_with("Status code: ")).collect();
    let named = captures(lines, r"Failed to retrieve GPG key for repo '[^']+': (.*)");
    match named {
        Some(found) => Some(Failure::Key(reason(&[found[0]], found[0]))),
        None => bare.first().map(|line| Failure::Key(reason(&bare, line))),
    }
}

/// rpm's refusals, indented below a heading.
fn transaction(lines: &[&str]) -> Option<Failure> {
    let headings = ["Error: Transaction test error:", "Transaction failed: Rpm transaction failed."];
    let start = lines.iter().position(|line| headings.contains(line))?;
    let below: Vec<String> = lines[start + 1..]
        .iter()
        .take_while(|line| line.starts_with("  "))
        .map(|line| line.trim_start().trim_start_matches("- ").to_owned())
        .collect();
    let space = below.iter().any(|line| line.contains(" needs ") && line.contains(" on the "));
    (!below.is_empty()).then_some(if space { Failure::Space(below) } else { Failure::Transaction(below) })
}

fn failed_scriptlets(lines: &[&str]) -> Option<Failure> {
    let failed = scriptlets::failed(lines);
    (!failed.is_empty()).then_some(Failure::Scriptlets(failed))
}

/// From the last line that says `Error`, or the last three.
fn last_words(lines: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.is_empty()).collect();
    let start = lines.iter().rposition(|line| line.starts_with("Error:"));
    let start = start.unwrap_or(lines.len().saturating_sub(3));
    lines[start..].iter().take(6).map(|line| line.trim_start_matches("Error: ").to_owned()).collect()
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
