//! Follows the commands of `environment.d` files through every way that they may take.

use std::collections::BTreeSet;

use super::expand::{expand, pattern_of, truth};
use super::parser::Parser;
use super::state::{State, Status};
use super::syntax::{Arg, Command, Op, Part, Word};
use super::{Value, names_assigned, pattern};

/// Commands that set the variables which their arguments name.
const SETTERS: &[&str] = &["read", "mapfile", "readarray", "getopts", "printf", "unset", "let", "wait"];

/// Commands that declare variables.
const DECLARATIONS: &[&str] = &["export", "declare", "typeset", "readonly", "local"];

/// Commands that change no variable and succeed.
const HARMLESS: &[&str] = &["set", "shopt", "echo", "umask", "trap", "alias"];

/// Where commands lead: on to the next one, or out of the file by `return`. A way that ends the shell
/// (`exit`) leads nowhere: the build fails there.
struct Outcome {
    live: Option<(State, Status)>,
    returned: Option<State>,
}

impl Outcome {
    fn live(state: State, status: Status) -> Self {
        Self { live: Some((state, status)), returned: None }
    }

    /// Goes on from here.
    fn then(self, next: impl FnOnce(State, Status) -> Outcome) -> Outcome {
        let Some((state, status)) = self.live else { return self };
        let after = next(state, status);
        Outcome { live: after.live, returned: merged(self.returned, after.returned) }
    }

    /// Either this or that happened.
    fn join(self, other: Outcome) -> Outcome {
        let live = match (self.live, other.live) {
            (Some((a, x)), Some((b, y))) => Some((a.merge(b), if x == y { x } else { Status::Unknown })),
            (a, b) => a.or(b),
        };
        Outcome { live, returned: merged(self.returned, other.returned) }
    }
}

fn merged(a: Option<State>, b: Option<State>) -> Option<State> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.merge(b)),
        (a, b) => a.or(b),
    }
}

/// Sources a text in a shell.
pub fn source(state: &mut State, text: &str) {
    // Wanted only when no way leads out of the text, which takes a command that leaves it: a copy of a
    // thousand variables for each of a thousand files is most of a plan's time.
    let before = ["exit", "return"].iter().any(|word| text.contains(word)).then(|| state.clone());
    let mut way = Outcome::live(std::mem::take(state), Status::True);
    let mut parser = Parser::new(text);
    while way.live.is_some() {
        match parser.next_command() {
            Ok(Some(command)) => way = way.then(|state, _| run(&command, state)),
            Ok(None) => break,
            Err(_) => {
                let names = names_assigned(parser.rest());
                way = way.then(|mut state, _| {
                    state.forget(&names);
                    Outcome::live(state, Status::Unknown)
                });
                break;
            }
        }
    }
    *state = merged(way.live.map(|(state, _)| state), way.returned).or(before).unwrap_or_default();
}

fn run_list(commands: &[Command], state: State) -> Outcome {
    let start = Outcome::live(state, Status::True);
    commands.iter().fold(start, |way, command| way.then(|state, _| run(command, state)))
}

fn run(command: &Command, mut state: State) -> Outcome {
    match command {
        Command::Simple(args) => simple(args, state),
        Command::Test(test, bracket) => {
            let status = truth(test, *bracket, &mut state);
            Outcome::live(state, status)
        }
        Command::If(arms, otherwise) => run_if(arms, otherwise, state),
        Command::Case(subject, arms) => {
            let subject = expand(subject, &mut state);
            run_case(&subject, arms, state)
        }
        Command::Loop(body, variable) => {
            state.forget(&assigned(body));
            state.forget(variable);
            let returned = leaves(body).then(|| state.clone());
            Outcome { live: Some((state, Status::Unknown)), returned }
        }
        Command::Group(body) => run_list(body, state),
        Command::Apart => Outcome::live(state, Status::Unknown),
        Command::Function(name, body) => {
            state.functions.insert(name.clone(), assigned(body));
            Outcome::live(state, Status::True)
        }
        Command::And(a, b) => run(a, state).then(|state, status| match status {
            Status::True => run(b, state),
            Status::False => Outcome::live(state, Status::False),
            Status::Unknown => run(b, state.clone()).join(Outcome::live(state, Status::False)),
        }),
        Command::Or(a, b) => run(a, state).then(|state, status| match status {
            Status::True => Outcome::live(state, Status::True),
            Status::False => run(b, state),
            Status::Unknown => run(b, state.clone()).join(Outcome::live(state, Status::True)),
        }),
        Command::Not(a) => run(a, state).then(|state, status| Outcome::live(state, status.not())),
    }
}

fn run_if(arms: &[(Vec<Command>, Vec<Command>)], otherwise: &[Command], state: State) -> Outcome {
    let Some(((condition, body), rest)) = arms.split_first() else { return run_list(otherwise, state) };
    run_list(condition, state).then(|state, status| match status {
        Status::True => run_list(body, state),
        Status::False => run_if(rest, otherwise, state),
        Status::Unknown => run_list(body, state.clone()).join(run_if(rest, otherwise, state)),
    })
}

fn run_case(subject: &Value, arms: &[(Vec<Word>, Vec<Command>)], mut state: State) -> Outcome {
    let Some(((patterns, body), rest)) = arms.split_first() else { return Outcome::live(state, Status::True) };
    let mut status = Status::False;
    for word in patterns {
        status = status.or(match (pattern_of(word, &mut state), subject) {
            (Some(pattern), _) if pattern == "*" => Status::True,
            (Some(pattern), Value::Known(text)) => Status::of(pattern::matches(&pattern, text)),
            _ => Status::Unknown,
        });
    }
    match status {
        Status::True => run_list(body, state),
        Status::False => run_case(subject, rest, state),
        Status::Unknown => run_list(body, state.clone()).join(run_case(subject, rest, state)),
    }
}

fn simple(args: &[Arg], mut state: State) -> Outcome {
    let words = args.iter().position(|a| matches!(a, Arg::Word(_))).unwrap_or(args.len());
    let (assignments, words) = args.split_at(words);
    let Some(Arg::Word(command)) = words.first() else {
        assignments.iter().for_each(|arg| assign(arg, false, &mut state));
        return Outcome::live(state, Status::True);
    };
    let name = command.literal().unwrap_or_default();
    let rest = &words[1..];
    if DECLARATIONS.contains(&name.as_str()) {
        declare(&name, rest, &mut state);
        return Outcome::live(state, Status::True);
    }
    // Assignments before a command hold for that command only; what `:=` does in its words stays.
    for arg in args {
        if let Arg::Word(word) | Arg::Assign { value: Some(word), .. } = arg {
            expand(word, &mut state);
        }
    }
    let status = match name.as_str() {
        ":" | "true" => Status::True,
        "false" => Status::False,
        "return" | "exit" => return leave(&name, rest, state),
        "unset" => {
            unset(rest, &mut state);
            Status::True
        }
        "eval" => {
            for arg in rest {
                state.forget(&names_assigned(&text_in(arg)));
            }
            Status::Unknown
        }
        name if HARMLESS.contains(&name) => Status::True,
        name => {
            let mut names = assigned(&[Command::Simple(words.to_vec())]);
            names.extend(state.functions.get(name).cloned().unwrap_or_default());
            state.forget(&names);
            Status::Unknown
        }
    };
    Outcome::live(state, status)
}

/// `return` and `exit`. A `return` with another status than 0 ends the shell too, which runs with `set -e`.
fn leave(name: &str, args: &[Arg], state: State) -> Outcome {
    let failing = match args.first() {
        Some(Arg::Word(word)) => word.literal().is_some_and(|text| text != "0"),
        _ => false,
    };
    let returned = (name == "return" && !failing).then_some(state);
    Outcome { live: None, returned }
}

fn unset(args: &[Arg], state: &mut State) {
    let names = args.iter().filter_map(|a| if let Arg::Word(w) = a { w.literal() } else { None });
    for name in names {
        state.vars.remove(&name);
        state.exported.remove(&name);
    }
}

fn declare(command: &str, args: &[Arg], state: &mut State) {
    let flags: String = args.iter().filter_map(flag).collect();
    if flags.contains('f') || flags.contains('F') || flags.contains('p') {
        return;
    }
    let array = flags.contains(['a', 'A']);
    let export = (command == "export" && !flags.contains('n')) || flags.contains('x');
    for arg in args.iter().filter(|a| flag(a).is_none()) {
        let arg = quoted_assignment(arg);
        let name = match &arg {
            Arg::Assign { name, .. } => {
                assign(&arg, array, state);
                name.clone()
            }
            Arg::Word(word) => match word.literal() {
                Some(name) => name,
                None => continue,
            },
        };
        if export {
            state.exported.insert(name);
        } else if command == "export" {
            state.exported.remove(&name);
        }
    }
}

/// The letters of an option, if the argument is one.
fn flag(arg: &Arg) -> Option<String> {
    let Arg::Word(word) = arg else { return None };
    word.literal().filter(|text| text.starts_with('-'))
}

/// `export "NAME=…"` is an assignment although the quotes make it a word.
fn quoted_assignment(arg: &Arg) -> Arg {
    if let Arg::Word(Word(parts)) = arg
        && let Some(Part::Text(text, quoted)) = parts.first()
        && let Some((name, start)) = text.split_once('=')
        && is_name(name)
    {
        let mut value = vec![Part::Text(start.to_owned(), *quoted)];
        value.extend_from_slice(&parts[1..]);
        return Arg::Assign { name: name.to_owned(), append: false, value: Some(Word(value)) };
    }
    arg.clone()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn assign(arg: &Arg, array: bool, state: &mut State) {
    let Arg::Assign { name, append, value } = arg else { return };
    let new = match value {
        Some(word) if !array => expand(word, state),
        _ => Value::Unknown,
    };
    let value = match (append, state.current(name), new) {
        (false, _, new) | (true, None, new) => new,
        (true, Some(Value::Known(old)), Value::Known(new)) => Value::Known(old + &new),
        _ => Value::Unknown,
    };
    state.set(name, value);
}

fn text_in(arg: &Arg) -> String {
    let (Arg::Word(word) | Arg::Assign { value: Some(word), .. }) = arg else { return String::new() };
    word.0.iter().map(|p| if let Part::Text(text, _) = p { text.as_str() } else { "x" }).collect()
}

/// The names that these commands may set, whichever way they take.
fn assigned(commands: &[Command]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for command in commands {
        match command {
            Command::Simple(args) => assigned_by_simple(args, &mut names),
            Command::If(arms, otherwise) => {
                for (condition, body) in arms {
                    names.extend(assigned(condition));
                    names.extend(assigned(body));
                }
                names.extend(assigned(otherwise));
            }
            Command::Case(_, arms) => arms.iter().for_each(|(_, body)| names.extend(assigned(body))),
            Command::Loop(body, variable) => {
                names.extend(variable.clone());
                names.extend(assigned(body));
            }
            Command::Group(body) | Command::Function(_, body) => names.extend(assigned(body)),
            Command::And(a, b) | Command::Or(a, b) => {
                names.extend(assigned(std::slice::from_ref(a)));
                names.extend(assigned(std::slice::from_ref(b)));
            }
            Command::Not(a) => names.extend(assigned(std::slice::from_ref(a))),
            Command::Test(..) | Command::Apart => {}
        }
    }
    names
}

fn assigned_by_simple(args: &[Arg], names: &mut BTreeSet<String>) {
    let command =
        args.iter().find_map(|a| if let Arg::Word(w) = a { Some(w.literal().unwrap_or_default()) } else { None });
    let declares = command.as_deref().is_none_or(|c| DECLARATIONS.contains(&c) && c != "local");
    let sets = command.as_deref().is_some_and(|c| SETTERS.contains(&c));
    for arg in args {
        match arg {
            Arg::Assign { name, .. } if declares => {
                names.insert(name.clone());
            }
            Arg::Word(word) if sets => names.extend(word.literal().filter(|text| is_name(text))),
            _ => {}
        }
        if let Arg::Word(word) | Arg::Assign { value: Some(word), .. } = arg {
            let by_default =
                |p: &Part| if let Part::Variable(n, Op::Assign(..), _) = p { Some(n.clone()) } else { None };
            names.extend(word.0.iter().filter_map(by_default));
        }
    }
    if let Some(command) = command.filter(|_| sets) {
        names.remove(&command);
    }
}

/// Whether these commands may leave the file.
fn leaves(commands: &[Command]) -> bool {
    commands.iter().any(|command| match command {
        Command::Simple(args) => match args.first() {
            Some(Arg::Word(word)) => word.literal().as_deref() == Some("return"),
            _ => false,
        },
        Command::If(arms, otherwise) => arms.iter().any(|(_, body)| leaves(body)) || leaves(otherwise),
        Command::Case(_, arms) => arms.iter().any(|(_, body)| leaves(body)),
        Command::Loop(body, _) | Command::Group(body) => leaves(body),
        Command::And(a, b) | Command::Or(a, b) => [a, b].into_iter().any(|c| leaves(std::slice::from_ref(c))),
        _ => false,
    })
}
