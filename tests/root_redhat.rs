//! Elements tier: the small elements of the Red Hat family, in trees with the real dnf.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::rpm::Rpm;
use support::standin::Standin;
use support::{Outcome, Sandbox, skip_without, skip_without_root};

const SMALL: &str = "basesystem bash coreutils dnf findutils gawk grep rocky-repos rpm sed";

/// A sandbox that builds small Rocky trees.
fn sandbox(standin: &Standin) -> Sandbox {
    let mut sandbox = Sandbox::new();
    standin.give_to(&mut sandbox);
    sandbox.env("DIB_ROCKY_PACKAGES", SMALL);
    sandbox
}

/// Builds `out/x.tar`.
fn build(sandbox: &Sandbox, elements: &[&str]) -> Outcome {
    sandbox.run_long([&["-n", "-t", "tar", "-o", "x", "rocky-minimal"], elements].concat())
}

/// The text of a file in `out/x.tar`.
fn in_tar(sandbox: &Sandbox, file: &str) -> String {
    let out = Command::new("tar").arg("-xOf").arg(sandbox.path("out/x.tar")).arg(format!("./{file}")).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// What Rocky's `/etc/selinux/config` has in it.
const SELINUX: &str = "# SELINUX= can take one of these three values:\n#     enforcing\nSELINUX=enforcing\n\
    # SELINUXTYPE= can take one of these three values:\nSELINUXTYPE=targeted\n";

#[test]
fn selinux_is_set_to_permissive_or_disabled_where_it_is() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let hook = "mkdir -p /etc/selinux\ncp /tmp/in_target.d/selinux/config /etc/selinux/config";
    sandbox.element("policy").file("selinux/config", SELINUX).hook("install.d/50-policy", hook);
    for (element, mode) in [("selinux-permissive", "permissive"), ("disable-selinux", "disabled")] {
        sandbox.run(["-n", "-t", "tar", "-o", "x", "fake-os", "policy", element]).succeeded();
        let config = in_tar(&sandbox, "etc/selinux/config");
        assert_eq!(config, SELINUX.replace("SELINUX=enforcing", &format!("SELINUX={mode}")));
        // An image without SELinux does not get its directory.
        sandbox.run(["-n", "-t", "tar", "-o", "y", "fake-os", element]).succeeded();
        let out = Command::new("tar").arg("-tf").arg(sandbox.path("out/y.tar")).output().unwrap();
        assert!(!String::from_utf8(out.stdout).unwrap().contains("etc/selinux"));
    }
}

/// Makes a repository of packages in `dir`.
fn repository(dir: &Path, packages: &[std::path::PathBuf], modules: Option<&str>) {
    fs::create_dir_all(dir).unwrap();
    for package in packages {
        fs::copy(package, dir.join(package.file_name().unwrap())).unwrap();
    }
    assert!(Command::new("createrepo_c").arg("-q").arg(dir).status().unwrap().success());
    if let Some(modules) = modules {
        let file = dir.parent().unwrap().join("modules.yaml");
        fs::write(&file, modules).unwrap();
        let mut modify = Command::new("modifyrepo_c");
        modify.arg("--mdtype=modules").arg(&file).arg(dir.join("repodata"));
        assert!(modify.output().unwrap().status.success());
    }
}

/// Turns on the repository in `extras/` of an element, as the image sees it.
const EXTRAS: &str = "printf '[extras]\\nname=extras\\nbaseurl=file:///tmp/in_target.d/extras\\ngpgcheck=0\\n' \
    > /etc/yum.repos.d/extras.repo";

/// The repository file of EPEL, as its release package has it.
const EPEL_REPO: &str = "[epel]\nname=Extra Packages for Enterprise Linux $releasever - $basearch\n\
    # a comment\n#baseurl=https://download.example/pub/epel/$releasever/Everything/$basearch/\n\
    metalink=https://mirrors.fedoraproject.org/metalink?repo=epel-$releasever&arch=$basearch\nenabled=1\ngpgcheck=0\n\n\
    [epel-debuginfo]\nname=Debug\n#baseurl=https://download.example/pub/epel/$releasever/Everything/$basearch/debug/\n\
    metalink=https://mirrors.fedoraproject.org/metalink?repo=epel-debug-$releasever&arch=$basearch\nenabled=0\n";

#[test]
fn epel_is_there_from_the_mirror_that_was_chosen_or_turned_off() {
    let Some(standin) = Standin::get() else { return };
    if skip_without(&["rpmbuild", "createrepo_c"]) {
        return;
    }
    let mut sandbox = sandbox(&standin);
    let files = [("/etc/yum.repos.d/epel.repo", 0o644, EPEL_REPO)];
    let release = Rpm { name: "epel-release", files: &files, ..Rpm::default() }.build(&sandbox);
    let htop = Rpm { name: "htop", ..Rpm::default() }.build(&sandbox);
    let extras = sandbox.element("extras").hook("pre-install.d/04-extras", EXTRAS);
    repository(&extras.dir().join("extras"), &[release], None);
    repository(&extras.dir().join("epel/9/Everything/x86_64"), &[htop], None);
    sandbox.env("DIB_EPEL_MIRROR", "file:///tmp/in_target.d/epel/");
    sandbox.element("uses").file("package-installs.json", r#"{"htop": {}}"#).deps(&["package-installs"]);
    build(&sandbox, &["extras", "epel", "uses"]).succeeded().says("Installed: htop");
    let text = in_tar(&sandbox, "etc/yum.repos.d/epel.repo");
    let base = "\nbaseurl=file:///tmp/in_target.d/epel/$releasever/Everything/$basearch/";
    assert_eq!((text.matches(base).count(), text.matches("\nmetalink=").count()), (2, 0), "{text}");
    assert_eq!(text.matches("\nenabled=1\n").count(), 1, "{text}");

    sandbox.env("DIB_EPEL_DISABLED", "1");
    build(&sandbox, &["extras", "epel"]).succeeded();
    assert_eq!(in_tar(&sandbox, "etc/yum.repos.d/epel.repo").matches("\nenabled=0\n").count(), 2);
    build(&sandbox, &["extras", "epel", "uses"]).failed(1).says("htop");
    sandbox.assert_clean();
}

/// Two streams of a module, the first of which is the default.
const MODULES: &str = "---
document: modulemd-defaults
version: 1
data:
  module: tool
  stream: 'one'
";

/// A stream of the module with the package `tool` of a version.
fn stream(stream: &str, version: &str) -> String {
    format!(
        "---\ndocument: modulemd\nversion: 2\ndata:\n  name: tool\n  stream: '{stream}'\n  version: 1\n  context: c0ffee\n  \
         arch: x86_64\n  summary: a tool\n  description: a tool\n  license:\n    module: [MIT]\n  artifacts:\n    rpms:\n    \
         - tool-0:{version}-1.noarch\n"
    )
}

#[test]
fn the_chosen_stream_of_a_module_is_installed() {
    let Some(standin) = Standin::get() else { return };
    if skip_without(&["rpmbuild", "createrepo_c", "modifyrepo_c"]) {
        return;
    }
    let mut sandbox = sandbox(&standin);
    let tool = |version| Rpm { name: "tool", version, ..Rpm::default() }.build(&sandbox);
    let packages = [tool("1"), tool("2")];
    let extras = sandbox.element("extras").hook("root.d/90-extras", &EXTRAS.replace("> /etc", "> $TARGET_ROOT/etc"));
    let modules = [MODULES, &stream("one", "1"), &stream("two", "2")].concat();
    repository(&extras.dir().join("extras"), &packages, Some(&modules));
    sandbox.element("uses").file("package-installs.json", r#"{"tool": {}}"#).deps(&["package-installs"]);
    build(&sandbox, &["extras", "uses"]).succeeded().says("Installed: tool-1-1");
    sandbox.env("DIB_DNF_MODULE_STREAMS", "tool:two");
    build(&sandbox, &["extras", "uses"]).succeeded().says("Installed: tool-2-1");
    assert!(in_tar(&sandbox, "etc/dnf/modules.d/tool.module").contains("stream=two"));
    sandbox.env("DIB_DNF_MODULE_STREAMS", "tool:three");
    build(&sandbox, &["extras", "uses"]).failed(1).says("pre-install.d/02-dnf-module-streams");
    sandbox.assert_clean();
}
