//! Expands words and evaluates tests.

use regex::Regex;

use super::state::{State, Status};
use super::syntax::{Op, Part, Test, Word};
use super::{Value, pattern};

/// What a word expands to.
pub fn expand(word: &Word, state: &mut State) -> Value {
    let mut text = Some(String::new());
    for part in &word.0 {
        let piece = match part {
            Part::Text(text, _) => Value::Known(text.clone()),
            Part::Variable(name, op, _) => variable(name, op, state),
            Part::Opaque => Value::Unknown,
        };
        text = match (text, piece) {
            (Some(text), Value::Known(piece)) => Some(text + &piece),
            _ => None,
        };
    }
    text.map_or(Value::Unknown, Value::Known)
}

/// A parameter expansion. Using an unset variable ends the shell (`set -u`), unless the build sets it
/// later than the plan can know, so the value of that is unknown and not empty.
fn variable(name: &str, op: &Op, state: &mut State) -> Value {
    let current = state.current(name);
    let missing = |colon: bool| match &current {
        None => Status::True,
        Some(Value::Known(text)) => Status::of(colon && text.is_empty()),
        Some(Value::Unknown) => Status::Unknown,
    };
    let or_unknown = |value: Option<Value>| value.unwrap_or(Value::Unknown);
    match op {
        Op::Plain => or_unknown(current),
        Op::Default(colon, word) => match missing(*colon) {
            Status::True => expand(word, state),
            _ => or_unknown(current),
        },
        Op::Assign(colon, word) => match missing(*colon) {
            Status::True => {
                let value = expand(word, state);
                state.set(name, value.clone());
                value
            }
            _ => or_unknown(current),
        },
        Op::Alternate(colon, word) => match missing(*colon) {
            Status::True => Value::Known(String::new()),
            Status::False => expand(word, state),
            Status::Unknown => Value::Unknown,
        },
        Op::Required(colon) => match missing(*colon) {
            Status::False => or_unknown(current),
            _ => Value::Unknown,
        },
        Op::Opaque => Value::Unknown,
        Op::Length | Op::Upper | Op::Lower | Op::Prefix(..) | Op::Suffix(..) => match current {
            Some(Value::Known(text)) => changed(&text, op, state),
            _ => Value::Unknown,
        },
    }
}

/// The expansions that make another text of a known one.
fn changed(text: &str, op: &Op, state: &mut State) -> Value {
    let new = match op {
        Op::Length => Some(text.chars().count().to_string()),
        Op::Upper => Some(text.to_uppercase()),
        Op::Lower => Some(text.to_lowercase()),
        Op::Prefix(longest, word) => {
            pattern_of(word, state).map(|p| pattern::without_prefix(&p, text, *longest).to_owned())
        }
        Op::Suffix(longest, word) => {
            pattern_of(word, state).map(|p| pattern::without_suffix(&p, text, *longest).to_owned())
        }
        _ => None,
    };
    new.map_or(Value::Unknown, Value::Known)
}

/// The word as a pattern: what is quoted stands for itself.
pub fn pattern_of(word: &Word, state: &mut State) -> Option<String> {
    quoting(word, state, pattern::escape)
}

fn quoting(word: &Word, state: &mut State, escape: impl Fn(&str) -> String) -> Option<String> {
    let mut all = String::new();
    for part in &word.0 {
        let (text, quoted) = match part {
            Part::Text(text, quoted) => (text.clone(), *quoted),
            Part::Variable(name, op, quoted) => (variable(name, op, state).known()?.to_owned(), *quoted),
            Part::Opaque => return None,
        };
        all.push_str(&if quoted { escape(&text) } else { text });
    }
    Some(all)
}

/// Whether a test holds; `bracket` for `[ … ]`, which splits unquoted values.
pub fn truth(test: &Test, bracket: bool, state: &mut State) -> Status {
    match test {
        Test::Not(inner) => truth(inner, bracket, state).not(),
        Test::And(a, b) => truth(a, bracket, state).and(truth(b, bracket, state)),
        Test::Or(a, b) => truth(a, bracket, state).or(truth(b, bracket, state)),
        Test::Word(word) => match operand(word, bracket, state) {
            Value::Known(text) => Status::of(!text.is_empty()),
            Value::Unknown => Status::Unknown,
        },
        Test::Unary(op, word) => match (op.as_str(), operand(word, bracket, state)) {
            ("-n", Value::Known(text)) => Status::of(!text.is_empty()),
            ("-z", Value::Known(text)) => Status::of(text.is_empty()),
            ("-v", Value::Known(name)) => match state.current(&name) {
                None => Status::False,
                Some(Value::Known(_)) => Status::True,
                Some(Value::Unknown) => Status::Unknown,
            },
            _ => Status::Unknown,
        },
        Test::Binary(left, op, right) => compare(left, op, right, bracket, state).map_or(Status::Unknown, Status::of),
    }
}

fn compare(left: &Word, op: &str, right: &Word, bracket: bool, state: &mut State) -> Option<bool> {
    let left = operand(left, bracket, state);
    let left = left.known()?;
    match op {
        "=" | "==" | "!=" if !bracket => {
            let pattern = pattern_of(right, state)?;
            return Some(pattern::matches(&pattern, left) == (op != "!="));
        }
        "=~" => {
            let pattern = quoting(right, state, regex::escape)?;
            return Some(Regex::new(&pattern).ok()?.is_match(left));
        }
        _ => {}
    }
    let right = operand(right, bracket, state);
    let right = right.known()?;
    let numbers = || Some((left.trim().parse::<i64>().ok()?, right.trim().parse::<i64>().ok()?));
    Some(match op {
        "=" | "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        ">" => left > right,
        "-eq" => numbers().map(|(a, b)| a == b)?,
        "-ne" => numbers().map(|(a, b)| a != b)?,
        "-lt" => numbers().map(|(a, b)| a < b)?,
        "-le" => numbers().map(|(a, b)| a <= b)?,
        "-gt" => numbers().map(|(a, b)| a > b)?,
        "-ge" => numbers().map(|(a, b)| a >= b)?,
        _ => return None,
    })
}

/// A word in a test. In `[ … ]` an unquoted value is split and expanded, so it stands for one word only
/// if it is plain.
fn operand(word: &Word, bracket: bool, state: &mut State) -> Value {
    let value = expand(word, state);
    let unquoted = word.0.iter().any(|p| matches!(p, Part::Variable(_, _, false)));
    match &value {
        Value::Known(text) if bracket && unquoted => {
            let plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "*?[".contains(c));
            if plain { value } else { Value::Unknown }
        }
        _ => value,
    }
}
