//! Shell patterns: `*`, `?`, `[…]`; a backslash takes a character for itself.

/// Whether the whole text matches the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches_from(&pattern, &text)
}

/// The text without the shortest or longest beginning that matches.
pub fn without_prefix<'t>(pattern: &str, text: &'t str, longest: bool) -> &'t str {
    let mut ends = boundaries(text);
    if longest {
        ends.reverse();
    }
    ends.into_iter().find(|&end| matches(pattern, &text[..end])).map_or(text, |end| &text[end..])
}

/// The text without the shortest or longest end that matches.
pub fn without_suffix<'t>(pattern: &str, text: &'t str, longest: bool) -> &'t str {
    let mut starts = boundaries(text);
    if !longest {
        starts.reverse();
    }
    starts.into_iter().find(|&start| matches(pattern, &text[start..])).map_or(text, |start| &text[..start])
}

/// The same text as a pattern that matches nothing else.
pub fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[]\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn boundaries(text: &str) -> Vec<usize> {
    text.char_indices().map(|(i, _)| i).chain([text.len()]).collect()
}

/// Goes back to the last `*` only: an earlier one could match nothing more than that one does.
fn matches_from(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        let step = text.get(t).and_then(|&c| one(&pattern[p..], c));
        if let Some(length) = step {
            p += length;
            t += 1;
        } else if p == pattern.len() && t == text.len() {
            return true;
        } else if let Some((after, from)) = star.filter(|(_, from)| *from < text.len()) {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
}

/// The length of the pattern's first piece if it matches the character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', rest @ ..] => match bracket(rest, c) {
            Some((true, length)) => Some(length + 1),
            Some((false, _)) => None,
            None => (c == '[').then_some(1),
        },
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

/// Whether the character is in the set that begins after `[`, and the set's length; none if it is no set.
fn bracket(set: &[char], c: char) -> Option<(bool, usize)> {
    let not = matches!(set.first(), Some('!' | '^'));
    let first = usize::from(not);
    let end = (first + 1..set.len()).find(|&i| set[i] == ']')?;
    let mut found = false;
    let mut at = first;
    while at < end {
        if at + 2 < end && set[at + 1] == '-' {
            found |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= set[at] == c;
            at += 1;
        }
    }
    Some((found != not, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_the_shell() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("?", "", false),
            ("[0-9]*", "12", true),
            ("[!0-9]*", "12", false),
            ("[]x]", "]", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[", "[", true),
            ("debian|ubuntu", "debian", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(matches(&escape("a[*]?"), "a[*]?"));
    }

    #[test]
    fn ends_are_cut_off() {
        assert_eq!(without_suffix(".*", "9.4.1", false), "9.4");
        assert_eq!(without_suffix(".*", "9.4.1", true), "9");
        assert_eq!(without_prefix("*/", "a/b/c", false), "b/c");
        assert_eq!(without_prefix("*/", "a/b/c", true), "c");
        assert_eq!(without_suffix("-stream", "9", true), "9");
    }
}
