//! Element trees of other projects, fetched by `make setup-test` (tests/setup/element-trees.txt).

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Sandbox, skip, skip_without_data, test_data};

/// A tree: the name of its test data, and where in it the elements are.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    name: &'static str,
    elements: &'static str,
}

/// diskimage-builder's own.
pub const UPSTREAM: Tree = Tree { name: "diskimage-builder-3.43.0", elements: "diskimage_builder/elements" };
/// For bare metal: the agent's ramdisk.
pub const IRONIC: Tree = Tree {
    name: "ironic-python-agent-builder-7.4.0",
    elements: "ironic_python_agent_builder-7.4.0.data/data/share/ironic-python-agent-builder/dib",
};
/// OpenStack on OpenStack.
pub const TRIPLEO: Tree = Tree {
    name: "tripleo-image-elements-15.0.0",
    elements: "tripleo_image_elements-15.0.0.data/data/share/tripleo-image-elements",
};
/// Data processing.
pub const SAHARA: Tree = Tree {
    name: "sahara-image-elements-19.0.0",
    elements: "sahara_image_elements-19.0.0.data/data/share/sahara-elements/elements",
};
/// Load balancers.
pub const OCTAVIA: Tree = Tree { name: "octavia-19.0.0", elements: "elements" };

impl Tree {
    /// The directory of its elements.
    pub fn path(self) -> PathBuf {
        test_data(self.name).join(self.elements)
    }

    /// The names of its elements.
    pub fn elements(self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap().flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// True when the test is to be skipped because one of the trees is missing.
pub fn skip_without_trees(trees: &[Tree]) -> bool {
    skip_without_data(&trees.iter().map(|tree| tree.name).collect::<Vec<_>>())
}

/// `ELEMENTS_PATH` with these trees, the first one first.
pub fn elements_path(trees: &[Tree]) -> String {
    trees.iter().map(|tree| tree.path().display().to_string()).collect::<Vec<_>>().join(":")
}

/// A sandbox whose elements are those of the trees.
pub fn sandbox(trees: &[Tree]) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.env("ELEMENTS_PATH", &elements_path(trees));
    sandbox
}

/// The archives of a release, as diskimage-builder's Debian elements want them told.
#[derive(Debug, Clone, Copy)]
pub struct Archives {
    main: &'static str,
    security: &'static str,
}

impl Archives {
    /// Those that this host's apt has for Debian 12; `None` when it has none.
    pub fn of_host() -> Option<Self> {
        let mut apt = Command::new("apt-get");
        let output = apt.args(["indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(REPO_URI)"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let of = |suite: &str| {
            let prefix = format!("Packages {suite} ");
            let line = text.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
            line.map(|uri| &*uri.to_owned().leak())
        };
        Some(Self { main: of("bookworm")?, security: of("bookworm-security")? })
    }

    /// The suites of a release as sources of apt, with names before them. A mirror that stands still will do.
    pub fn sources(&self, release: &str) -> [(&'static str, String); 3] {
        let line = |uri: &str, suite: &str| format!("deb [check-valid-until=no] {uri} {release}{suite} main");
        [
            ("default", line(self.main, "")),
            ("updates", line(self.main, "-updates")),
            ("security", line(self.security, "-security")),
        ]
    }

    /// The variables for a release.
    pub fn variables(&self, release: &'static str) -> Vec<(&'static str, &'static str)> {
        let sources = self.sources(release).map(|(name, line)| format!("{name}:{line}\n"));
        vec![
            ("DIB_RELEASE", release),
            ("DIB_DISTRIBUTION_MIRROR", self.main),
            ("DIB_DEBIAN_SECURITY_MIRROR", self.security),
            ("DIB_APT_SOURCES_CONF", sources.concat().leak()),
        ]
    }
}

/// True when the test is to be skipped because the host's apt has no archive of Debian 12.
pub fn skip_without_archives() -> bool {
    skip(Archives::of_host().is_none().then(|| "an apt that has the archives of Debian 12".to_owned()))
}

/// A git repository with these files, for sources whose own server cannot be reached.
pub fn git_repository(dir: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(dir).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
        assert!(git.output().unwrap().status.success(), "git {args:?}");
    };
    git(&["init", "--quiet", "--initial-branch", "master"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "All"]);
}

/// A git repository of a Python project that needs nothing and installs programs of these names.
pub fn git_of_programs(dir: &Path, project: &str, programs: &[&str]) {
    let setup = format!("from setuptools import setup\nsetup(name='{project}', version='1.0', scripts={programs:?})\n");
    let program = "#!/usr/bin/env python3\nprint('a stand-in')\n";
    let mut files = vec![("setup.py", setup.as_str())];
    files.extend(programs.iter().map(|name| (*name, program)));
    git_repository(dir, &files);
}

/// simple-init's git repository, for a build in the sandbox: its server cannot be reached from everywhere. Cloned
/// always, it is used only on request; as a rule glean comes from the Python index.
pub fn give_glean(sandbox: &mut Sandbox) {
    let dir = sandbox.path("glean");
    git_repository(&dir, &[("README.rst", "glean\n")]);
    sandbox.env("DIB_REPOLOCATION_glean", &dir.display().to_string());
}
