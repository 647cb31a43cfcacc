//! The `when` lines of package-installs files: `VAR = value` and `VAR != value` (contract 4.2).

use std::sync::LazyLock;

use regex::Regex;

use super::{Lookup, Var};
use crate::error::{Fault, Place};
use crate::yaml::{Node, Value};

// Anchored at the start only: the value is the rest of the line, trailing blanks included.
static LINE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\w+)\s*(!?=)\s*(.*)").expect("the pattern is a constant"));

/// One `when` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// Where it stands.
    pub place: Place,
    /// The line as written.
    pub text: String,
    variable: String,
    equal: bool,
    value: String,
}

/// Whether something applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applies {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It does if these conditions hold, whose variables are not known yet.
    If(Vec<String>),
}

impl Applies {
    /// Both conditions together. `other` is not asked for when this one has already failed.
    pub fn and(self, other: impl FnOnce() -> Result<Applies, Fault>) -> Result<Applies, Fault> {
        match self {
            Applies::No => Ok(Applies::No),
            Applies::Yes => other(),
            Applies::If(mut conditions) => Ok(match other()? {
                Applies::Yes => Applies::If(conditions),
                Applies::No => Applies::No,
                Applies::If(more) => {
                    conditions.extend(more);
                    Applies::If(conditions)
                }
            }),
        }
    }
}

impl From<bool> for Applies {
    fn from(applies: bool) -> Self {
        if applies { Applies::Yes } else { Applies::No }
    }
}

impl When {
    /// Reads the value of a `when` key: a line, or a list of lines that must all hold.
    ///
    /// # Errors
    /// A fault for each line that is malformed.
    pub fn read(node: &Node) -> Result<Vec<When>, Vec<Fault>> {
        let lines = match &node.value {
            Value::List(lines) => lines.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut faults = Vec::new();
        let mut found = Vec::new();
        for line in lines {
            match Self::line(line) {
                Ok(when) => found.push(when),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }

    fn line(node: &Node) -> Result<When, Fault> {
        let text = node.as_str().unwrap_or_default();
        let Some(parts) = LINE.captures(text) else {
            let shown = node.text().map_or_else(|| node.kind().to_owned(), |t| format!("'{t}'"));
            return Err(node
                .fault(format!("Malformed when line: {shown}"))
                .hint("write 'VARIABLE = value' or 'VARIABLE != value', or a list of such lines"));
        };
        Ok(When {
            place: node.place.clone(),
            text: text.to_owned(),
            variable: parts[1].to_owned(),
            equal: &parts[2] == "=",
            value: parts[3].to_owned(),
        })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When its variable is not set.
    pub fn holds(&self, lookup: Lookup) -> Result<Applies, Fault> {
        match lookup(&self.variable) {
            Var::Set(value) => Ok(((value == self.value) == self.equal).into()),
            Var::Unknown => Ok(Applies::If(vec![self.text.clone()])),
            Var::Unset => {
                let message = format!("The variable <{}> is not set", self.variable);
                let hint = format!("export {} in an element's environment.d, or before the build", self.variable);
                Err(Fault::at(self.place.clone(), message).hint(hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(yaml: &str) -> Result<Vec<When>, Vec<Fault>> {
        When::read(&crate::yaml::parse(yaml, Path::new("f")).unwrap())
    }

    #[test]
    fn the_value_is_the_rest_of_the_line() {
        let when = &read("'A!=  b c '").unwrap()[0];
        assert_eq!((when.variable.as_str(), when.equal, when.value.as_str()), ("A", false, "b c "));
        // There is no '==': it is '=' and a value that starts with another one.
        assert_eq!(read("A == b").unwrap()[0].value, "= b");
        assert_eq!(read("A =").unwrap()[0].value, "");
    }

    #[test]
    fn malformed_lines_are_faults_with_their_place() {
        let faults = read("- A = 1\n- A < 2\n- true\n- [x]\n").unwrap_err();
        let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "f:2:3: Malformed when line: 'A < 2'",
                "f:3:3: Malformed when line: 'true'",
                "f:4:3: Malformed when line: a list"
            ]
        );
    }

    #[test]
    fn an_unknown_variable_makes_it_conditional() {
        let when = &read("A = 1").unwrap()[0];
        assert_eq!(when.holds(&|_| Var::Unknown), Ok(Applies::If(vec!["A = 1".into()])));
        let both = Applies::If(vec!["x".into()]).and(|| Ok(Applies::No));
        assert_eq!(both, Ok(Applies::No));
    }
}
