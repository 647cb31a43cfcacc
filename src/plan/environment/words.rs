//! The characters and words of `environment.d` files.

use super::parser::{DEEPEST, Parsed, Parser, Unparsed};
use super::syntax::{Op, Part, Quoted, Word};

/// Where a word stands, which decides where it ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// Among the words of a command.
    Command,
    /// The right side of `=~`: parentheses and bars belong to it.
    Regex,
    /// Inside `${NAME:-…}`: up to the brace; the flag says whether the whole stands in double quotes.
    Brace(bool),
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    pub(super) fn sees(&self, text: &str) -> bool {
        self.text[self.at..].starts_with(text)
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let seen = self.sees(text);
        if seen {
            self.at += text.len();
        }
        seen
    }

    pub(super) fn next(&mut self) -> Parsed<char> {
        let c = self.peek().ok_or(Unparsed)?;
        self.at += c.len_utf8();
        Ok(c)
    }

    pub(super) fn skip_blanks(&mut self) {
        loop {
            if self.take(" ") || self.take("\t") || self.take("\r") || self.take("\\\n") {
                continue;
            }
            if self.sees("#") {
                self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at);
            }
            return;
        }
    }

    pub(super) fn skip_newlines(&mut self) {
        self.skip_blanks();
        while self.take("\n") {
            self.skip_documents();
            self.skip_blanks();
        }
    }

    pub(super) fn skip_separators(&mut self) {
        self.skip_newlines();
        while self.sees(";") && !self.sees(";;") {
            self.at += 1;
            self.skip_newlines();
        }
    }

    /// Skips the bodies of the here-documents that the line before asked for.
    fn skip_documents(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.documents) {
            while self.at < self.text.len() {
                let line = self.text[self.at..].split('\n').next().unwrap_or("");
                self.at = (self.at + line.len() + 1).min(self.text.len());
                if (if tabs { line.trim_start_matches('\t') } else { line }) == end {
                    break;
                }
            }
        }
    }

    /// The keyword or plain name that comes next, without taking it.
    pub(super) fn peek_plain(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(is_meta).unwrap_or(rest.len());
        &rest[..end]
    }

    pub(super) fn keyword(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let seen = self.peek_plain() == word;
        if seen {
            self.at += word.len();
        }
        seen
    }

    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.keyword(word) { Ok(()) } else { Err(Unparsed) }
    }

    pub(super) fn name(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += end;
        Some(name.to_owned())
    }

    pub(super) fn word(&mut self, mode: Mode) -> Parsed<Word> {
        let mut word = Word::default();
        let quoted = mode == Mode::Brace(true);
        while let Some(c) = self.peek() {
            let ends = match mode {
                Mode::Command => is_meta(c),
                Mode::Regex => c.is_whitespace(),
                Mode::Brace(_) => c == '}',
            };
            if ends {
                break;
            }
            self.at += c.len_utf8();
            match c {
                '\'' if !quoted => {
                    let text = self.up_to('\'')?;
                    word.push_text(text, true);
                }
                '"' => self.double_quoted(&mut word)?,
                '\\' => match self.next()? {
                    '\n' => {}
                    escaped => word.push_text(escaped.encode_utf8(&mut [0; 4]), true),
                },
                '`' => {
                    self.up_to('`')?;
                    word.0.push(Part::Opaque);
                }
                '$' => self.dollar(&mut word, quoted)?,
                '~' if word.0.is_empty() && !quoted => word.0.push(Part::Opaque),
                _ => word.push_text(c.encode_utf8(&mut [0; 4]), quoted),
            }
        }
        // An extended pattern (`@(a|b)`) ends the word at its parenthesis; so does an array.
        if mode == Mode::Command && self.sees("(") && word.0.last().is_some_and(ends_with_extended) {
            self.at += 1;
            self.skip_balanced('(', ')', 1)?;
            word.0.push(Part::Opaque);
            word.0.extend(self.word(mode)?.0);
        }
        Ok(word)
    }

    fn double_quoted(&mut self, word: &mut Word) -> Parsed<()> {
        word.push_text("", true);
        loop {
            match self.next()? {
                '"' => return Ok(()),
                '\\' => match self.next()? {
                    '\n' => {}
                    c @ ('$' | '`' | '"' | '\\') => word.push_text(c.encode_utf8(&mut [0; 4]), true),
                    c => word.push_text(&format!("\\{c}"), true),
                },
                '`' => {
                    self.up_to('`')?;
                    word.0.push(Part::Opaque);
                }
                '$' => self.dollar(word, true)?,
                c => word.push_text(c.encode_utf8(&mut [0; 4]), true),
            }
        }
    }

    /// What follows a `$`.
    fn dollar(&mut self, word: &mut Word, quoted: Quoted) -> Parsed<()> {
        if self.take("{") {
            let part = self.brace(quoted)?;
            word.0.push(part);
        } else if self.take("(") {
            self.skip_balanced('(', ')', 1)?;
            word.0.push(Part::Opaque);
        } else if let Some(name) = self.name() {
            word.0.push(Part::Variable(name, Op::Plain, quoted));
        } else if self.sees("'") && !quoted {
            self.at += 1;
            let text = self.up_to('\'')?;
            if text.contains('\\') {
                return Err(Unparsed);
            }
            word.push_text(text, true);
        } else if self.sees("\"") && !quoted {
            // A translated text is the text itself in the C locale.
        } else if self.peek().is_some_and(|c| c.is_ascii_digit() || "?$!#@*-".contains(c)) {
            self.at += 1;
            word.0.push(Part::Opaque);
        } else {
            word.push_text("$", quoted);
        }
        Ok(())
    }

    /// The inside of `${…}`, with its brace.
    fn brace(&mut self, quoted: Quoted) -> Parsed<Part> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Unparsed);
        }
        let length = self.take("#");
        let name = match self.name() {
            Some(name) => name,
            None => {
                self.depth -= 1;
                self.skip_balanced('{', '}', 1)?;
                return Ok(Part::Opaque);
            }
        };
        let op = if length {
            Op::Length
        } else if self.sees("}") {
            Op::Plain
        } else {
            self.operator(quoted)?
        };
        self.depth -= 1;
        if op == Op::Opaque || !self.take("}") {
            self.skip_balanced('{', '}', 1)?;
            return Ok(Part::Variable(name, Op::Opaque, quoted));
        }
        Ok(Part::Variable(name, op, quoted))
    }

    fn operator(&mut self, quoted: Quoted) -> Parsed<Op> {
        let before = self.at;
        let colon = self.take(":");
        let sign = self.next()?;
        let inner = Mode::Brace(quoted);
        let op = match (sign, colon) {
            ('-', _) => Op::Default(colon, self.word(inner)?),
            ('=', _) => Op::Assign(colon, self.word(inner)?),
            ('+', _) => Op::Alternate(colon, self.word(inner)?),
            ('?', _) => {
                self.word(inner)?;
                Op::Required(colon)
            }
            // Patterns are patterns even when the whole stands in quotes.
            ('#', false) => Op::Prefix(self.take("#"), self.word(Mode::Brace(false))?),
            ('%', false) => Op::Suffix(self.take("%"), self.word(Mode::Brace(false))?),
            ('^', false) if self.take("^") && self.sees("}") => Op::Upper,
            (',', false) if self.take(",") && self.sees("}") => Op::Lower,
            _ => {
                self.at = before;
                Op::Opaque
            }
        };
        Ok(op)
    }

    fn up_to(&mut self, end: char) -> Parsed<&'a str> {
        let start = self.at;
        loop {
            match self.next()? {
                '\\' if end == '`' => {
                    self.next()?;
                }
                c if c == end => return Ok(&self.text[start..self.at - end.len_utf8()]),
                _ => {}
            }
        }
    }

    /// Skips to the sign that closes what is open, past quotes and inner pairs.
    pub(super) fn skip_balanced(&mut self, open: char, close: char, mut level: usize) -> Parsed<()> {
        while level > 0 {
            match self.next()? {
                '\\' => {
                    self.next()?;
                }
                '\'' => {
                    self.up_to('\'')?;
                }
                '"' => self.double_quoted(&mut Word::default())?,
                c if c == open => level += 1,
                c if c == close => level -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether an unquoted character ends a word.
pub(super) fn is_meta(c: char) -> bool {
    " \t\r\n;&|()<>".contains(c)
}

fn ends_with_extended(part: &Part) -> bool {
    matches!(part, Part::Text(text, false) if text.ends_with(['@', '?', '*', '+', '!']))
}
