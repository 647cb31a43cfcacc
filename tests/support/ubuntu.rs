//! An archive of Ubuntu's shape: suites with its names, signed with a key of the test's own, over the packages of
//! the host's own archive (Debian's). Ubuntu's is not everywhere to be reached.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The archive, served until the test ends.
pub struct Ubuntu {
    dir: PathBuf,
    port: u16,
}

impl Ubuntu {
    /// Makes the archive in `dir`: the suites `noble`, with all packages, `noble-updates`, with none, and
    /// `noble-security`, with those of the host's security suite.
    pub fn new(dir: &Path) -> Self {
        let (mirror, packages) = host_packages("bookworm");
        let (security, patched) = host_packages("bookworm-security");
        fs::create_dir_all(dir).unwrap();
        make_key(dir);
        // What Debian has under other names, or not at all.
        let own =
            ["linux-image-generic", "pollinate", "ubuntu-cloudimage-keyring"].map(|name| empty_package(dir, name));
        write_suite(dir, "noble", &format!("{packages}\n{}", own.concat()));
        write_suite(dir, "noble-updates", "");
        write_suite(dir, "noble-security", &patched);
        // gpg has started it, and it would stay.
        output(Command::new("gpgconf").arg("--homedir").arg(dir.join("gnupg")).args(["--kill", "gpg-agent"]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = dir.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, mirrors) = (root.clone(), [mirror.clone(), security.clone()]);
                std::thread::spawn(move || answer(stream, &root, &mirrors).ok());
            }
        });
        Self { dir: dir.to_owned(), port }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file with the public key.
    pub fn keyring(&self) -> PathBuf {
        self.dir.join("keys/test.gpg")
    }
}

/// Address of a suite of the host's archive and its list of packages.
fn host_packages(suite: &str) -> (String, String) {
    let which = ["Created-By: Packages", &format!("Release: {suite}"), "Component: main"];
    let format = "$(REPO_URI) $(FILENAME)";
    let targets = output(Command::new("apt-get").args(["indextargets", "--format", format]).args(which));
    let line = targets.lines().next();
    let (mirror, file) = line.and_then(|l| l.split_once(' ')).expect("the host has Debian 12's package lists");
    (mirror.to_owned(), output(Command::new("/usr/lib/apt/apt-helper").args(["cat-file", file])))
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn gpg(dir: &Path) -> Command {
    let mut gpg = Command::new("gpg");
    gpg.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]);
    gpg.arg("--homedir").arg(dir.join("gnupg"));
    gpg
}

fn make_key(dir: &Path) {
    let home = dir.join("gnupg");
    fs::create_dir_all(&home).unwrap();
    fs::create_dir_all(dir.join("keys")).unwrap();
    output(Command::new("chmod").arg("700").arg(&home));
    output(gpg(dir).args(["--quick-generate-key", "test", "ed25519", "sign", "never"]));
    output(gpg(dir).arg("--output").arg(dir.join("keys/test.gpg")).args(["--export", "test"]));
    // mmdebstrap's apt reads it as another user.
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(dir.join("keys")));
}

/// A package without files; the result is its paragraph in the list.
fn empty_package(dir: &Path, name: &str) -> String {
    let tree = dir.join("package/DEBIAN");
    fs::create_dir_all(&tree).unwrap();
    let fields = format!("Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: t <t@localhost>\n");
    fs::write(tree.join("control"), format!("{fields}Description: nothing\n")).unwrap();
    let place = format!("local/{name}.deb");
    fs::create_dir_all(dir.join("local")).unwrap();
    let file = dir.join(&place);
    output(Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(tree.parent().unwrap()).arg(&file));
    let bytes = fs::read(&file).unwrap();
    format!("{fields}Filename: {place}\nSize: {}\nSHA256: {}\nDescription: nothing\n\n", bytes.len(), sha256(&bytes))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_suite(dir: &Path, suite: &str, packages: &str) {
    let suite_dir = dir.join("dists").join(suite);
    let mut release = format!(
        "Origin: Ubuntu\nLabel: Ubuntu\nSuite: {suite}\nCodename: {}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n\
         Architectures: amd64\nComponents: main universe\nSHA256:\n",
        suite.split('-').next().unwrap()
    );
    for (component, text) in [("main", packages), ("universe", "")] {
        let place = format!("{component}/binary-amd64/Packages");
        fs::create_dir_all(suite_dir.join(&place).parent().unwrap()).unwrap();
        fs::write(suite_dir.join(&place), text).unwrap();
        release += &format!(" {} {} {place}\n", sha256(text.as_bytes()), text.len());
    }
    fs::write(suite_dir.join("Release"), release).unwrap();
    let signed = suite_dir.join("InRelease");
    output(gpg(dir).arg("--clearsign").arg("--output").arg(signed).arg(suite_dir.join("Release")));
}

/// Lists are answered from `root`; for packages the client is sent to the host's archive, or to its security archive.
fn answer(mut stream: TcpStream, root: &Path, [mirror, security]: &[String; 2]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    if let Ok(body) = fs::read(root.join(&path)) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        return stream.write_all(&body);
    }
    let head = if path.starts_with("pool/") {
        let mirror = if path.starts_with("pool/updates/") { security } else { mirror };
        format!("302 Found\r\nLocation: {}/{path}", mirror.trim_end_matches('/'))
    } else {
        "404 Not Found".to_owned()
    };
    stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
}
