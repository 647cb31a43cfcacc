//! What was not found.

use std::fmt;

use super::items::Chain;
use crate::error::Fault;

/// One thing that is missing or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// What is missing, as a beginning of a sentence: `library libfoo.so.1`.
    pub what: String,
    /// Why, if more is known than that it is not there.
    pub why: Option<String>,
    /// For whose sake it was looked for.
    pub needed_by: Chain,
    /// What the user can do, or may have meant.
    pub hint: Option<String>,
    /// How many other chains begin in the same way.
    pub also: usize,
}

impl Miss {
    /// `what` is not there.
    pub fn new(what: impl Into<String>, needed_by: &Chain) -> Self {
        Self { what: what.into(), why: None, needed_by: needed_by.clone(), hint: None, also: 0 }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// What needs it directly.
    #[must_use]
    pub fn needer(&self) -> Option<&str> {
        self.needed_by.names().first().map(String::as_str)
    }

    /// Adds this one to others, unless it is known that the same thing is missing for the same needer.
    pub fn add_to(self, others: &mut Vec<Self>) {
        match others.iter_mut().find(|other| other.what == self.what && other.needer() == self.needer()) {
            Some(known) if known.needed_by == self.needed_by => {}
            Some(known) => known.also += 1,
            None => others.push(self),
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Miss> for Fault {
    /// What is missing is a mistake in a request, or in the tree that it names.
    fn from(miss: Miss) -> Self {
        let hint = miss.hint.clone();
        let fault = Fault::new(format!("missing {}", Miss { hint: None, ..miss }));
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}

impl fmt::Display for Miss {
    /// `library libfoo.so.1, needed by /usr/lib/libbar.so, needed by /usr/bin/x: why (hint)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.what, self.needed_by)?;
        if self.also > 0 {
            write!(f, " and {} more", self.also)?;
        }
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// Everything that is missing; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misses(pub Vec<Miss>);

impl Misses {
    /// `value` if nothing is missing, else the misses.
    ///
    /// # Errors
    /// `missing` is not empty.
    pub fn or<T>(missing: Vec<Miss>, value: T) -> Result<T, Self> {
        if missing.is_empty() { Ok(value) } else { Err(Self(missing)) }
    }
}

impl fmt::Display for Misses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [miss] = self.0.as_slice() {
            return write!(f, "missing {miss}");
        }
        write!(f, "{} things are missing:", self.0.len())?;
        self.0.iter().try_for_each(|miss| write!(f, "\n  {miss}"))
    }
}

impl std::error::Error for Misses {}
