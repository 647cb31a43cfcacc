//! The environment that hooks run with: environment.d sourced by bash, once a phase (contract 3.4).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::report::Reporter;

use super::command::Cmd;

/// Variables by name, as a process gets them.
pub type Environment = BTreeMap<OsString, OsString>;

/// PATH inside a chroot: the contract's six directories, then the tools of this program.
pub const CHROOT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/tmp/in_target.d/.image-create/bin";

/// The shell libraries as a chroot sees them.
const CHROOT_LIBRARY: &str = "/tmp/in_target.d/.image-create/lib";

/// Sources the files given as arguments in one shell and writes the resulting environment to the
/// original stderr; everything that the files print goes to stdout. A file is sourced inside a
/// function so that `return` ends just that file.
const SOURCE: &str = r#"
exec 3>&2 2>&1
set -ue -o pipefail
_image_create_file=
trap '_rc=$?; [ "$_rc" -eq 0 ] || echo "environment file $_image_create_file failed with status $_rc"' EXIT
_image_create_source() { source "$1"; }
for _image_create_file in "$@"; do _image_create_source "$_image_create_file"; done
trap - EXIT
unset _image_create_file
unset -f _image_create_source
env -0 >&3
"#;

/// How a phase's environment is made.
pub struct Sourcing<'a> {
    /// The words that go before `bash`: `chroot TREE` for a phase in the chroot.
    pub prefix: &'a [OsString],
    /// The directory of the files, as the shell sees it.
    pub dir: &'a Path,
    /// File names in the order in which they are sourced.
    pub files: &'a [String],
    /// Working directory, on the host.
    pub cwd: &'a Path,
}

impl Sourcing<'_> {
    /// Runs the shell and returns the environment that it ends with; what the files print goes to
    /// the reporter.
    ///
    /// # Errors
    /// `Err(status)` inside when a file fails; the outer error when bash cannot be run at all.
    pub fn run(&self, base: &Environment, reporter: &Reporter) -> Result<Result<Environment, (i32, Vec<String>)>> {
        if self.files.is_empty() {
            return Ok(Ok(base.clone()));
        }
        let mut file = tempfile::tempfile().context("making a temporary file")?;
        let mut argv: Vec<OsString> = self.prefix.to_vec();
        argv.extend(["bash", "-c", SOURCE, "environment"].map(OsString::from));
        argv.extend(self.files.iter().map(|f| self.dir.join(f).into_os_string()));
        let cmd = Cmd::new(&argv[0]).args(&argv[1..]).full_env(base.clone()).dir(self.cwd);
        let exit =
            cmd.stderr_to(file.try_clone().context("sharing a temporary file")?).stream(|l| reporter.output(l))?;
        if exit.code != 0 {
            return Ok(Err((exit.code, exit.tail)));
        }
        let mut text = Vec::new();
        file.rewind().context("reading the environment")?;
        file.read_to_end(&mut text).context("reading the environment")?;
        parse(&text).map(Ok)
    }
}

/// Reads `env -0`.
fn parse(text: &[u8]) -> Result<Environment> {
    let mut env = Environment::new();
    for entry in text.split(|b| *b == 0).filter(|e| !e.is_empty()) {
        let Some(at) = entry.iter().position(|b| *b == b'=') else {
            bail!("the shell printed something that is no environment: {}", String::from_utf8_lossy(entry));
        };
        let name = OsString::from_vec(entry[..at].to_vec());
        // bash's own last-command variable means nothing to anyone else.
        if name != OsStr::new("_") {
            env.insert(name, OsString::from_vec(entry[at + 1..].to_vec()));
        }
    }
    Ok(env)
}

/// The environment of a chroot made from that of the host: the same variables but for those that
/// would mislead there (contract 2.8), and without exported functions, which sudo used to strip.
pub fn for_chroot(host: &Environment) -> Environment {
    let mut env: Environment = host
        .iter()
        .filter(|(name, _)| !name.to_string_lossy().starts_with("BASH_FUNC_"))
        .filter(|(name, _)| *name != "TMPDIR" && *name != "VIRTUAL_ENV")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.insert("PATH".into(), CHROOT_PATH.into());
    env.insert("HOME".into(), "/root".into());
    if env.contains_key(OsStr::new("_LIB")) {
        env.insert("_LIB".into(), CHROOT_LIBRARY.into());
    }
    env
}

/// The host's PATH for hooks: the caller's, the system directories that a user's may lack, and the
/// tools of this program at the end.
pub fn host_path(caller: Option<&str>, tools: &Path) -> OsString {
    let mut dirs: Vec<PathBuf> =
        caller.unwrap_or("/usr/local/bin:/usr/bin:/bin").split(':').map(PathBuf::from).collect();
    for dir in ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs.push(tools.to_owned());
    std::env::join_paths(dirs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn source(files: &[(&str, &str)]) -> Result<Environment, (i32, Vec<String>)> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let names: Vec<String> = files.iter().map(|f| f.0.to_owned()).collect();
        let base = Environment::from([("PATH".into(), "/usr/bin:/bin".into()), ("GIVEN".into(), "caller".into())]);
        let sourcing = Sourcing { prefix: &[], dir: dir.path(), files: &names, cwd: Path::new("/") };
        sourcing.run(&base, &Reporter::quiet()).unwrap()
    }

    fn get<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
        env.get(OsStr::new(name)).and_then(|v| v.to_str())
    }

    #[test]
    fn only_exported_variables_arrive_and_callers_win() {
        let env = source(&[
            ("10-a", "export GIVEN=${GIVEN:-element}\nLOCAL=1\nexport LINES=$'two\\nlines'\n"),
            ("20-b", "return 0\nexport NEVER=1\n"),
            ("30-c", "export ORDER=${LINES%%$'\\n'*}\necho noise\n"),
        ])
        .unwrap();
        assert_eq!(get(&env, "GIVEN"), Some("caller"));
        assert_eq!(get(&env, "LOCAL"), None);
        assert_eq!(get(&env, "LINES"), Some("two\nlines"));
        assert_eq!(get(&env, "NEVER"), None);
        assert_eq!(get(&env, "ORDER"), Some("two"));
    }

    #[test]
    fn r4_a_file_that_exits_ends_the_phase_with_its_status() {
        let (status, tail) = source(&[("10-a", "exit 5\n")]).unwrap_err();
        assert_eq!(status, 5);
        assert!(tail.last().unwrap().contains("10-a failed with status 5"), "{tail:?}");
    }

    #[test]
    fn r13_an_unset_variable_fails() {
        assert!(source(&[("10-a", "export A=$NO_SUCH_VARIABLE\n")]).is_err());
    }

    #[test]
    fn a_chroot_gets_its_own_path_and_home() {
        let host = Environment::from([
            ("TMPDIR".into(), "/x".into()),
            ("BASH_FUNC_f%%".into(), "() { :; }".into()),
            ("KEPT".into(), "1".into()),
            ("_LIB".into(), "/tmp/dib_build.1/build/hooks/.image-create/lib".into()),
        ]);
        let env = for_chroot(&host);
        assert_eq!(env.keys().collect::<Vec<_>>(), ["HOME", "KEPT", "PATH", "_LIB"]);
        assert_eq!(get(&env, "_LIB"), Some(CHROOT_LIBRARY));
    }
}
