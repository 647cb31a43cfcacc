//! The older package lists: files called `package-installs-ELEMENT` in a phase's directory
//! (contract 4.3). One package to a line; `#` begins a comment; a leading dash means that the
//! package is removed again at the end of the phase.

/// What the names of such files begin with.
const PREFIX: &str = "package-installs-";

/// The element whose list a file of this name is, if it is one. Such a file belongs in a phase's
/// directory although it does not run.
pub fn element(file_name: &str) -> Option<&str> {
    file_name.strip_prefix(PREFIX).filter(|element| !element.is_empty())
}

/// A line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The package's name, not yet mapped, without the dash.
    pub package: &'a str,
    /// Whether it is removed at the end of the phase.
    pub build_only: bool,
}

/// The packages of a list.
pub fn parse(text: &str) -> impl Iterator<Item = Line<'_>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| match line.strip_prefix('-') {
        Some(package) => Line { package, build_only: true },
        None => Line { package: line, build_only: false },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_left_out() {
        let lines: Vec<_> = parse("# all of it\n\n  curl # for later\n-gcc\n").collect();
        let curl = Line { package: "curl", build_only: false };
        assert_eq!(lines, [curl, Line { package: "gcc", build_only: true }]);
    }

    #[test]
    fn the_file_name_tells_the_element() {
        assert_eq!(element("package-installs-my-element"), Some("my-element"));
        assert_eq!(element("01-package-installs"), None);
    }
}
