//! Which variables a bash script uses, and where: quotes, comments, here-documents and substitutions are
//! followed, commands are not.
//!
//! What cannot be followed with certainty ends the look at the script: a linter that guesses is soon turned off.

/// A use of a variable that fails under `set -u` when it is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The variable.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
}

/// What a script does with variables.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Uses that need the variable to be set.
    pub bare: Vec<Use>,
    /// Variables that are used with a default or a test (`${X:-}`, `${X+y}`, `${X:?}`).
    pub guarded: Vec<String>,
}

/// What the text around a character is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// `"..."`
    Double,
    /// `${...}`, and whether it stands in double quotes or a here-document.
    Brace { quoted: bool },
    /// `$(...)`
    Substitution,
    /// `(...)`
    Paren,
    /// `$((...))` and `((...))`, with the parentheses open in it.
    Arithmetic(usize),
    /// `` `...` ``
    Backtick,
    /// The text of a here-document.
    Here,
}

/// A here-document that was announced and has not begun.
struct HereDocument {
    end: String,
    literal: bool,
    tabs: bool,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    stack: Vec<Context>,
    pending: Vec<HereDocument>,
    uses: Uses,
}

/// The uses in a script; `None` when it cannot be followed.
pub fn uses(script: &str) -> Option<Uses> {
    let mut scanner = Scanner::new(script.as_bytes(), 1, Vec::new());
    scanner.run()?;
    (scanner.stack.is_empty() && scanner.pending.is_empty()).then_some(scanner.uses)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8], line: usize, stack: Vec<Context>) -> Self {
        Self { text, at: 0, line, stack, pending: Vec::new(), uses: Uses::default() }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next byte, with lines counted.
    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn top(&self) -> Option<Context> {
        self.stack.last().copied()
    }

    /// Whether quotes, comments and operators mean something here.
    fn is_code(&self) -> bool {
        matches!(self.top(), None | Some(Context::Substitution | Context::Paren | Context::Backtick))
    }

    fn is_quoted(&self) -> bool {
        matches!(self.top(), Some(Context::Double | Context::Here | Context::Brace { quoted: true }))
    }

    fn run(&mut self) -> Option<()> {
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => {
                    self.next();
                }
                b'$' => self.dollar()?,
                b'`' => self.backtick()?,
                b'"' => self.double_quote(),
                b'\'' if !self.is_quoted() && !matches!(self.top(), Some(Context::Arithmetic(_))) => {
                    self.skip_to(b'\'')?
                }
                b'}' if matches!(self.top(), Some(Context::Brace { .. })) => {
                    self.stack.pop();
                }
                b'(' | b')' => self.parenthesis(byte)?,
                b'\n' if !self.pending.is_empty() => self.here_documents()?,
                b'#' if self.is_code() && self.at_word_start() => self.skip_line(),
                b'<' if self.is_code() && self.peek(0) == b'<' => self.here_operator()?,
                // The parenthesis of a pattern would end a substitution.
                b'c' if self.begins_case() && self.stack.contains(&Context::Substitution) => return None,
                _ => {}
            }
        }
        Some(())
    }

    /// Whether the byte that was taken last begins the command `case`.
    fn begins_case(&self) -> bool {
        self.is_code() && self.at_word_start() && self.text[self.at..].starts_with(b"ase ")
    }

    /// Whether the byte that was taken last begins a word.
    fn at_word_start(&self) -> bool {
        let before = self.at.checked_sub(2).map_or(b'\n', |i| self.text[i]);
        before.is_ascii_whitespace() || b";|&()`".contains(&before)
    }

    fn skip_line(&mut self) {
        while self.at < self.text.len() && self.peek(0) != b'\n' {
            self.at += 1;
        }
    }

    fn skip_to(&mut self, end: u8) -> Option<()> {
        while self.next()? != end {}
        Some(())
    }

    fn double_quote(&mut self) {
        match self.top() {
            Some(Context::Double) => {
                self.stack.pop();
            }
            Some(Context::Here | Context::Arithmetic(_)) => {}
            _ => self.stack.push(Context::Double),
        }
    }

    fn backtick(&mut self) -> Option<()> {
        if self.top() == Some(Context::Backtick) {
            self.stack.pop();
        } else if self.stack.contains(&Context::Backtick) {
            return None;
        } else {
            self.stack.push(Context::Backtick);
        }
        Some(())
    }

    fn parenthesis(&mut self, byte: u8) -> Option<()> {
        match (byte, self.top()) {
            (b'(', Some(Context::Arithmetic(open))) => *self.stack.last_mut()? = Context::Arithmetic(open + 1),
            (b')', Some(Context::Arithmetic(0))) => {
                // `$(( ... )` and another command: not arithmetic after all.
                if self.next()? != b')' {
                    return None;
                }
                self.stack.pop();
            }
            (b')', Some(Context::Arithmetic(open))) => *self.stack.last_mut()? = Context::Arithmetic(open - 1),
            (b'(', _) if self.is_code() => {
                let arithmetic = self.peek(0) == b'(' && self.at_word_start();
                self.at += usize::from(arithmetic);
                self.stack.push(if arithmetic { Context::Arithmetic(0) } else { Context::Paren });
            }
            (b')', Some(Context::Substitution | Context::Paren)) => {
                self.stack.pop();
            }
            // A pattern of `case`, or text.
            _ => {}
        }
        Some(())
    }

    fn dollar(&mut self) -> Option<()> {
        match self.peek(0) {
            b'{' => {
                self.at += 1;
                self.braces();
            }
            b'(' if self.peek(1) == b'(' => {
                self.at += 2;
                self.stack.push(Context::Arithmetic(0));
            }
            b'(' => {
                self.at += 1;
                self.stack.push(Context::Substitution);
            }
            b'\'' if self.is_code() => {
                self.at += 1;
                loop {
                    match self.next()? {
                        b'\\' => self.at += 1,
                        b'\'' => break,
                        _ => {}
                    }
                }
            }
            _ => {
                let name = self.name();
                self.bare(name);
            }
        }
        Some(())
    }

    /// What follows `${`.
    fn braces(&mut self) {
        let quoted = self.is_quoted();
        self.stack.push(Context::Brace { quoted });
        if self.peek(0) == b'!' {
            // The name is in another variable.
            return;
        }
        if self.peek(0) == b'#' {
            self.at += 1;
        }
        let name = self.name();
        if self.peek(0) == b'[' {
            // An element of an array, or all of them, which may be none.
            return;
        }
        let operator = if self.peek(0) == b':' { self.peek(1) } else { self.peek(0) };
        if b"-=+?".contains(&operator) {
            self.uses.guarded.extend(name);
        } else {
            self.bare(name);
        }
    }

    /// The variable name that begins here, if one does.
    fn name(&mut self) -> Option<String> {
        if self.peek(0).is_ascii_digit() {
            return None;
        }
        let start = self.at;
        while is_name(self.peek(0)) {
            self.at += 1;
        }
        (self.at > start).then(|| String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    fn bare(&mut self, name: Option<String>) {
        let line = self.line;
        self.uses.bare.extend(name.map(|name| Use { name, line }));
    }

    /// What follows the first `<` of `<<`.
    fn here_operator(&mut self) -> Option<()> {
        self.at += 1;
        if self.peek(0) == b'<' {
            self.at += 1;
            return Some(());
        }
        let tabs = self.peek(0) == b'-';
        self.at += usize::from(tabs);
        while b" \t".contains(&self.peek(0)) {
            self.at += 1;
        }
        let start = self.at;
        while self.at < self.text.len() && !self.peek(0).is_ascii_whitespace() && !b";|&()<>".contains(&self.peek(0)) {
            self.at += 1;
        }
        let word = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let end: String = word.chars().filter(|c| !"'\"\\".contains(*c)).collect();
        if end.is_empty() {
            return None;
        }
        self.pending.push(HereDocument { literal: end != word, end, tabs });
        Some(())
    }

    /// The here-documents that begin in this line.
    fn here_documents(&mut self) -> Option<()> {
        if !self.is_code() {
            return None;
        }
        for document in std::mem::take(&mut self.pending) {
            let (start, first) = (self.at, self.line);
            let end = loop {
                let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
                let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                let line = if document.tabs { line.trim_start_matches('\t') } else { &line };
                let here = self.at;
                self.at = (self.at + length + 1).min(self.text.len());
                self.line += 1;
                if line == document.end {
                    break here;
                }
            };
            if !document.literal {
                let mut inner = Scanner::new(&self.text[start..end], first, vec![Context::Here]);
                inner.run()?;
                if inner.stack != [Context::Here] {
                    return None;
                }
                self.uses.bare.append(&mut inner.uses.bare);
                self.uses.guarded.append(&mut inner.uses.guarded);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(script: &str) -> Vec<String> {
        uses(script).unwrap().bare.iter().map(|u| format!("{}:{}", u.name, u.line)).collect()
    }

    #[test]
    fn quotes_comments_and_escapes_are_followed() {
        assert_eq!(
            bare("echo $A '$no' \"$B it's $C\" \\$no # $no\n# $no\necho ${D}x${#E} $'\\'$no'\n"),
            ["A:1", "B:1", "C:1", "D:3", "E:3"]
        );
        assert_eq!(bare("echo $1 $? $$ $@ ${!X} $# ${#} ${1} a#$B\n"), ["B:1"]);
        assert_eq!(bare("echo ${A%/*} \"${B//x/'$C'}\" ${X[@]} ${Y[0]}\n"), ["A:1", "B:1", "C:1"]);
    }

    #[test]
    fn substitutions_arithmetic_and_case_are_followed() {
        assert_eq!(bare("x=\"$(echo \"$A\" | sed 's/$B/x/')\"\ny=$((1 << $C)) z=`echo $D`\n"), ["A:1", "C:2", "D:2"]);
        assert_eq!(
            bare("case \"$A\" in\n    x) echo \"$B\" ;;\n    *) ( echo $C ) ;;\nesac\n(( i = 1 << 2 ))\necho $D\n"),
            ["A:1", "B:2", "C:3", "D:6"]
        );
        assert_eq!(uses("x=$(case $y in a) echo 'b' ;; esac)\n"), None);
    }

    #[test]
    fn here_documents_are_text_unless_their_end_is_quoted() {
        let script =
            "cat <<EOF > x\nit's $A\nEOF\ncat <<'EOF'\n$no\nEOF\ncat <<-\\END | tr a b\n\t$no\n\tEND\ngrep x <<<$B\n";
        assert_eq!(bare(script), ["A:2", "B:10"]);
        assert_eq!(uses("cat <<EOF\nno end\n"), None);
    }

    #[test]
    fn defaults_and_tests_are_guards() {
        let uses = uses("a=${A:-$B} b=${C-} c=${D:=x} d=${E:+y} e=${F?}\n").unwrap();
        assert_eq!(uses.guarded, ["A", "C", "D", "E", "F"]);
        assert_eq!(uses.bare, [Use { name: "B".into(), line: 1 }]);
    }

    #[test]
    fn what_does_not_end_is_not_judged() {
        for script in ["echo \"$A\n", "echo 'x\n", "echo $(x\n", "echo ${A\n"] {
            assert_eq!(uses(script), None, "{script}");
        }
    }
}
