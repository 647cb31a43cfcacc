//! Which files of a phase directory run, and in which order (contract 3.4).
//!
//! Pure: names and modes come in, verdicts go out. The engine, the linter and `dib-run-parts`
//! share these rules, so a hook that `plan` lists is the hook that runs.

use std::cmp::Ordering;
use std::fmt;

use regex::Regex;

use crate::error::Fault;

/// Names that run when `RUN_PARTS_REGEX` is not set.
pub const DEFAULT_PATTERN: &str = "^[0-9A-Za-z_-]+$";

/// Why a file in a phase directory does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// The name does not match the pattern: a dot in it, mostly.
    BadName,
    /// No execute bit is set.
    NotExecutable,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skip::BadName => "its name has a character other than letters, digits, '_' and '-'",
            Skip::NotExecutable => "it is not executable",
        })
    }
}

/// The pattern in use: `RUN_PARTS_REGEX` as the caller has set it (empty counts as unset).
///
/// # Errors
/// When it is no regular expression.
pub fn pattern(run_parts_regex: Option<&str>) -> Result<Regex, Fault> {
    let text = run_parts_regex.filter(|t| !t.is_empty()).unwrap_or(DEFAULT_PATTERN);
    Regex::new(text).map_err(|e| {
        Fault::new(format!("RUN_PARTS_REGEX is no regular expression: {text}: {e}"))
            .hint(format!("unset it to get the usual {DEFAULT_PATTERN}"))
    })
}

/// Whether a regular file (or a symbolic link to one) with this name and these permission bits
/// runs. `mode` is that of the file at the end of the link. Directories are the caller's to leave out.
///
/// # Errors
/// The reason why it does not run; a bad name counts before a missing execute bit.
pub fn runs(name: &str, mode: u32, pattern: &Regex) -> Result<(), Skip> {
    if !pattern.is_match(name) {
        return Err(Skip::BadName);
    }
    if mode & 0o111 == 0 {
        return Err(Skip::NotExecutable);
    }
    Ok(())
}

/// Whether a regular file of this name in `environment.d` is sourced: dots are allowed there,
/// editors' `~` is not, and no execute bit is needed.
pub fn is_environment_file(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Sorts the names of `environment.d` files as they are sourced: by bytes, so `100-x` comes before `20-y`.
pub fn sort_environment<S: AsRef<str>>(names: &mut [S]) {
    names.sort_by(|a, b| a.as_ref().as_bytes().cmp(b.as_ref().as_bytes()));
}

/// Sorts the names of a phase directory as they run: [`order_key`].
pub fn sort<S: AsRef<str>>(names: &mut [S]) {
    names.sort_by(|a, b| order_key(a.as_ref()).cmp(&order_key(b.as_ref())));
}

/// The place of a name among its neighbours: what `sort -n` gives in the C locale. First the
/// number that the name starts with (none counts as 0, `-5x` as minus five), then the bytes of the whole name.
pub fn order_key(name: &str) -> OrderKey<'_> {
    let (negative, rest) = match name.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let (whole, rest) = rest.split_at(digits(rest));
    let fraction = rest.strip_prefix('.').map_or("", |f| &f[..digits(f)]);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    // "-x" and "-0" are plain zeros.
    let negative = negative && !(whole.is_empty() && fraction.is_empty());
    OrderKey { negative, whole, fraction, name }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Compares as the names sort; see [`order_key`]. The number is kept as text, so that it may be of any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderKey<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    name: &'a str,
}

impl Ord for OrderKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let length = self.whole.len().cmp(&other.whole.len());
            length.then(self.whole.cmp(other.whole)).then(self.fraction.cmp(other.fraction))
        };
        let number = match (self.negative, other.negative) {
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        number.then_with(|| self.name.as_bytes().cmp(other.name.as_bytes()))
    }
}

impl PartialOrd for OrderKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut names: Vec<&str>) -> Vec<&str> {
        sort(&mut names);
        names
    }

    #[test]
    fn r1_names_run_by_their_leading_number() {
        let names = sorted(vec!["100-hun", "9-nine", "foo", "30-link", "10-ten"]);
        assert_eq!(names, ["foo", "9-nine", "10-ten", "30-link", "100-hun"]);
    }

    #[test]
    fn equal_numbers_are_ordered_by_bytes() {
        assert_eq!(sorted(vec!["10-a", "010-y", "10-B"]), ["010-y", "10-B", "10-a"]);
        assert_eq!(sorted(vec!["00-02-x", "a", "00-01-x", "Z"]), ["00-01-x", "00-02-x", "Z", "a"]);
    }

    #[test]
    fn a_leading_minus_is_a_sign() {
        assert_eq!(sorted(vec!["-x", "-5-a", "-10-b", "1-c"]), ["-10-b", "-5-a", "-x", "1-c"]);
    }

    #[test]
    fn a_number_may_be_longer_than_any_integer_and_may_have_a_fraction() {
        let long = "99999999999999999999999999-x";
        assert_eq!(sorted(vec![long, "5-a"]), ["5-a", long]);
        assert_eq!(sorted(vec!["1.5-a", "1.25-b", "1-c"]), ["1-c", "1.25-b", "1.5-a"]);
    }

    #[test]
    fn r1_a_dot_in_the_name_or_a_missing_execute_bit_means_that_it_does_not_run() {
        let pattern = pattern(None).unwrap();
        assert_eq!(runs("10-foo", 0o755, &pattern), Ok(()));
        assert_eq!(runs("10-bar.sh", 0o755, &pattern), Err(Skip::BadName));
        assert_eq!(runs("20-noexec", 0o644, &pattern), Err(Skip::NotExecutable));
        assert_eq!(runs("20-noexec.sh", 0o644, &pattern), Err(Skip::BadName));
    }

    #[test]
    fn the_pattern_can_be_replaced() {
        let dotted = pattern(Some(r"\.sh$")).unwrap();
        assert_eq!(runs("10-bar.sh", 0o755, &dotted), Ok(()));
        assert!(pattern(Some("[")).unwrap_err().message.contains("RUN_PARTS_REGEX"));
        assert_eq!(pattern(Some("")).unwrap().as_str(), DEFAULT_PATTERN);
    }

    #[test]
    fn r2_environment_files_are_sourced_in_byte_order_and_may_have_dots() {
        let mut names = vec!["9-c", "100-b", "10-a"];
        sort_environment(&mut names);
        assert_eq!(names, ["10-a", "100-b", "9-c"]);
        assert!(is_environment_file("10-a.bash"));
        assert!(!is_environment_file("10-x~"));
        assert!(!is_environment_file("has space"));
    }
}
