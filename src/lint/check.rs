//! The names of the checks, and how grave each is.

use serde::Serialize;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// diskimage-builder's linter finds it too: `dib-lint` ends in 1.
    Error,
    /// Only this linter finds it: `dib-lint` tells it and ends as it did before, so that trees which passed
    /// still pass.
    Warning,
}

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Every element has a README.rst.
    Readme,
    /// A `source-repository-*` ends with a newline.
    SourceRepository,
    /// What starts with `#!` is executable.
    Executable,
    /// flake8 is content.
    PythonStyle,
    /// Lines are indented by multiples of four.
    Indent,
    /// `element-deps` is sorted.
    DepsOrder,
    /// bash is called `#!/bin/bash`.
    Interpreter,
    /// `set -e`.
    SetE,
    /// `set -u`.
    SetU,
    /// `set -o pipefail`.
    SetPipefail,
    /// Scripts can be traced.
    DibDebugTrace,
    /// Files of environment.d do not trace and are not executable.
    Environment,
    /// `export X=$(...)` hides the status of the command.
    ExportSubstitution,
    /// sudo on the host touches the tree only.
    SafeSudo,
    /// `which` is no part of a minimal system.
    Which,
    /// No tabs in front of lines.
    TabIndent,
    /// Files end with a newline.
    Newline,
    /// Documents are reStructuredText.
    MdDocs,
    /// YAML can be read.
    Yaml,
    /// A pkg-map is JSON.
    PkgMapJson,
    /// A script in a phase folder that does not run.
    NeverRuns,
    /// A variable that nothing sets, under `set -u`.
    Unset,
    /// A folder that looks like a phase and is none.
    Phase,
    /// Something in a phase folder that is no hook.
    PhaseData,
    /// A name that some families have a row for in the map, and one has not.
    MapRow,
    /// Something that a build would stop for or warn of.
    Definition,
}

impl Check {
    /// The name by which a file or a repository excludes it.
    pub fn name(self) -> &'static str {
        match self {
            Check::Readme => "readme",
            Check::SourceRepository => "sourcerepository",
            Check::Executable => "executable",
            Check::PythonStyle => "pythonstyle",
            Check::Indent => "indent",
            Check::DepsOrder => "depsorder",
            Check::Interpreter => "interpreter",
            Check::SetE => "sete",
            Check::SetU => "setu",
            Check::SetPipefail => "setpipefail",
            Check::DibDebugTrace => "dibdebugtrace",
            Check::Environment => "environment",
            Check::ExportSubstitution => "exportsubst",
            Check::SafeSudo => "safe_sudo",
            Check::Which => "which",
            Check::TabIndent => "tabindent",
            Check::Newline => "newline",
            Check::MdDocs => "mddocs",
            Check::Yaml => "yaml",
            Check::PkgMapJson => "pkgmapjson",
            Check::NeverRuns => "neverruns",
            Check::Unset => "unset",
            Check::Phase => "phase",
            Check::PhaseData => "phasedata",
            Check::MapRow => "maprow",
            Check::Definition => "definition",
        }
    }

    /// Whether it can be excluded: diskimage-builder lets only some be, and those keep it so.
    pub fn can_be_disabled(self) -> bool {
        use Check::{
            DibDebugTrace, Executable, Indent, MdDocs, Newline, SafeSudo, SetE, SetPipefail, SetU, TabIndent, Which,
        };
        let named =
            [Executable, Indent, SetE, SetU, SetPipefail, DibDebugTrace, SafeSudo, Which, TabIndent, Newline, MdDocs];
        self.severity() == Severity::Warning || named.contains(&self)
    }

    /// How grave its findings are.
    pub fn severity(self) -> Severity {
        if self < Check::NeverRuns { Severity::Error } else { Severity::Warning }
    }
}
