//! Scripts of packages that failed, found in dnf's output.

use regex::Regex;

/// A script that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scriptlet {
    /// The package: name, or name with version and architecture.
    pub package: String,
    /// `%pre`, `%post`, `%posttrans`, `%triggerin`, …
    pub kind: String,
    /// `exit status 3`, `signal 9`, or what the interpreter said.
    pub end: String,
    /// What it printed.
    pub output: Vec<String>,
}

impl Scriptlet {
    /// The package's name without version and architecture.
    pub fn name(&self) -> &str {
        // NAME-VERSION-RELEASE.ARCH: neither version nor release has a hyphen.
        let mut parts = self.package.rsplitn(3, '-');
        let (_, _, name) = (parts.next(), parts.next(), parts.next());
        name.unwrap_or(&self.package)
    }
}

/// The failed scriptlets in dnf's output, in order. dnf ends with 0 if it is only these, unless the
/// script was to run before the package's files are written.
pub fn failed<S: AsRef<str>>(lines: &[S]) -> Vec<Scriptlet> {
    let patterns = Patterns::new();
    let (mut found, mut output): (Vec<Scriptlet>, Vec<String>) = (Vec::new(), Vec::new());
    // dnf 5 tells of the failure before what the script printed, and then gives rpm's words for it.
    let mut told: Option<Scriptlet> = None;
    for line in lines {
        // dnf 5 puts what scripts and rpm say below its progress bars.
        let line = line.as_ref().trim_end();
        let line = line.strip_prefix(">>>").map_or(line, str::trim_start);
        let line = line.strip_prefix("[RPM] ").unwrap_or(line);
        if patterns.progress.is_match(line) {
            found.extend(told.take().map(|s| Scriptlet { output: output.clone(), ..s }));
            output.clear();
        } else if let Some(scriptlet) = patterns.failure(line) {
            told = None;
            found.push(Scriptlet { output: std::mem::take(&mut output), ..scriptlet });
        } else if let Some(scriptlet) = patterns.failure_of_five(line) {
            told = Some(scriptlet);
            output.clear();
        } else if !patterns.is_noise(line) {
            output.push(line.to_owned());
        }
    }
    found.extend(told);
    found
}

struct Patterns {
    progress: Regex,
    rpm: Regex,
    lua: Regex,
    five: Regex,
}

impl Patterns {
    fn new() -> Self {
        let regex = |pattern| Regex::new(pattern).expect("patterns of this file are valid");
        Self {
            progress: regex(
                r"^\s*(?:(?:Running scriptlet|Running transaction|Preparing|Installing|Upgrading|Erasing|Cleanup|Verifying|Running trigger)\b|Running %?\S+ scriptlet: |Finished \S+ scriptlet: |\[ *\d+/\d+\])",
            ),
            rpm: regex(r"^(?:warning: |error: )?%(\w+)\((.+?)\) scriptlet failed, (.*)$"),
            lua: regex(r#"^(?:error: )?lua script failed: \[string "%(\w+)\((.+?)\)"\]:(.*)$"#),
            five: regex(r"^(?:Non-critical error|Error) in (%?\w+) scriptlet: (\S+)$"),
        }
    }

    /// rpm's words.
    fn failure(&self, line: &str) -> Option<Scriptlet> {
        let (found, lua) = match self.rpm.captures(line) {
            Some(found) => (found, false),
            None => (self.lua.captures(line)?, true),
        };
        let end = if lua { format!("line {}", &found[3]) } else { found[3].to_owned() };
        Some(Scriptlet { package: found[2].to_owned(), kind: kind(&found[1]), end, output: Vec::new() })
    }

    /// dnf 5's words, which come before the script's output.
    fn failure_of_five(&self, line: &str) -> Option<Scriptlet> {
        let found = self.five.captures(line)?;
        // 0:1-1 is how dnf 5 writes version 1-1 without an epoch.
        let package = found[2].replacen("-0:", "-", 1);
        Some(Scriptlet { package, kind: kind(&found[1]), end: "failed".into(), output: Vec::new() })
    }

    /// Headings, and dnf 4's repetition of what rpm has just said.
    fn is_noise(&self, line: &str) -> bool {
        line.trim().is_empty() || line == "Scriptlet output:" || line.starts_with("Error in ")
    }
}

/// rpm's messages say `prein` where spec files say `%pre`.
fn kind(name: &str) -> String {
    match name.trim_start_matches('%') {
        "prein" => "%pre".to_owned(),
        "postin" => "%post".to_owned(),
        name => format!("%{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// dnf 4.14, `install failpost`: dnf's exit status is 0.
    const FOUR: &str = "\
Running transaction
  Preparing        :                                                        1/1 
  Installing       : bash-5.2.15-1.standin.el9.x86_64                       6/7 
  Installing       : failpost-1-1.noarch                                    7/7 
  Running scriptlet: failpost-1-1.noarch                                    7/7 
post says no
second line
warning: %post(failpost-1-1.noarch) scriptlet failed, exit status 4

Error in POSTIN scriptlet in rpm package failpost
  Verifying        : basesystem-11-1.standin.el9.x86_64                     1/7 

Installed:
  basesystem-11-1.standin.el9.x86_64    bash-5.2.15-1.standin.el9.x86_64       

Complete!";

    fn failed_in(text: &str) -> Vec<Scriptlet> {
        failed(&text.lines().collect::<Vec<_>>())
    }

    fn scriptlet(package: &str, kind: &str, end: &str, output: &[&str]) -> Scriptlet {
        let output = output.iter().map(|line| (*line).to_owned()).collect();
        Scriptlet { package: package.into(), kind: kind.into(), end: end.into(), output }
    }

    #[test]
    fn dnf_4_has_package_script_status_and_output() {
        let expected = scriptlet("failpost-1-1.noarch", "%post", "exit status 4", &["post says no", "second line"]);
        assert_eq!(failed_in(FOUR), [expected]);
        assert_eq!(failed_in(FOUR)[0].name(), "failpost");
    }

    #[test]
    fn a_script_before_the_files_and_one_in_lua() {
        let pre = "  Running scriptlet: failpre-1-1.noarch                                     7/7 \npre says no\n\
            error: %prein(failpre-1-1.noarch) scriptlet failed, exit status 3\n\n\
            Error in PREIN scriptlet in rpm package failpre\n";
        assert_eq!(failed_in(pre), [scriptlet("failpre-1-1.noarch", "%pre", "exit status 3", &["pre says no"])]);
        let lua = "  Running scriptlet: faillua-1-1.noarch                                     7/7 \nlua speaks\n\
            error: lua script failed: [string \"%post(faillua-1-1.noarch)\"]:1: lua says no\n\n\
            Error in POSTIN scriptlet in rpm package faillua\n";
        assert_eq!(failed_in(lua), [scriptlet("faillua-1-1.noarch", "%post", "line 1: lua says no", &["lua speaks"])]);
    }

    #[test]
    fn dnf_5_tells_it_below_its_progress_bar() {
        // Put together from dnf5/context.cpp and libdnf5-cli/progressbar/progress_bar.cpp.
        let five = "\
[6/7] Installing bash-0:5.2.15-1.el9.x86_64 100% | 1.0 MiB/s | 10.0 KiB | 00m00s
[7/7] Installing failpost-0:1-1.noarch 100% | 1.0 KiB/s | 124.0 B | 00m00s
>>> Running %post scriptlet: failpost-0:1-1.noarch
>>> Non-critical error in %post scriptlet: failpost-0:1-1.noarch
>>> Scriptlet output:
>>> post says no
>>>
>>> [RPM] %post(failpost-1-1.noarch) scriptlet failed, exit status 4
Complete!";
        assert_eq!(failed_in(five), [scriptlet("failpost-1-1.noarch", "%post", "exit status 4", &["post says no"])]);
    }

    #[test]
    fn what_a_script_says_that_does_not_fail_is_nobodys_business() {
        assert!(
            failed_in("  Running scriptlet: a-1-1.noarch  1/1 \nwarning: x saved as x.rpmsave\nComplete!").is_empty()
        );
    }
}
