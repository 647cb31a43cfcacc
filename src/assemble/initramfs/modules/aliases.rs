//! Which modules a device's modalias asks for: thousands of patterns, found by the letters before their first wildcard.

use std::collections::{BTreeSet, HashMap};

use super::names;

/// Patterns, each with the module that it stands for.
#[derive(Debug, Clone, Default)]
pub struct Aliases {
    all: Vec<(String, String)>,
    /// The patterns in the form in which they are compared.
    plain: Vec<String>,
    /// Where the patterns are that begin with these literal letters.
    by_beginning: HashMap<String, Vec<usize>>,
    /// The lengths that these beginnings have.
    lengths: BTreeSet<usize>,
}

impl Aliases {
    /// Takes pairs of pattern and module.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let plain = pairs.iter().map(|(pattern, _)| names::plain(pattern)).collect();
        let mut aliases = Self { plain, ..Self::default() };
        for (index, pattern) in aliases.plain.iter().enumerate() {
            let beginning = pattern.split(['*', '?', '[', '\\']).next().unwrap_or("");
            aliases.lengths.insert(beginning.len());
            aliases.by_beginning.entry(beginning.to_owned()).or_default().push(index);
        }
        aliases.all = pairs;
        aliases
    }

    /// The pairs of pattern and module, in order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.all
    }

    /// The modules whose patterns match, each once, in the order of the patterns.
    #[must_use]
    pub fn find(&self, alias: &str) -> Vec<&str> {
        let alias = names::plain(alias);
        let mut hits: Vec<usize> = self
            .lengths
            .iter()
            .filter_map(|&length| self.by_beginning.get(alias.get(..length)?))
            .flatten()
            .copied()
            .filter(|&index| matches(self.plain[index].as_bytes(), alias.as_bytes()))
            .collect();
        hits.sort_unstable();
        let mut found: Vec<&str> = Vec::new();
        for index in hits {
            let module = self.all[index].1.as_str();
            if !found.contains(&module) {
                found.push(module);
            }
        }
        found
    }
}

/// Whether a pattern matches as fnmatch(3) without flags: `*`, `?`, `[a-f0-9]`, `[!x]`, `\*`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not match: one letter later.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            back = Some((p, t));
        } else if let Some(next) = one(pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&letter| letter == b'*')
}

/// Where the pattern goes on if what is at `p` matches the letter.
fn one(pattern: &[u8], p: usize, letter: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == letter).then_some(p + 2),
        b'[' => match set(&pattern[p + 1..], letter) {
            Some((true, length)) => Some(p + 1 + length),
            Some((false, _)) => None,
            // Without its end it is a letter like others.
            None => (letter == b'[').then_some(p + 1),
        },
        literal => (literal == letter).then_some(p + 1),
    }
}

/// Whether the letter is in the set that begins behind `[`, and how long the set is with its `]`.
fn set(set: &[u8], letter: u8) -> Option<(bool, usize)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    let mut at = start;
    let mut hit = false;
    loop {
        let first = *set.get(at)?;
        // A bracket that comes first is a member.
        if first == b']' && at > start {
            return Some((hit != negated, at + 1));
        }
        match (set.get(at + 1), set.get(at + 2)) {
            (Some(b'-'), Some(&last)) if last != b']' => {
                hit |= (first..=last).contains(&letter);
                at += 3;
            }
            _ => {
                hit |= first == letter;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let cases = [
            ("pci:v00008086d*sv*", "pci:v00008086d00001237sv00001AF4", true),
            ("pci:v00008086d*bc02*", "pci:v00008086d00001237bc01", false),
            ("usb:v05ACp*d0[0-9A-F]*", "usb:v05ACp0221d0B12", true),
            ("x[!a-c]z", "xbz", false),
            ("x[!a-c]z", "xdz", true),
            ("a[]]b", "a]b", true),
            ("a[b", "a[b", true),
            ("a\\*b", "axb", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn modules_are_found_once_and_in_order() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let aliases =
            Aliases::new(vec![pair("pci:*", "c"), pair("pci:v1*", "b"), pair("pci:v1d2", "c"), pair("usb:*", "d")]);
        assert_eq!(aliases.find("pci:v1d2"), ["c", "b"]);
        assert!(aliases.find("acpi:x").is_empty());
    }
}
