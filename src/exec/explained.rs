//! The explanation that one of our tools gave of a failure, among the last lines of a hook.

use crate::target;

/// What a tool said: `install-packages: error: …`, lines that are indented below it, `hint: …`.
#[derive(Debug, PartialEq)]
pub struct Explained {
    reason: String,
    details: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Explained {
    /// The last explanation in a hook's last lines.
    pub fn find(tail: &[String]) -> Option<Self> {
        let lines: Vec<&str> = tail.iter().map(|line| unmarked(line)).collect();
        let (start, reason) = lines.iter().enumerate().rev().find_map(|(at, line)| Some((at, reason(line)?)))?;
        let mut found = Self { reason: reason.to_owned(), details: Vec::new(), hints: Vec::new() };
        let mut after = 0;
        for (at, line) in lines.iter().enumerate().skip(start + 1) {
            if let Some(hint) = line.strip_prefix("hint: ") {
                found.hints.push(hint.to_owned());
            } else if line.starts_with("  ") && found.hints.is_empty() {
                found.details.push(line.trim().to_owned());
            } else {
                after = lines.len() - at;
                break;
            }
        }
        // A hook that went on had another reason to fail.
        (after <= 2).then_some(found)
    }

    /// As it stands below the line that says which hook failed.
    pub fn text(&self) -> String {
        format!("\n  because: {}{}", self.reason, indented(&self.details))
    }
}

/// Lines, each on a line of its own.
pub fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {line}")).collect()
}

/// package-installs-v2 marks what install-packages says.
fn unmarked(line: &str) -> &str {
    line.strip_prefix("> ").unwrap_or(line)
}

/// What follows `TOOL: error: `.
fn reason(line: &str) -> Option<&str> {
    let (tool, reason) = line.split_once(": error: ")?;
    target::names_on_path().any(|name| name == tool).then_some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Option<Explained> {
        Explained::find(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn an_explanation_takes_the_place_of_the_page() {
        let found = find(
            "Downloading\nError: GPG check FAILED\nrun-dnf: error: checking x: it has none\n    a detail\nhint: sign it\nmore",
        );
        let found = found.unwrap();
        assert_eq!(found.text(), "\n  because: checking x: it has none\n    a detail");
        assert_eq!(found.hints, ["sign it"]);
    }

    #[test]
    fn marked_lines_count_and_other_programs_errors_do_not() {
        let found =
            find("> install-packages: error: no\n> hint: yes\ninstall-packages failed with returncode 1").unwrap();
        assert_eq!((found.reason.as_str(), found.hints.len()), ("no", 1));
        assert_eq!(find("cargo: error: x\nerror: y"), None);
        assert_eq!(find("pkg-map: error: x\nthen\nsomething\nelse failed"), None);
    }
}
