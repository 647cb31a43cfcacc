//! What a mistyped name may have meant: the one measure for elements, packages, formats and keys.

/// Up to three of `known` that are spelt nearly like `word` or begin with it, the nearest first.
/// Of names that are equally near, those that stand first in `known`.
///
/// A third of the letters may be wrong; a short word may have one wrong letter.
pub fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let letters = word.chars().count();
    let limit = (letters / 3).max(1);
    // So many names begin with one letter or two that it says nothing.
    let begins = |name: &str| letters >= 3 && name.starts_with(word);
    let mut scored: Vec<(usize, &str)> = known
        .into_iter()
        // Repositories hold tens of thousands of names: those of another length need no comparison.
        .filter(|name| name.len().abs_diff(word.len()) <= limit || begins(name))
        .map(|name| (strsim::osa_distance(word, name), name))
        .filter(|(distance, name)| *distance <= limit || begins(name))
        .collect();
    // Stable: of two that are equally near, the one that is named first.
    scored.sort_by_key(|(distance, _)| *distance);
    let mut seen = std::collections::HashSet::new();
    scored.retain(|(_, name)| seen.insert(*name));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `'a', 'b' or 'c'`.
pub fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first_and_far_ones_are_left_out() {
        assert_eq!(near("cowsya", ["cowsay", "cowsay-off", "vim", "cows"]), ["cowsay", "cows"]);
        assert_eq!(near("python3-yam", ["python3-yaml", "vim"]), ["python3-yaml"]);
        assert_eq!(near("cor", ["core", "core", "corr", "base", "x"]), ["core", "corr"]);
        assert!(near("vi", ["vim-enhanced", "emacs"]).is_empty());
    }

    #[test]
    fn a_beginning_counts_when_it_says_something() {
        assert_eq!(near("kernel", ["kernel-core", "kernel-devel", "glibc"]), ["kernel-core", "kernel-devel"]);
        assert!(near("k", ["kernel-core"]).is_empty());
    }

    #[test]
    fn names_are_joined_as_people_write_them() {
        assert_eq!(quoted(&["a"]), "'a'");
        assert_eq!(quoted(&["a", "b", "c"]), "'a', 'b' or 'c'");
    }
}
