//! The part of bash's language that `environment.d` files are written in, as data.
//!
//! Source: POSIX.1-2017, Shell Command Language, and the bash manual for `[[` and the parameter expansions.

/// A word: text and expansions that stand together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word(pub Vec<Part>);

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Plain text; quoted text has no patterns in it.
    Text(String, Quoted),
    /// `$NAME` or `${NAME…}`.
    Variable(String, Op, Quoted),
    /// Command substitution, arithmetic, arrays: something that only bash can tell.
    Opaque,
}

/// Whether a part stands in quotes.
pub type Quoted = bool;

/// What a parameter expansion does with the value. The flag of the first four says whether an empty
/// value counts as unset (`:-` rather than `-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `${NAME}`
    Plain,
    /// `${NAME:-WORD}`
    Default(bool, Word),
    /// `${NAME:=WORD}`
    Assign(bool, Word),
    /// `${NAME:+WORD}`
    Alternate(bool, Word),
    /// `${NAME:?WORD}`
    Required(bool),
    /// `${#NAME}`
    Length,
    /// `${NAME#PATTERN}`, `${NAME##PATTERN}` (longest)
    Prefix(bool, Word),
    /// `${NAME%PATTERN}`, `${NAME%%PATTERN}` (longest)
    Suffix(bool, Word),
    /// `${NAME^^}`
    Upper,
    /// `${NAME,,}`
    Lower,
    /// Anything else.
    Opaque,
}

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A word.
    Word(Word),
    /// `NAME=WORD` or `NAME+=WORD`; no word means an array.
    Assign { name: String, append: bool, value: Option<Word> },
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Assignments, then a command and its arguments; either may be missing.
    Simple(Vec<Arg>),
    /// `[ … ]`, `test …` (true) or `[[ … ]]` (false).
    Test(Test, bool),
    /// Conditions with their commands, then those of `else`.
    If(Vec<(Vec<Command>, Vec<Command>)>, Vec<Command>),
    /// The subject and its arms: patterns and commands.
    Case(Word, Vec<(Vec<Word>, Vec<Command>)>),
    /// A loop: everything in it, and its variable.
    Loop(Vec<Command>, Option<String>),
    /// `{ … }`
    Group(Vec<Command>),
    /// A subshell, a pipeline, something in the background: changes no variable of ours.
    Apart,
    /// A function's name and body.
    Function(String, Vec<Command>),
    /// `A && B`
    And(Box<Command>, Box<Command>),
    /// `A || B`
    Or(Box<Command>, Box<Command>),
    /// `! A`
    Not(Box<Command>),
}

/// The inside of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// A word alone: true when it is not empty.
    Word(Word),
    /// `-z WORD`
    Unary(String, Word),
    /// `WORD = WORD`
    Binary(Word, String, Word),
    /// Both.
    And(Box<Test>, Box<Test>),
    /// Either.
    Or(Box<Test>, Box<Test>),
    /// Not.
    Not(Box<Test>),
}

impl Word {
    /// The text, if nothing in the word depends on a variable.
    pub fn literal(&self) -> Option<String> {
        let text = |p: &Part| if let Part::Text(text, _) = p { Some(text.clone()) } else { None };
        self.0.iter().map(text).collect()
    }

    /// Adds text, to the last part if it is of the same kind.
    pub fn push_text(&mut self, text: &str, quoted: Quoted) {
        match self.0.last_mut() {
            Some(Part::Text(last, q)) if *q == quoted => last.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned(), quoted)),
        }
    }
}
