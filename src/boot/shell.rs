//! A shell on a guest's serial console: log in, run a command, read its result.

use std::time::Duration;

use anyhow::{Result, bail};

use super::console::pattern;
use super::guest::Guest;

/// A command's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status.
    pub code: i32,
    /// What it printed, stderr included.
    pub output: String,
}

impl Guest {
    /// Logs in at the console's login prompt (which may have been shown already, unless an
    /// `expect` has used it up) and makes the shell fit for [`Guest::command`].
    ///
    /// # Errors
    /// When no prompt appears within `timeout`, or the login is refused.
    pub fn login(&mut self, user: &str, password: &str, timeout: Duration) -> Result<()> {
        // No end of line: the kernel may write behind the prompt.
        self.expect(&known(r"login: "), timeout)?;
        self.send_line(user)?;
        let asked = known(r"Password: |Login incorrect|[#$%>] ?($|\[ *\d+\.\d+\] )");
        loop {
            match self.expect(&asked, timeout)?.as_str() {
                "Login incorrect" => bail!("the guest refused the login of '{user}'"),
                text if text.starts_with("Password") => self.send_line(password)?,
                _ => break,
            }
        }
        self.prepare_shell(timeout)
    }

    /// Makes a shell that waits at its prompt fit for [`Guest::command`]: no echo, no colours, no
    /// messages of the kernel in between.
    ///
    /// # Errors
    /// When the shell does not answer within `timeout`.
    pub fn prepare_shell(&mut self, timeout: Duration) -> Result<()> {
        self.send_line(
            "stty -echo; dmesg -n 1; TERM=dumb; PS1=; PS2=; PROMPT_COMMAND=; unset LS_COLORS; printf 'shell-%s\\n' ready",
        )?;
        self.expect(&known(r"^shell-ready$"), timeout)?;
        Ok(())
    }

    /// Runs a line in the shell and waits for its end.
    ///
    /// # Errors
    /// When it does not end within `timeout`. An exit status other than 0 is no error.
    pub fn command(&mut self, line: &str, timeout: Duration) -> Result<Answer> {
        // The marks are put together by printf, so that an echo of the line holds neither of them.
        self.send_line(&format!("printf 'begin-%s\\n' mark; {{ {line}\n}} 2>&1; printf '\\nend-%s:%d\\n' mark $?"))?;
        let what = format!("the end of '{line}'");
        let begin = known(r"^begin-mark\n");
        let end = known(r"(?s)(.*?)\nend-mark:(\d+)\n");
        self.wait_for(&what, timeout, |console| console.find(&begin))?;
        let text = self.wait_for(&what, timeout, |console| console.find(&end))?;
        let Some(parts) = end.captures(&text) else { bail!("the shell's answer cannot be read: {text}") };
        Ok(Answer { code: parts[2].parse()?, output: parts[1].trim_end_matches('\n').to_owned() })
    }
}

/// A pattern of ours.
fn known(text: &str) -> regex::Regex {
    pattern(text).expect("a constant expression")
}
