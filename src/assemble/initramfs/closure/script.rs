//! The first line of a script: who runs it.

/// A script, as far as the kernel reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// `/bin/sh`
    pub interpreter: String,
    /// The name that `env` looks up, if that is what the interpreter is.
    pub by_env: Option<String>,
}

/// So much of the first line does Linux look at (`BINPRM_BUF_SIZE`).
const FIRST_LINE: usize = 256;

/// Reads `#!` and the words behind it.
pub fn parse(bytes: &[u8]) -> Option<Script> {
    let line = bytes.strip_prefix(b"#!")?;
    let line = &line[..line.len().min(FIRST_LINE - 2)];
    let line = line.split(|&b| b == b'\n').next().unwrap_or(line);
    let line = String::from_utf8_lossy(line);
    let line = line.trim_matches([' ', '\t', '\r', '\0']);
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if interpreter.is_empty() {
        return None;
    }
    let by_env = (interpreter.rsplit('/').next() == Some("env")).then(|| looked_up(argument)).flatten();
    Some(Script { interpreter: interpreter.to_owned(), by_env })
}

/// The program that `env` is told to start: `python3`, `-S python3 -u`, `LANG=C perl`.
fn looked_up(argument: &str) -> Option<String> {
    let mut words = argument.split_whitespace().map(|word| word.strip_prefix("-S").unwrap_or(word));
    words.find(|word| !word.is_empty() && !word.starts_with('-') && !word.contains('=')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, Option<String>) {
        let script = parse(line.as_bytes()).unwrap();
        (script.interpreter, script.by_env)
    }

    #[test]
    fn interpreters_are_read_as_the_kernel_does() {
        assert_eq!(read("#!/bin/sh\necho"), ("/bin/sh".into(), None));
        assert_eq!(read("#! /bin/bash -eu\n"), ("/bin/bash".into(), None));
        assert_eq!(read("#!/usr/bin/env python3\n"), ("/usr/bin/env".into(), Some("python3".into())));
        assert_eq!(read("#!/usr/bin/env -S LANG=C python3 -u\n"), ("/usr/bin/env".into(), Some("python3".into())));
        assert_eq!(read("#!/usr/bin/env -Sperl -w"), ("/usr/bin/env".into(), Some("perl".into())));
        assert!(parse(b"#!\n").is_none() && parse(b"# no").is_none() && parse(b"#!").is_none());
        assert_eq!(read(&format!("#!/bin/{}", "x".repeat(999))).0.len(), 254);
    }
}
