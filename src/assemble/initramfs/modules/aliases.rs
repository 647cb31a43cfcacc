//! Which modules a device's modalias asks for: thousands of patterns, found by the letters before their first wildcard.

use std::collections::{BTreeSet, HashMap};

use super::names;
pub use image_init::alias::matches;

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
