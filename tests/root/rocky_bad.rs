//! What the dnf family says when its repositories, packages and keys are not as they should be.
//! Each message is one explanation, with the exit code of its kind, and nothing is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Answer, Mirror, Outcome, Rpms, Sandbox, Standin};

/// A sandbox that builds a few packages of the stand-in.
struct Case {
    sandbox: Sandbox,
    standin: Standin,
}

impl Case {
    /// `None`: the test is skipped.
    fn new() -> Option<Self> {
        let standin = Standin::get()?;
        let mut sandbox = Sandbox::new();
        standin.give_to(&mut sandbox);
        sandbox.env("DIB_ROCKY_PACKAGES", "basesystem bash");
        Some(Self { sandbox, standin })
    }

    fn env(&mut self, name: &str, value: impl AsRef<Path>) -> &mut Self {
        self.sandbox.env(name, &value.as_ref().to_string_lossy());
        self
    }

    /// A server with the stand-in's files becomes the mirror.
    fn served(&mut self, answers: &[(&'static str, Answer)]) -> Mirror {
        let mirror = Mirror::of(&self.standin.mirror(), answers);
        self.env("DIB_ROCKY_MIRROR", mirror.url());
        mirror
    }

    /// The packages of `rpms` can be installed too; `package` is.
    fn with(&mut self, rpms: &Rpms, keys: &[&Path], package: &str) -> &mut Self {
        let all = self.sandbox.path("keys");
        let mut text = fs::read(self.standin.key()).unwrap();
        keys.iter().for_each(|key| text.extend(fs::read(key).unwrap()));
        fs::write(&all, text).unwrap();
        let file = rpms.repository_file(&all);
        self.env("DIB_YUM_MINIMAL_EXTRA_REPOS", file).env("DIB_ROCKY_GPG_KEY", all);
        self.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", package)
    }

    /// The build fails with `code`; the explanation is what the user reads last, and nothing is left.
    #[track_caller]
    fn fails(&self, code: i32) -> Outcome {
        let mut outcome = self.run().failed(code);
        let end = outcome.stderr.rfind("error: hook root.d/08-yum-minimal").expect("the hook's failure");
        let last = &outcome.stderr[end..];
        assert!(last.contains("\n  because: "), "{last}");
        assert!(last.lines().count() <= 16, "too long: {last}");
        self.sandbox.assert_clean();
        outcome.stderr = last.to_owned();
        outcome
    }

    fn run(&self) -> Outcome {
        self.sandbox.run(["-n", "-t", "tar", "-o", "x", "rocky-minimal"])
    }
}

#[test]
fn mirrors_that_answer_with_something_else() {
    let Some(mut case) = Case::new() else { return };
    let _none = case.served(&[("/", Answer::Status(404))]);
    case.fails(1).says("repodata/repomd.xml answered with status 404").says("does the mirror have release 9?");
    let _down = case.served(&[("/", Answer::Status(503))]);
    case.fails(1).says("answered with status 503").says("try again later");
    let page = "<html><body>Welcome! Please log in.</body></html>";
    let _page = case.served(&[("/", Answer::Body(page))]);
    case.fails(1)
        .says("what came is no repository data")
        .says("A login page or a proxy")
        .says("asked: http://127.0.0.1");
    case.env("DIB_ROCKY_MIRROR", "http://127.0.0.1:1");
    case.fails(1).says("no connection to http://127.0.0.1:1/9/BaseOS/").says("is a proxy needed");
    // The same while the key is looked for that must have signed everything.
    case.env("DIB_ROCKY_GPG_KEY", "");
    case.fails(1).says("no connection to http://127.0.0.1:1/9/BaseOS/");
}

#[test]
fn repository_data_that_does_not_fit_its_files() {
    let Some(mut case) = Case::new() else { return };
    let _changed = case.served(&[("primary.xml", Answer::Changed)]);
    case.fails(1).says("reading repository '").says("its checksum differs").says("use another mirror");
    let _cut = case.served(&[("primary.xml", Answer::Cut)]);
    case.fails(1).says("primary.xml.gz came only in part");
    let _package = case.served(&[("/bash-", Answer::Changed)]);
    case.fails(1).says("downloading bash-").says("its checksum differs");
    let _gone = case.served(&[("/bash-", Answer::Status(404))]);
    case.fails(1).says("downloading bash-").says("answered with status 404");
}

#[test]
fn a_release_that_the_mirror_lacks() {
    let Some(mut case) = Case::new() else { return };
    case.env("DIB_RELEASE", "8.1");
    case.fails(2).says("has no release 8.1, it has 9, 9.4").says("hint: set DIB_RELEASE to one of them");
    let _mirror = case.served(&[]);
    case.fails(2).says("has no release 8.1, it has 9, 9.4");
    // A list of mirrors does not tell which releases there are.
    let (served, file) = (case.standin.serve(), case.sandbox.path("list.repo"));
    let list = format!("{}/mirrorlist?arch=$basearch&repo=BaseOS-$releasever", served.url());
    fs::write(&file, format!("[baseos]\nname=BaseOS\nmirrorlist={list}\n")).unwrap();
    case.env("DIB_YUM_REPO_CONF", &file);
    case.fails(1).says("repo=BaseOS-8.1 answered with status 404").says("does the mirror have release 8.1");
}

#[test]
fn names_that_no_repository_has() {
    let Some(mut case) = Case::new() else { return };
    case.env("DIB_ROCKY_PACKAGES", "bsh corutils xyzzyplugh");
    let failed = case.fails(2).says("no repository has the packages 'bsh', 'corutils' and 'xyzzyplugh'");
    failed
        .says("for 'bsh' did you mean 'bash'")
        .says("for 'corutils' did you mean 'coreutils'")
        .says("nearly like 'xyzzyplugh'");
    case.env("DIB_ROCKY_PACKAGES", "bash @cor");
    case.fails(2).says("no repository has the group 'cor'").says("for the group 'cor' did you mean 'core'");
}

#[test]
fn packages_that_cannot_be_installed_together() {
    let Some(mut case) = Case::new() else { return };
    let rpms = Rpms::new();
    rpms.signed("lacking", "Requires: middle").signed("middle", "Requires: no-such-thing >= 3");
    rpms.signed("against", "Conflicts: bash");
    case.with(&rpms, &[&rpms.key("good")], "lacking");
    let failed = case.fails(1).says("the packages cannot be installed together");
    failed.says("nothing provides no-such-thing >= 3 needed by middle-1-1.noarch").does_not_say("--skip-broken");
    case.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "against");
    case.fails(1).says("against-1-1.noarch conflicts with bash");
}

#[test]
fn signatures_that_are_missing_or_of_others() {
    let Some(mut case) = Case::new() else { return };
    let rpms = Rpms::new();
    rpms.package("unsigned", "");
    rpms.make_key("stranger", None);
    rpms.sign(&rpms.package("strange", ""), "stranger", None);
    case.with(&rpms, &[&rpms.key("good")], "unsigned");
    case.fails(1).says("checking the signature of unsigned-1-1.noarch.rpm: it has none");
    case.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "strange");
    case.fails(1).says("checking the signature of strange-1-1.noarch.rpm: it was made with another key than file://");
}

#[test]
fn a_key_file_that_is_no_key() {
    let Some(mut case) = Case::new() else { return };
    let file = case.sandbox.path("nokey");
    fs::write(&file, "<html>404</html>\n").unwrap();
    case.env("DIB_ROCKY_GPG_KEY", &file);
    case.fails(2).says("nokey holds no OpenPGP public key").says("gpg --armor --export");
    let file = case.sandbox.path("one.repo");
    let text =
        format!("[one]\nname=One\nbaseurl={}/9/BaseOS/x86_64/os/\ngpgkey=file:///nowhere/key\n", case.standin.url());
    fs::write(&file, text).unwrap();
    case.env("DIB_YUM_REPO_CONF", &file).env("DIB_ROCKY_GPG_KEY", "");
    case.fails(2).says("reading a key of the packages: there is no file:///nowhere/key");
}

#[test]
fn keys_from_the_future_say_that_the_clock_is_off() {
    let Some(mut case) = Case::new() else { return };
    let rpms = Rpms::new();
    let future = rpms.make_key("future", Some("20400101T000000"));
    rpms.sign(&rpms.package("tomorrow", ""), "future", Some("20400102T000000"));
    case.with(&rpms, &[&future], "tomorrow");
    case.fails(3)
        .says("checking the signature of tomorrow-1-1.noarch")
        .says("was made 2040-01-01 00:00 UTC")
        .says("set this machine's clock");
    case.env("DIB_ROCKY_GPG_KEY", &future);
    case.fails(3).says("is from the future").says("was made 2040-01-01 00:00 UTC").does_not_say("Downloading");
}

#[test]
fn a_server_with_another_time_says_that_the_clock_is_off() {
    let Some(mut case) = Case::new() else { return };
    if crate::support::skip_without(&["openssl", "python3", "curl"]) {
        return;
    }
    let server = TlsServer::start(&case.sandbox);
    case.env("DIB_ROCKY_MIRROR", &server.url);
    let failed = case.run().failed(3);
    failed
        .says("the certificate of https://127.0.0.1")
        .says("the server's 2040-01-01 00:00 UTC")
        .says("set this machine's clock");
    drop(server);
    case.sandbox.assert_clean();
}

/// A server whose certificate nobody has signed, and whose clock is years ahead.
struct TlsServer {
    process: std::process::Child,
    url: PathBuf,
}

impl TlsServer {
    fn start(sandbox: &Sandbox) -> Self {
        let (key, certificate) = (sandbox.path("tls.key"), sandbox.path("tls.crt"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let program = "import http.server, ssl, sys, threading\n\
            class Handler(http.server.SimpleHTTPRequestHandler):\n    def date_time_string(self, timestamp=None): return 'Sun, 01 Jan 2040 00:00:00 GMT'\n\
            server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n\
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\ncontext.load_cert_chain(sys.argv[2], sys.argv[1])\n\
            server.socket = context.wrap_socket(server.socket, server_side=True)\nprint(server.server_address[1], flush=True)\n\
            threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()\nserver.serve_forever()\n";
        let mut process = Command::new("python3")
            .args(["-c", program])
            .args([&key, &certificate])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.take().unwrap()), &mut port).unwrap();
        Self { process, url: format!("https://127.0.0.1:{}", port.trim()).into() }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn scripts_of_packages_that_fail() {
    let Some(mut case) = Case::new() else { return };
    let rpms = Rpms::new();
    rpms.signed("before", "Requires(pre): bash\n%pre\necho no room for me >&2\nexit 3");
    rpms.signed("after", "Requires(post): bash\n%post\necho first\necho second >&2\nexit 4");
    rpms.signed("last", "Requires(posttrans): bash\n%posttrans\necho all is done but this\nexit 5");
    case.with(&rpms, &[&rpms.key("good")], "before");
    let failed = case.fails(1).says("the %pre script of package before-1-1.noarch failed (exit status 3)");
    failed.says("| no room for me");
    case.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "after");
    let failed = case.fails(1).says("the %post script of package after-1-1.noarch failed (exit status 4)");
    failed.says("    | first\n    | second\n").says("IMAGE_RPM_SCRIPTS_MAY_FAIL=\"after\"");
    case.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "after last").env("IMAGE_RPM_SCRIPTS_MAY_FAIL", "after");
    case.fails(1).says("the %posttrans script of package last-1-1.noarch failed (exit status 5)");
    // Both may: the build goes on, and says so.
    case.env("IMAGE_RPM_SCRIPTS_MAY_FAIL", "after last").env("DIB_ROCKY_PACKAGES", "basesystem bash coreutils");
    case.run()
        .succeeded()
        .says("warning: the %post script of package after-1-1.noarch failed (exit status 4), which it may");
    case.sandbox.assert_clean();
}

#[test]
fn the_same_is_explained_in_the_chroot() {
    let Some(mut case) = Case::new() else { return };
    let rpms = Rpms::new();
    rpms.package("unsigned", "");
    rpms.signed("lacking", "Requires: no-such-thing").signed("after", "Requires(post): bash\n%post\necho oh\nexit 4");
    case.with(&rpms, &[&rpms.key("good")], "");
    let file = case.sandbox.path("all.repo");
    let mirror = case.standin.url();
    let base = format!("[baseos]\nname=BaseOS\nbaseurl={mirror}/9/BaseOS/x86_64/os/\n");
    let extra = format!("[extra]\nname=Extra\nbaseurl=file://{}\n", rpms.repository().display());
    fs::write(&file, base + &extra).unwrap();
    case.env("DIB_YUM_REPO_CONF", &file).env("DIB_YUM_MINIMAL_EXTRA_REPOS", "");
    case.env("DIB_ROCKY_PACKAGES", "basesystem bash coreutils dnf rpm rocky-release which");
    // Each failure leaves the tree as it was, so that one build serves them all.
    let hook = "for p in bsh @cor unsigned lacking after; do install-packages $p || echo \"status $? for $p\"; done\n\
        IMAGE_RPM_SCRIPTS_MAY_FAIL='*' install-packages -e after\ninstall-packages bsh";
    case.sandbox.element("bad").hook("install.d/50-bad", hook);
    let failed = case.sandbox.run_long(["-n", "-t", "tar", "-o", "x", "rocky-minimal", "bad"]).failed(1);
    let failed = failed.says("no repository has the package 'bsh'").says("for 'bsh' did you mean 'bash'");
    let failed = failed.says("status 1 for bsh").says("for the group 'cor' did you mean 'core'");
    let failed = failed.says("checking the signature of unsigned-1-1.noarch.rpm: it has none");
    let failed = failed.says("nothing provides no-such-thing needed by lacking-1-1.noarch");
    let failed =
        failed.says("install-packages: error: the %post script of package after-1-1.noarch failed (exit status 4)");
    failed.says("in the chroot with status 1").says("  because: no repository has the package 'bsh'");
    case.sandbox.assert_clean();
}
