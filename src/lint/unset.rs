//! Variables that a script uses under `set -u` and that nothing sets: the hook would stop there.
//!
//! Only what is certain is told. A script that reads other files is left alone, and so is a variable that
//! any environment.d assigns, that the engine or bash sets, that the script tests or assigns anywhere, or
//! that the element's README names: that one the caller is to set.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::element::catalog::ElementCatalog;
use crate::element::hooks::ENVIRONMENT_DIR;
use crate::element::phase::Phase;

use super::Finding;
use super::check::Check;
use super::file::{self, File};
use super::{shell, upstream};

/// What bash, the engine and the caller's system set (contract 6.1).
const SET: &str = "BASH BASHPID BASH_SOURCE BASH_LINENO BASH_COMMAND BASH_REMATCH BASH_VERSION BASH_VERSINFO DIRSTACK EUID \
    FUNCNAME GROUPS HOME HOSTNAME HOSTTYPE IFS LINENO LOGNAME MACHTYPE OLDPWD OPTARG OPTIND OSTYPE PATH PIPESTATUS PPID PS4 PWD \
    RANDOM REPLY SECONDS SHELL SHELLOPTS SHLVL SRANDOM EPOCHSECONDS EPOCHREALTIME TERM UID USER LANG LC_ALL \
    _LIB ARCH ACI_MANIFEST COMPRESS_IMAGE DIB_ARGS DIB_BLOCK_DEVICE DIB_BLOCK_DEVICE_PARAMS_YAML DIB_BOOT_LABEL DIB_CHECKSUM \
    DIB_DEBUG_TRACE DIB_DEFAULT_INSTALLTYPE DIB_ENV DIB_IMAGE_CACHE DIB_IMAGE_SIZE DIB_LOCKFILES DIB_MIN_TMPFS DIB_MOUNTPOINTS \
    DIB_NO_TMPFS DIB_OFFLINE DIB_PYTHON DIB_PYTHON_EXEC DIB_PYTHON_VERSION DIB_RELEASE DIB_ROOT_FSTYPE DIB_ROOT_LABEL DISTRO_NAME \
    ELEMENTS_PATH FS_TYPE IMAGE_BLOCK_DEVICE IMAGE_BLOCK_DEVICES IMAGE_BOOT_FSTYPE IMAGE_BOOT_PARTITION IMAGE_BOOT_SPEC \
    IMAGE_BOOT_UUID IMAGE_ELEMENT IMAGE_ELEMENT_YAML IMAGE_LOOP_FREE IMAGE_NAME IMAGE_OS_ELEMENT IMAGE_PARTITION_TABLE \
    IMAGE_ROOT_PARTITION IMAGE_ROOT_UUID IMAGE_TYPE OUT_IMAGE_PATH QEMU_IMG_OPTIONS ROOT_LABEL RUN_PARTS_REGEX TARGET_ROOT \
    TMP_BUILD_DIR TMP_HOOKS_PATH TMP_IMAGE_DIR TMP_IMAGE_PATH TMP_MOUNT_PATH TMPDIR YUM YUM_FLAGS";

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| regex(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]]*\])?\+?="));
/// Commands that set the variables that they are given.
static SETTING: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\b(?:read|for|select|local|declare|export|typeset|readonly|mapfile|readarray|getopts|let|unset|coproc|wait)\b|\s-v\b|\(\(",
    )
});
/// A name that no dollar stands before.
static WORD: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:^|[^$A-Za-z0-9_{])([A-Za-z_][A-Za-z0-9_]*)"));
/// What brings in text from elsewhere, or lets unset variables pass.
static UNKNOWABLE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?m)(?:^|[;&|({!]|\bthen|\bdo|\belse|\bsudo)\s*(?:\.|source|eval)\s|set \+[a-z]*u|set \+o nounset")
});

/// The variables that any hook may count on.
#[derive(Debug, Default)]
pub struct Known {
    names: BTreeSet<String>,
}

impl Known {
    /// Those that the engine sets, and those that a file of environment.d assigns in any element. Files that write
    /// into environment.d count as well.
    pub fn of(catalog: &ElementCatalog) -> Self {
        let mut names: BTreeSet<String> = SET.split_whitespace().map(str::to_owned).collect();
        for element in catalog.iter() {
            for path in file::paths(&element.dir) {
                let in_environment = path.parent().is_some_and(|dir| dir.ends_with(ENVIRONMENT_DIR));
                let in_phase = |dir: &str| Phase::from_dir(dir).is_some();
                let is_hook = path.parent().and_then(|d| d.file_name()?.to_str().map(in_phase)).unwrap_or(false);
                if !in_environment && !is_hook {
                    continue;
                }
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                if in_environment || text.contains(ENVIRONMENT_DIR) {
                    names.extend(assigned(&text));
                }
            }
        }
        Self { names }
    }
}

/// All names that a text may set.
fn assigned(text: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ASSIGNED.captures_iter(text).map(|c| c[1].to_owned()).collect();
    for line in text.lines().filter(|line| SETTING.is_match(line)) {
        names.extend(WORD.captures_iter(line).map(|c| c[1].to_owned()));
    }
    names
}

/// The uses of such variables in the hooks and environment files of one element.
pub fn element(files: &[File], known: &Known) -> Vec<Finding> {
    let documents: String =
        files.iter().filter(|f| f.has_ending("rst") || f.has_ending("md")).map(|f| f.text.as_str()).collect();
    let judged = files.iter().filter(|f| is_judged(f));
    let scanned: Vec<_> = judged.filter_map(|f| Some((f, shell::uses(&f.text)?))).collect();
    let guarded: BTreeSet<&String> = scanned.iter().flat_map(|(_, uses)| &uses.guarded).collect();
    let mut found = Vec::new();
    for (file, uses) in &scanned {
        let own = assigned(&file.text);
        let mut told = BTreeSet::new();
        for used in &uses.bare {
            let name = &used.name;
            let set = known.names.contains(name) || own.contains(name) || guarded.contains(name);
            if set || is_documented(name, &documents) || !told.insert(name) {
                continue;
            }
            let message = format!("nothing sets '{name}', and with set -u the script stops here");
            let finding = Finding::at(Check::Unset, &file.path, used.line, message);
            found.push(
                finding
                    .hint(format!("set it, write ${{{name}:-}}, or name it in the README if the caller is to set it")),
            );
        }
    }
    found
}

/// Whether it is a hook or an environment file, runs under `set -u`, and shows all that it does.
fn is_judged(file: &File) -> bool {
    let environment = file.folder() == Some(ENVIRONMENT_DIR);
    let hook = file.folder().is_some_and(|folder| Phase::from_dir(folder).is_some()) && file.is_bash();
    (environment || (hook && upstream::sets_u(&file.text))) && !UNKNOWABLE.is_match(&file.text)
}

fn is_documented(name: &str, documents: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    documents
        .match_indices(name)
        .any(|(at, _)| !part(documents[..at].chars().next_back()) && !part(documents[at + name.len()..].chars().next()))
}
