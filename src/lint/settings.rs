//! `[dib-lint] ignore = NAME NAME` in tox.ini: checks that a repository has turned off.

/// The names in the text of a tox.ini. A value may go on in indented lines.
pub fn disabled(tox_ini: &str) -> Vec<String> {
    let mut in_section = false;
    let mut in_option = false;
    let mut names = Vec::new();
    for line in tox_ini.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if in_option && line.starts_with([' ', '\t']) {
            names.extend(trimmed.split_whitespace().map(str::to_owned));
        } else if let Some(section) = trimmed.strip_prefix('[') {
            in_section = section.trim_end_matches(']') == "dib-lint";
            in_option = false;
        } else if let Some((option, value)) = trimmed.split_once(['=', ':']) {
            in_option = in_section && option.trim() == "ignore";
            if in_option {
                names.extend(value.split_whitespace().map(str::to_owned));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_section_counts() {
        let text = "[tox]\nignore = no\n[dib-lint]\n# a comment\nignore = sete setu\n    which\nother = x\n[flake8]\nignore = E1\n";
        assert_eq!(disabled(text), ["sete", "setu", "which"]);
        assert_eq!(disabled(""), Vec::<String>::new());
    }
}
