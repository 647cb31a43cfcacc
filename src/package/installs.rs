//! `package-installs.yaml` and `.json`: what an element wants installed, read and checked
//! (contract 4.2). [`super::squash`] decides which of it applies.

use std::fmt;
use std::path::Path;

use super::condition::{Applies, When};
use super::{Lookup, Var};
use crate::error::{Fault, Place};
use crate::near::near;
use crate::yaml::{self, Node, Value};

/// The files of an element, in the order in which they are read; both count when both are there.
pub const FILES: [&str; 2] = ["package-installs.json", "package-installs.yaml"];

/// A phase in which packages can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// `pre-install.d`
    PreInstall,
    /// `install.d`
    Install,
    /// `post-install.d`
    PostInstall,
}

impl Phase {
    /// All of them, in build order.
    pub const ALL: [Phase; 3] = [Phase::PreInstall, Phase::Install, Phase::PostInstall];

    /// The name of the phase's directory.
    pub fn dir(self) -> &'static str {
        match self {
            Phase::PreInstall => "pre-install.d",
            Phase::Install => "install.d",
            Phase::PostInstall => "post-install.d",
        }
    }

    /// The phase with this directory name.
    pub fn from_dir(dir: &str) -> Option<Phase> {
        Self::ALL.into_iter().find(|p| p.dir() == dir)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dir())
    }
}

/// What to do with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Install it.
    Install,
    /// Remove it at the end of the phase.
    Uninstall,
    /// Install it, and remove it at the end of the same phase.
    BuildOnly,
}

/// One wish: a package with one set of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The package's generic name, not yet mapped to a distribution's.
    pub package: String,
    /// Where it stands.
    pub place: Place,
    /// When.
    pub phase: Phase,
    /// What.
    pub action: Action,
    install_type: Option<String>,
    arch: Option<Arch>,
    python: Option<String>,
    when: Vec<When>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Arch {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
}

const KEYS: [&str; 8] =
    ["phase", "installtype", "uninstall", "build-only", "arch", "not-arch", "dib_python_version", "when"];

/// What was found wrong: `faults` stop the build, `warnings` do not.
#[derive(Debug, Default)]
pub struct Findings {
    /// Mistakes.
    pub faults: Vec<Fault>,
    /// Things that have no effect and probably should.
    pub warnings: Vec<Fault>,
}

/// Reads the text of a file; `file` is only named in places.
pub fn parse(text: &str, file: &Path, findings: &mut Findings) -> Vec<Wish> {
    let root = match yaml::parse_lenient(text, file, &mut findings.warnings) {
        Ok(root) => root,
        Err(fault) => {
            findings.faults.push(fault);
            return Vec::new();
        }
    };
    if !matches!(root.value, Value::Map(_) | Value::Null) {
        let hint = "write 'PACKAGE:' lines, or a JSON object";
        findings.faults.push(root.fault(format!("a map of packages is expected, not {}", root.kind())).hint(hint));
    }
    let mut wishes = Vec::new();
    for (key, value) in root.as_map().unwrap_or_default() {
        let package = key.text().unwrap_or_default();
        match &value.value {
            Value::List(items) => wishes.extend(items.iter().filter_map(|i| wish(package, &i.place, i, findings))),
            _ => wishes.extend(wish(package, &key.place, value, findings)),
        }
    }
    wishes
}

fn wish(package: &str, place: &Place, parameters: &Node, findings: &mut Findings) -> Option<Wish> {
    let empty = parameters.is_null() || parameters.text() == Some("");
    if !empty && parameters.as_map().is_none() {
        let message = format!("the parameters of '{package}' are {}, not a map", parameters.kind());
        findings.faults.push(parameters.fault(message).hint(format!("known keys: {}", KEYS.join(", "))));
        return None;
    }
    warn_of_unknown_keys(package, parameters, findings);
    let phase = phase(parameters, findings);
    let arch = arch(package, place, parameters, findings);
    let when = parameters.get("when").map_or(Ok(Vec::new()), When::read);
    let when = when.unwrap_or_else(|faults| {
        findings.faults.extend(faults);
        Vec::new()
    });
    let text = |key| parameters.get(key).and_then(Node::text).map(str::to_owned);
    Some(Wish {
        package: package.to_owned(),
        place: place.clone(),
        phase: phase?,
        action: action(parameters, findings),
        install_type: text("installtype").filter(|t| !t.is_empty()),
        arch,
        python: text("dib_python_version").filter(|t| !t.is_empty()),
        when,
    })
}

fn warn_of_unknown_keys(package: &str, parameters: &Node, findings: &mut Findings) {
    for (key, _) in parameters.as_map().unwrap_or_default() {
        let name = key.text().unwrap_or_default();
        if !KEYS.contains(&name) {
            let hint = match near(name, KEYS).first() {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => format!("known keys: {}", KEYS.join(", ")),
            };
            findings.warnings.push(key.fault(format!("unknown key '{name}' of package '{package}'")).hint(hint));
        }
    }
}

/// `None` for a phase that does not exist: such a wish is never acted on.
fn phase(parameters: &Node, findings: &mut Findings) -> Option<Phase> {
    let Some(node) = parameters.get("phase") else { return Some(Phase::Install) };
    let name = node.text().unwrap_or_default();
    let phase = Phase::from_dir(name);
    if phase.is_none() {
        let known = Phase::ALL.map(Phase::dir);
        let hint = match near(name, known).first() {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => format!("packages are installed in {}", known.join(", ")),
        };
        findings.warnings.push(node.fault(format!("unknown phase '{name}': the package is ignored")).hint(hint));
    }
    phase
}

fn action(parameters: &Node, findings: &mut Findings) -> Action {
    // The key alone counts as true, as it always did; a plain `false` now means what it says.
    let mut flag = |key: &str| {
        let Some(node) = parameters.get(key) else { return false };
        if !matches!(node.value, Value::Bool(_) | Value::Null) {
            let message = format!("'{key}' is {}, not true or false; it counts as true", node.kind());
            findings.warnings.push(node.fault(message));
        }
        node.as_bool() != Some(false)
    };
    match (flag("build-only"), flag("uninstall")) {
        (true, _) => Action::BuildOnly,
        (false, true) => Action::Uninstall,
        (false, false) => Action::Install,
    }
}

fn arch(package: &str, place: &Place, parameters: &Node, findings: &mut Findings) -> Option<Arch> {
    let mut list = |key: &str| match architectures(parameters.get(key)?) {
        Ok(names) => Some(names),
        Err(fault) => {
            findings.faults.push(fault);
            None
        }
    };
    match (list("arch"), list("not-arch")) {
        (Some(_), Some(_)) => {
            let message = format!("'{package}' has both arch and not-arch");
            findings.faults.push(Fault::at(place.clone(), message).hint("keep one of the two"));
            None
        }
        (Some(names), None) => Some(Arch::OneOf(names)),
        (None, Some(names)) => Some(Arch::NoneOf(names)),
        (None, None) => None,
    }
}

fn architectures(node: &Node) -> Result<Vec<String>, Fault> {
    let wrong = |n: &Node| n.fault(format!("a comma-separated list of architectures is expected, not {}", n.kind()));
    let texts = match node.as_list() {
        Some(items) => items.iter().map(|i| i.text().ok_or_else(|| wrong(i))).collect::<Result<Vec<_>, _>>()?,
        None => vec![node.text().ok_or_else(|| wrong(node))?],
    };
    let names = texts.iter().flat_map(|t| t.split(',')).map(str::trim).filter(|n| !n.is_empty());
    Ok(names.map(str::to_owned).collect())
}

impl Wish {
    /// Whether it applies for an element of this install type in this environment.
    ///
    /// # Errors
    /// When a `when` line or an architecture list needs a variable that is not set.
    pub fn applies(&self, element_install_type: &Var, lookup: Lookup) -> Result<Applies, Fault> {
        let mut verdict = self.install_type_fits(element_install_type);
        verdict = verdict.and(|| self.arch_fits(lookup))?;
        verdict = verdict.and(|| Ok(self.python_fits(lookup)))?;
        for when in &self.when {
            verdict = verdict.and(|| when.holds(lookup))?;
        }
        Ok(verdict)
    }

    fn install_type_fits(&self, element: &Var) -> Applies {
        let Some(wanted) = &self.install_type else { return Applies::Yes };
        match element {
            Var::Set(is) => (is == wanted).into(),
            Var::Unset => Applies::No,
            Var::Unknown => Applies::If(vec![format!("installtype = {wanted}")]),
        }
    }

    fn arch_fits(&self, lookup: Lookup) -> Result<Applies, Fault> {
        let Some(arch) = &self.arch else { return Ok(Applies::Yes) };
        let (names, listed, sign) = match arch {
            Arch::OneOf(names) => (names, true, "in"),
            Arch::NoneOf(names) => (names, false, "not in"),
        };
        match lookup("ARCH") {
            Var::Set(is) => Ok((names.contains(&is) == listed).into()),
            Var::Unset => Err(Fault::at(self.place.clone(), "The variable <ARCH> is not set")),
            Var::Unknown => Ok(Applies::If(vec![format!("ARCH {sign} {}", names.join(","))])),
        }
    }

    fn python_fits(&self, lookup: Lookup) -> Applies {
        let Some(wanted) = &self.python else { return Applies::Yes };
        match lookup("DIB_PYTHON_VERSION") {
            Var::Set(is) => (is == *wanted).into(),
            Var::Unset => Applies::No,
            Var::Unknown => Applies::If(vec![format!("DIB_PYTHON_VERSION = {wanted}")]),
        }
    }
}

/// The install type of an element (contract 3.7): its own variable, else the default one, else `source`.
pub fn install_type(element: &str, lookup: Lookup) -> Var {
    match lookup(&format!("DIB_INSTALLTYPE_{}", element.replace('-', "_"))) {
        Var::Unset => match lookup("DIB_DEFAULT_INSTALLTYPE") {
            Var::Unset => Var::Set("source".to_owned()),
            set_or_unknown => set_or_unknown,
        },
        set_or_unknown => set_or_unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Wish>, Findings) {
        let mut findings = Findings::default();
        let wishes = parse(text, Path::new("pi.yaml"), &mut findings);
        (wishes, findings)
    }

    fn shown(faults: &[Fault]) -> Vec<String> {
        let one = |f: &Fault| format!("{f} ({})", f.hint.as_deref().unwrap_or("-"));
        faults.iter().map(one).collect()
    }

    #[test]
    fn unknown_keys_and_phases_are_warnings_with_line_and_hint() {
        let (wishes, findings) =
            read("a:\n  not_arch: arm64\nb:\n  phase: install\nc:\n  phase: cleanup.d\n  zzz: 1\n");
        assert_eq!(wishes.len(), 1);
        assert!(findings.faults.is_empty());
        assert_eq!(
            shown(&findings.warnings),
            [
                "pi.yaml:2:3: unknown key 'not_arch' of package 'a' (did you mean 'not-arch'?)",
                "pi.yaml:4:10: unknown phase 'install': the package is ignored (did you mean 'install.d'?)",
                "pi.yaml:7:3: unknown key 'zzz' of package 'c' (known keys: phase, installtype, uninstall, \
                 build-only, arch, not-arch, dib_python_version, when)",
                "pi.yaml:6:10: unknown phase 'cleanup.d': the package is ignored (packages are installed in \
                 pre-install.d, install.d, post-install.d)",
            ]
        );
    }

    #[test]
    fn all_mistakes_of_a_file_are_found() {
        let (_, findings) = read("a:\n  arch: x\n  not-arch: y\nb: 5\nc:\n  when: nonsense\nd:\n  arch: {x: y}\n");
        let lines: Vec<_> = findings.faults.iter().map(|f| f.place.as_ref().unwrap().line.unwrap()).collect();
        assert_eq!(lines, [1, 4, 6, 8]);
        assert!(findings.faults[0].message.contains("both arch and not-arch"));
    }

    #[test]
    fn a_file_that_is_no_map_is_a_fault_and_an_empty_one_is_fine() {
        assert_eq!(read("- a\n").1.faults.len(), 1);
        let (wishes, findings) = read("");
        assert!(wishes.is_empty() && findings.faults.is_empty());
        assert_eq!(read("a: [").1.faults.len(), 1);
    }

    #[test]
    fn uninstall_false_does_not_uninstall() {
        let action = |text: &str| read(text).0[0].action;
        assert_eq!(action("a: {uninstall: false}"), Action::Install);
        assert_eq!(action("a: {uninstall: False}"), Action::Install);
        assert_eq!(action("a: {uninstall: }"), Action::Uninstall);
        assert_eq!(action("a: {uninstall: true}"), Action::Uninstall);
        assert_eq!(action("a: {build-only: false}"), Action::Install);
        assert_eq!(action("a: {build-only: true}"), Action::BuildOnly);
        let (wishes, findings) = read("a: {uninstall: please}");
        assert_eq!(wishes[0].action, Action::Uninstall);
        assert_eq!(findings.warnings.len(), 1);
    }

    #[test]
    fn p13_blanks_around_architectures_do_not_count() {
        let (wishes, _) = read("a: {arch: 'amd64, arm64'}\nb: {not-arch: [amd64, arm64]}\n");
        let arm = |name: &str| if name == "ARCH" { Var::Set("arm64".into()) } else { Var::Unset };
        let source = Var::Set("source".into());
        assert_eq!(wishes[0].applies(&source, &arm), Ok(Applies::Yes));
        assert_eq!(wishes[1].applies(&source, &arm), Ok(Applies::No));
    }

    #[test]
    fn install_types_come_from_the_element_then_the_default() {
        let lookup = |name: &str| match name {
            "DIB_INSTALLTYPE_my_element" => Var::Set("package".into()),
            "DIB_DEFAULT_INSTALLTYPE" => Var::Set("tarball".into()),
            _ => Var::Unset,
        };
        assert_eq!(install_type("my-element", &lookup), Var::Set("package".into()));
        assert_eq!(install_type("other", &lookup), Var::Set("tarball".into()));
        assert_eq!(install_type("other", &|_| Var::Unset), Var::Set("source".into()));
    }

    #[test]
    fn python_versions_compare_as_text() {
        let (wishes, _) = read("a: {dib_python_version: 3}");
        let with = |version: Var| wishes[0].applies(&Var::Unset, &move |_| version.clone()).unwrap();
        assert_eq!(with(Var::Set("3".into())), Applies::Yes);
        assert_eq!(with(Var::Set("2".into())), Applies::No);
        assert_eq!(with(Var::Unset), Applies::No);
    }
}
