//! A repository of small packages that are made here, for what the stand-in's packages cannot show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;
use crate::support::repository;

/// The packages: name, lines of the header, and files with their attributes.
const PACKAGES: &[(&str, &str, &[(&str, &str)])] = &[
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
    // Moves the database to where release 10 and Fedora have it; its content is the setting.
    ("probe-database", "", &[("", "/usr/lib/rpm/macros.d/macros.probe")]),
];

/// What every file of the packages holds.
const CONTENT: &str = "%_dbpath /usr/lib/sysimage/rpm\n";

/// The repository file of a repository of [`PACKAGES`] in `dir`, signed with the stand-in's key if `signed`. `lines` are
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
    if signed {
        let key = repository().join("target/rocky-standin/key");
        let files = fs::read_dir(packages.join("noarch")).unwrap().map(|entry| entry.unwrap().path());
        run(Command::new("rpmsign")
            .args(["--addsign", "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_name @"])
            .args(files)
            .env("GNUPGHOME", key)
            .env("HOME", &top));
    }
    run(Command::new("createrepo_c").arg("--quiet").arg(&packages));
    let file = dir.join("probes.repo");
    fs::write(&file, format!("[probes]\nname=Probes\nbaseurl=file://{}\n{lines}\n", packages.display())).unwrap();
    file
}
