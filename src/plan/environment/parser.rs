//! Parses commands of `environment.d` files.
//!
//! Commands are parsed one by one ([`Parser::next_command`]), so that what stands before something
//! that this grammar does not know still counts.

use super::syntax::{Arg, Command, Part, Test, Word};
use super::words::Mode;

/// Something that this grammar does not know. Where it is, [`Parser::rest`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unparsed;

pub(super) type Parsed<T> = Result<T, Unparsed>;

/// Constructs inside constructs; deeper ones are left to bash.
pub(super) const DEEPEST: usize = 60;

const BINARY: &[&str] =
    &["=", "==", "!=", "=~", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">", "-nt", "-ot", "-ef"];

/// Reads commands from a text.
pub struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Where the command begins that is being parsed.
    start: usize,
    pub(super) depth: usize,
    /// Ends of here-documents that begin after this line, and whether tabs before them are dropped.
    pub(super) documents: Vec<(String, bool)>,
}

impl<'a> Parser<'a> {
    /// A parser at the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, start: 0, depth: 0, documents: Vec::new() }
    }

    /// The next command, none at the end.
    pub fn next_command(&mut self) -> Parsed<Option<Command>> {
        self.skip_separators();
        self.start = self.at;
        if self.peek().is_none() {
            return Ok(None);
        }
        self.and_or().map(Some)
    }

    /// The text from the beginning of the command that could not be parsed.
    pub fn rest(&self) -> &'a str {
        &self.text[self.start..]
    }

    /// Commands up to one of these keywords or signs, which is not taken.
    fn list(&mut self, ends: &[&str]) -> Parsed<Vec<Command>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Unparsed);
        }
        let mut commands = Vec::new();
        loop {
            self.skip_separators();
            if ends.contains(&self.peek_plain()) || ends.iter().any(|e| e.starts_with([')', ';']) && self.sees(e)) {
                self.depth -= 1;
                return Ok(commands);
            }
            if self.peek().is_none() {
                return Err(Unparsed);
            }
            commands.push(self.and_or()?);
        }
    }

    fn and_or(&mut self) -> Parsed<Command> {
        let mut left = self.pipeline()?;
        loop {
            self.skip_blanks();
            let and = self.take("&&");
            if !and && !self.take("||") {
                break;
            }
            self.skip_newlines();
            let right = self.pipeline()?;
            left = if and { Command::And(left.into(), right.into()) } else { Command::Or(left.into(), right.into()) };
        }
        if self.take("&") {
            left = Command::Apart;
        }
        Ok(left)
    }

    fn pipeline(&mut self) -> Parsed<Command> {
        if self.keyword("!") {
            return Ok(Command::Not(self.pipeline()?.into()));
        }
        let mut first = self.command()?;
        self.skip_blanks();
        while self.sees("|") && !self.sees("||") {
            self.at += if self.sees("|&") { 2 } else { 1 };
            self.skip_newlines();
            self.command()?;
            self.skip_blanks();
            first = Command::Apart;
        }
        Ok(first)
    }

    fn command(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        let command = match self.peek_plain() {
            "if" => self.if_command()?,
            "case" => self.case_command()?,
            "for" | "select" => self.for_command()?,
            "while" | "until" => self.while_command()?,
            "function" => return self.function_command(),
            "{" => {
                self.at += 1;
                let body = self.list(&["}"])?;
                self.expect("}")?;
                Command::Group(body)
            }
            "[[" => {
                self.at += 2;
                let test = self.double_test()?;
                self.expect("]]")?;
                Command::Test(test, false)
            }
            "then" | "elif" | "else" | "fi" | "do" | "done" | "esac" | "}" | "time" | "coproc" => return Err(Unparsed),
            "" if self.take("((") => {
                self.skip_balanced('(', ')', 2)?;
                Command::Simple(vec![Arg::Word(Word(vec![Part::Opaque]))])
            }
            "" if self.take("(") => {
                self.list(&[")"])?;
                self.take(")");
                Command::Apart
            }
            _ => return self.simple(),
        };
        while self.redirection()? {}
        Ok(command)
    }

    fn if_command(&mut self) -> Parsed<Command> {
        let mut arms = Vec::new();
        self.expect("if")?;
        loop {
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            arms.push((condition, self.list(&["elif", "else", "fi"])?));
            if !self.keyword("elif") {
                break;
            }
        }
        let otherwise = if self.keyword("else") { self.list(&["fi"])? } else { Vec::new() };
        self.expect("fi")?;
        Ok(Command::If(arms, otherwise))
    }

    fn case_command(&mut self) -> Parsed<Command> {
        self.expect("case")?;
        self.skip_blanks();
        let subject = self.word(Mode::Command)?;
        self.skip_newlines();
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_newlines();
            if self.keyword("esac") {
                return Ok(Command::Case(subject, arms));
            }
            self.take("(");
            let mut patterns = Vec::new();
            loop {
                self.skip_blanks();
                patterns.push(self.word(Mode::Command)?);
                self.skip_blanks();
                if self.take(")") {
                    break;
                }
                if !self.take("|") {
                    return Err(Unparsed);
                }
            }
            let body = self.list(&[";;", ";&", "esac"])?;
            arms.push((patterns, body));
            // Falling through to the next arm (";&", ";;&") is left to bash.
            if self.sees(";;&") || self.sees(";&") {
                return Err(Unparsed);
            }
            self.take(";;");
        }
    }

    fn for_command(&mut self) -> Parsed<Command> {
        self.at += self.peek_plain().len();
        self.skip_blanks();
        let variable = if self.take("((") {
            self.skip_balanced('(', ')', 2)?;
            None
        } else {
            let name = self.name().ok_or(Unparsed)?;
            self.skip_newlines();
            if self.keyword("in") {
                loop {
                    self.skip_blanks();
                    if self.peek().is_none_or(|c| c == ';' || c == '\n') {
                        break;
                    }
                    let before = self.at;
                    self.word(Mode::Command)?;
                    if self.at == before {
                        return Err(Unparsed);
                    }
                }
            }
            Some(name)
        };
        self.skip_separators();
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(Command::Loop(body, variable))
    }

    fn while_command(&mut self) -> Parsed<Command> {
        self.at += self.peek_plain().len();
        let mut all = self.list(&["do"])?;
        self.expect("do")?;
        all.extend(self.list(&["done"])?);
        self.expect("done")?;
        Ok(Command::Loop(all, None))
    }

    fn function_command(&mut self) -> Parsed<Command> {
        self.expect("function")?;
        self.skip_blanks();
        let name = self.peek_plain().to_owned();
        self.at += name.len();
        self.skip_blanks();
        if self.take("(") && !self.take(")") {
            return Err(Unparsed);
        }
        self.function_body(name)
    }

    fn function_body(&mut self, name: String) -> Parsed<Command> {
        self.skip_newlines();
        let body = self.command()?;
        Ok(Command::Function(name, vec![body]))
    }

    fn simple(&mut self) -> Parsed<Command> {
        let mut args = Vec::new();
        loop {
            while self.redirection()? {}
            match self.peek() {
                None | Some('\n' | ';' | '&' | '|' | ')') => break,
                Some('(') => return self.function_of(&args),
                _ => args.push(self.arg()?),
            }
        }
        if args.is_empty() {
            return Err(Unparsed);
        }
        Ok(bracket_test(&args).map_or(Command::Simple(args), |test| Command::Test(test, true)))
    }

    /// `NAME()` and its body.
    fn function_of(&mut self, args: &[Arg]) -> Parsed<Command> {
        match args {
            [Arg::Word(word)] if self.take("(") && self.keyword_paren() => {
                self.function_body(word.literal().ok_or(Unparsed)?)
            }
            _ => Err(Unparsed),
        }
    }

    fn keyword_paren(&mut self) -> bool {
        self.skip_blanks();
        self.take(")")
    }

    fn arg(&mut self) -> Parsed<Arg> {
        let before = self.at;
        if let Some(name) = self.name() {
            let append = self.take("+=");
            if append || self.take("=") {
                if self.take("(") {
                    self.skip_balanced('(', ')', 1)?;
                    return Ok(Arg::Assign { name, append, value: None });
                }
                let value = self.word(Mode::Command)?;
                return Ok(Arg::Assign { name, append, value: Some(value) });
            }
            if self.take("[") {
                self.skip_balanced('[', ']', 1)?;
                if self.take("=") || self.take("+=") {
                    self.word(Mode::Command)?;
                    return Ok(Arg::Assign { name, append, value: None });
                }
            }
        }
        self.at = before;
        self.word(Mode::Command).map(Arg::Word)
    }

    /// Skips a redirection if one comes.
    fn redirection(&mut self) -> Parsed<bool> {
        self.skip_blanks();
        let before = self.at;
        let digits = self.text[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        let signs = ["<<<", "<<-", "<<", "&>>", "&>", ">>", ">&", "<&", "<>", ">|", ">", "<"];
        let Some(sign) = signs.into_iter().find(|sign| self.take(sign)) else {
            self.at = before;
            return Ok(false);
        };
        if self.sees("(") {
            self.at += 1;
            self.skip_balanced('(', ')', 1)?;
            return Ok(true);
        }
        self.skip_blanks();
        let word = self.word(Mode::Command)?;
        if sign == "<<" || sign == "<<-" {
            let text = |p: &Part| if let Part::Text(t, _) = p { t.clone() } else { String::new() };
            self.documents.push((word.0.iter().map(text).collect(), sign == "<<-"));
        }
        Ok(true)
    }

    fn double_test(&mut self) -> Parsed<Test> {
        let mut left = self.double_and()?;
        loop {
            self.skip_newlines();
            if !self.take("||") {
                return Ok(left);
            }
            left = Test::Or(left.into(), self.double_and()?.into());
        }
    }

    fn double_and(&mut self) -> Parsed<Test> {
        let mut left = self.double_one()?;
        loop {
            self.skip_newlines();
            if !self.take("&&") {
                return Ok(left);
            }
            left = Test::And(left.into(), self.double_one()?.into());
        }
    }

    fn double_one(&mut self) -> Parsed<Test> {
        self.skip_newlines();
        if self.keyword("!") {
            return Ok(Test::Not(self.double_one()?.into()));
        }
        if self.take("(") {
            let inner = self.double_test()?;
            self.skip_newlines();
            return if self.take(")") { Ok(inner) } else { Err(Unparsed) };
        }
        let first = self.word(Mode::Command)?;
        self.skip_newlines();
        if let Some(op) = first.literal().filter(|op| is_unary(op)) {
            return Ok(Test::Unary(op, self.word(Mode::Command)?));
        }
        let op = match self.peek_plain() {
            "" if self.sees("<") || self.sees(">") => self.next()?.to_string(),
            op if BINARY.contains(&op) => {
                self.at += op.len();
                op.to_owned()
            }
            _ => return Ok(Test::Word(first)),
        };
        self.skip_blanks();
        let mode = if op == "=~" { Mode::Regex } else { Mode::Command };
        Ok(Test::Binary(first, op, self.word(mode)?))
    }
}

fn is_unary(op: &str) -> bool {
    op.len() == 2 && op.starts_with('-') && op.ends_with(|c: char| c.is_ascii_alphabetic()) && op != "-a" && op != "-o"
}

/// The test in `[ … ]` or `test …`; none if it is another command or has a form that is not known.
fn bracket_test(args: &[Arg]) -> Option<Test> {
    let mut words = Vec::new();
    for arg in args {
        let Arg::Word(word) = arg else { return None };
        words.push(word.clone());
    }
    let inner = match (words.first()?.literal()?.as_str(), words.last()?.literal().as_deref()) {
        ("[", Some("]")) if words.len() > 1 => &words[1..words.len() - 1],
        ("test", _) => &words[1..],
        _ => return None,
    };
    bracket_or(inner)
}

fn bracket_or(words: &[Word]) -> Option<Test> {
    for (sign, and) in [("-o", false), ("-a", true)] {
        // The sign joins two tests only from the second word on.
        let found = words.iter().skip(1).position(|w| w.literal().as_deref() == Some(sign)).map(|i| i + 1);
        if let Some(at) = found.filter(|at| at + 1 < words.len()) {
            let (left, right) = (bracket_or(&words[..at])?.into(), bracket_or(&words[at + 1..])?.into());
            return Some(if and { Test::And(left, right) } else { Test::Or(left, right) });
        }
    }
    let op = |w: &Word| w.literal().unwrap_or_default();
    match words {
        [one] => Some(Test::Word(one.clone())),
        [not, rest @ ..] if op(not) == "!" && !rest.is_empty() => Some(Test::Not(bracket_or(rest)?.into())),
        [sign, word] if is_unary(&op(sign)) => Some(Test::Unary(op(sign), word.clone())),
        [left, sign, right] if BINARY.contains(&op(sign).as_str()) => {
            Some(Test::Binary(left.clone(), op(sign), right.clone()))
        }
        _ => None,
    }
}
