//! A repository of small packages that are made here, for what the stand-in's packages cannot show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;

/// A package: its name, a line of its header, and its files with their attributes.
type Package = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The packages of the repository.
const PACKAGES: &[Package] = &[
    (
        "probe",
        "Recommends: probe-recommended",
        &[
            ("", "/usr/bin/probe"),
            ("%doc", "/usr/share/doc/probe/README"),
            ("%lang(de)", "/usr/share/locale/de/LC_MESSAGES/probe.mo"),
            ("%lang(fr)", "/usr/share/locale/fr/LC_MESSAGES/probe.mo"),
        ],
    ),
    ("probe-recommended", "", &[("", "/usr/bin/probe-recommended")]),
    // Moves the database to where release 10 and Fedora have it: its content is the setting, and read after that of the
    // stand-in's rpm.
    ("probe-database", "", &[("", "/etc/rpm/x86_64-linux/macros")]),
];

/// What every file of the packages holds.
const CONTENT: &str = "%_dbpath /usr/lib/sysimage/rpm\n";

/// The repository file of a repository of [`PACKAGES`] in `dir`, signed with a key of their own if `signed`. `lines` are
/// added to the repository file.
pub fn repository_file(dir: &Path, signed: bool, lines: &str) -> PathBuf {
    let top = dir.join("probes");
    let packages = top.join("repository");
    for (name, header, files) in PACKAGES {
        let mut spec = format!(
            "Name: {name}\nVersion: 1\nRelease: 1\nSummary: A probe\nLicense: none\nBuildArch: noarch\n\
             AutoReqProv: no\n{header}\n%description\nA probe.\n%install\n"
        );
        for (_, file) in *files {
            spec += &format!("install -D -m 644 %{{content}} %{{buildroot}}{file}\n");
        }
        spec += "%files\n";
        for (attributes, file) in *files {
            spec += &format!("{attributes} {file}\n");
        }
        fs::create_dir_all(&packages).unwrap();
        fs::write(top.join("content"), CONTENT).unwrap();
        fs::write(top.join(format!("{name}.spec")), spec).unwrap();
        let define = |name: &str, value: &Path| format!("{name} {}", value.display());
        run(Command::new("rpmbuild")
            .args(["-bb", "--quiet", "--define", &define("_topdir", &top.join("build"))])
            .args(["--define", &define("_rpmdir", &packages), "--define", &define("content", &top.join("content"))])
            .args(["--define", "__os_install_post %{nil}", "--define", "_build_id_links none"])
            .arg(top.join(format!("{name}.spec")))
            .env("HOME", &top));
    }
    let key = top.join("key.asc");
    if signed {
        let files = fs::read_dir(packages.join("noarch")).unwrap().map(|entry| entry.unwrap().path());
        sign(files.collect(), &key);
    }
    run(Command::new("createrepo_c").arg("--quiet").arg(&packages));
    let gpgkey = if signed { format!("gpgkey=file://{}", key.display()) } else { String::new() };
    let file = dir.join("probes.repo");
    let text = format!("[probes]\nname=Probes\nbaseurl=file://{}\n{gpgkey}\n{lines}\n", packages.display());
    fs::write(&file, text).unwrap();
    file
}

/// Signs packages with a key that is made here, and forgotten; its public half goes to `public`.
fn sign(packages: Vec<PathBuf>, public: &Path) {
    // A short path: the agent's socket is in there.
    let home = tempfile::tempdir().unwrap();
    let gpg = |args: &[&str]| run(Command::new("gpg").args(["--batch", "--homedir"]).arg(home.path()).args(args));
    gpg(&["--passphrase", "", "--quick-generate-key", "probes", "rsa2048", "sign", "never"]);
    fs::write(public, gpg(&["--armor", "--export"])).unwrap();
    run(Command::new("rpmsign")
        .args(["--addsign", "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_name probes"])
        .args(packages)
        .env("GNUPGHOME", home.path()));
    run(Command::new("gpgconf").args(["--homedir"]).arg(home.path()).args(["--kill", "gpg-agent"]));
}
