//! Patterns for names in an image, which need not be text.

use glob::{MatchOptions, Pattern};

use super::entry::plain_name;

/// `*` stays in one directory, `**` does not; a name that begins with a dot is like any other.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A pattern as it was given. A directory that matches stands for all in it.
#[derive(Debug, Clone)]
pub struct NamePattern {
    given: String,
    pattern: Pattern,
}

impl std::str::FromStr for NamePattern {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let pattern = Pattern::new(&bytes_as_text(plain_name(given.as_bytes()))).map_err(|err| err.msg.to_owned())?;
        Ok(Self { given: given.to_owned(), pattern })
    }
}

impl NamePattern {
    /// As it was given.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The pattern without `/` at its ends, if nothing in it is special.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.given.contains(['*', '?', '['])).then(|| {
            let plain = plain_name(self.given.as_bytes());
            let start = plain.as_ptr() as usize - self.given.as_ptr() as usize;
            &self.given[start..start + plain.len()]
        })
    }

    /// Whether it matches a name, or a directory that the name is in.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.matches_below(name, 0)
    }

    /// The same, of the directories only those whose names are longer than `shortest` bytes.
    #[must_use]
    pub fn matches_below(&self, name: &[u8], shortest: usize) -> bool {
        let ends = name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([name.len()]);
        ends.into_iter()
            .filter(|end| *end > shortest)
            .any(|end| self.pattern.matches_with(&bytes_as_text(&name[..end]), OPTIONS))
    }
}

/// Each byte as the character of that number: patterns then work on bytes.
fn bytes_as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_bytes_and_directories_stand_for_what_is_in_them() {
        let matches = |pattern: &str, name: &[u8]| pattern.parse::<NamePattern>().unwrap().matches(name);
        assert!(matches("/etc", b"etc/ssh/x"));
        assert!(matches("usr/*/x", b"usr/lib/x"));
        assert!(!matches("usr/*x", b"usr/lib/x"));
        assert!(matches("**/*.ko", b"usr/lib/modules/a.ko"));
        assert!(matches("g\u{f6}?", "gö\u{7f}".as_bytes()));
        assert!(matches("b??", b"b\xff\xfe"));
        assert!(!matches("et", b"etc"));
        assert!("[".parse::<NamePattern>().is_err());
    }

    #[test]
    fn a_pattern_without_special_characters_is_a_name() {
        let literal = |pattern: &str| pattern.parse::<NamePattern>().unwrap().literal().map(str::to_owned);
        assert_eq!(literal("/etc/x/").as_deref(), Some("etc/x"));
        assert_eq!(literal("etc/*"), None);
    }
}
