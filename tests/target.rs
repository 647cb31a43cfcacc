//! The programs that hooks call, run as hooks run them: through links of their names.
//! Cases are named by their id in the contract's test plan (R: run-parts, P: packages, C15: cache-url).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory for one test, with links to the program in `bin/`.
struct Place {
    dir: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        let environment = [("PATH".to_owned(), path), ("LC_ALL".to_owned(), "C".to_owned())].into();
        Self { dir, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        self.file(name, 0o755, &format!("#!/bin/sh\n{text}\n"))
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    fn run(&self, tool: &str, args: &[&str]) -> Ended {
        let link = self.path("bin").join(tool);
        if !link.exists() {
            symlink(env!("CARGO_BIN_EXE_image-create"), &link).unwrap();
        }
        let output = Command::new(link)
            .args(args)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

// ---------------------------------------------------------------- dib-run-parts

#[test]
fn r1_scripts_run_in_order_and_others_do_not() {
    let mut place = Place::new();
    for name in ["foo", "9-nine", "10-ten", "100-hun", "10-bar.sh"] {
        place.script(&format!("t.d/{name}"), "echo ${0##*/}");
    }
    place.file("t.d/20-noexec", 0o644, "#!/bin/sh\necho no\n");
    symlink("9-nine", place.path("t.d/30-link")).unwrap();
    symlink(".", place.path("t.d/40-dir")).unwrap();
    let ended = place.run("dib-run-parts", &["t.d"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out, "foo\n9-nine\n10-ten\n30-link\n100-hun\n");
    assert!(!ended.err.contains("noexec"));
    assert!(ended.err.contains("dib-run-parts Running t.d/9-nine\n"), "{}", ended.err);
    assert!(ended.err.contains("dib-run-parts 9-nine completed\n"));
    assert!(ended.err.contains(" PROFILING ") && ended.err.contains(" END PROFILING "));

    place.set("DIB_DEBUG_TRACE", "1");
    let traced = place.run("dib-run-parts", &["t.d"]).err;
    assert!(traced.contains("t.d/20-noexec") && traced.contains("t.d/10-bar.sh"), "{traced}");
}

#[test]
fn r1_the_pattern_of_names_can_be_replaced() {
    let mut place = Place::new();
    place.script("t.d/a", "echo a");
    place.script("t.d/b.sh", "echo b");
    place.set("RUN_PARTS_REGEX", r"\.sh$");
    assert_eq!(place.run("dib-run-parts", &["t.d"]).out, "b\n");
}

#[test]
fn r2_environment_files_are_sourced_in_byte_order() {
    let place = Place::new();
    for name in ["10-a", "100-b", "9-c", "10-x~", "has space", "20.sh"] {
        place.file(
            &format!("environment.d/{name}"),
            0o644,
            &format!("export SEEN=\"${{SEEN:-}}|{name}\"\nreturn 0\nexit 9\n"),
        );
    }
    place.file("environment.d/99-cd", 0o644, "cd /\nnot_exported=1\n");
    place.script("t.d/show", "echo \"$SEEN\"; pwd; echo \"[${not_exported:-}]\"");
    let dir = place.path("t.d");
    let ended = place.run("dib-run-parts", &[dir.to_str().unwrap()]);
    assert_eq!(ended.out, "|10-a|100-b|20.sh|9-c\n/\n[]\n", "{}", ended.err);
}

#[test]
fn r3_a_failing_script_stops_the_run_with_its_status() {
    let place = Place::new();
    place.script("t.d/1", "exit 7");
    place.script("t.d/2", "echo never");
    let ended = place.run("dib-run-parts", &["t.d"]);
    assert_eq!((ended.code, ended.out.as_str()), (7, ""));
    assert!(!ended.err.contains("PROFILING"));
    place.script("t.d/1", "kill -9 $$");
    assert_eq!(place.run("dib-run-parts", &["t.d"]).code, 137);
}

#[test]
fn r4_a_failing_environment_file_stops_the_run_before_the_first_script() {
    let place = Place::new();
    place.script("t.d/1", "echo never");
    for (line, code) in [("exit 5", 5), ("false", 1), ("echo $UNSET_VARIABLE", 1), ("false | true", 1)] {
        place.file("environment.d/10-x", 0o644, &format!("{line}\n"));
        let ended = place.run("dib-run-parts", &["t.d"]);
        assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{line}");
    }
}

#[test]
fn r5_list_prints_names_and_sources_nothing() {
    let place = Place::new();
    place.script("t.d/10-b", "");
    place.script("t.d/9-a", "");
    place.file("environment.d/10-x", 0o644, "exit 5\n");
    let ended = place.run("dib-run-parts", &["--list", "t.d"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "t.d/9-a\nt.d/10-b\n"));
}

#[test]
fn r6_usage() {
    let place = Place::new();
    for args in [&[][..], &["missing"], &["--list"]] {
        let ended = place.run("dib-run-parts", args);
        assert_eq!(ended.code, 1);
        assert!(ended.err.contains("Usage: dib-run-parts"), "{}", ended.err);
    }
}

#[test]
fn r7_an_empty_directory_is_fine() {
    let place = Place::new();
    fs::create_dir(place.path("t.d")).unwrap();
    let ended = place.run("dib-run-parts", &["t.d"]);
    assert_eq!(ended.code, 0);
    assert!(ended.err.contains("Target: t.d") && ended.err.contains("Script"));
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_a_shell() {
    let place = Place::new();
    place.file("t.d/1", 0o755, "echo plain\n");
    assert_eq!(place.run("dib-run-parts", &["t.d"]).out, "plain\n");
}

// ---------------------------------------------------------------- pkg-map

const MAP: &str = r#"{"release": {"centos": {"8": {"p": "eight"}}}, "distro": {"centos": {"p": "centos-p"}},
 "default": {"none": "", "several": "one two"}}"#;

#[test]
fn p9_p10_p11_pkg_map_prints_names_and_ends_with_the_status_that_callers_know() {
    let mut place = Place::new();
    place.file("hooks/.image-create/pkg-map/el", 0o644, MAP);
    place.file("hooks/.image-create/package-maps/redhat.json", 0o644, r#"{"shared": "from-family"}"#);
    place.set("TMP_HOOKS_PATH", place.path("hooks").to_str().unwrap());
    let run = |args: &str| {
        let ended = place.run("pkg-map", &args.split(' ').collect::<Vec<_>>());
        (ended.code, ended.out)
    };
    let is = |code: i32, out: &str| (code, out.to_owned());
    assert_eq!(run("--element el --distro centos --release 8-stream p"), is(0, "eight\n"));
    assert_eq!(run("--element el --distro centos --release 9-stream p"), is(0, "centos-p\n"));
    assert_eq!(run("--element el --distro centos --prefix - several none"), is(0, "-one two\n"));
    assert_eq!(run("--element el --distro centos shared"), is(0, "from-family\n"));
    assert_eq!(run("--element el --distro centos missing"), is(1, ""));
    assert_eq!(run("--element el --distro centos --missing-ok missing p"), is(0, "missing\ncentos-p\n"));
    assert_eq!(run("--element other --distro centos p"), is(2, ""));
    assert_eq!(run("--element other --distro centos --missing-ok p"), is(0, "p\n"));
    assert_eq!(run("--distro centos p"), is(1, ""));
    assert_eq!(run("--element el p"), is(1, ""));
    assert_eq!(run("--element el --pkg-map x --distro centos p"), is(1, ""));
    // An unknown option is a package's name.
    assert_eq!(run("--element el --distro centos --missing-ok --unknown"), is(0, "--unknown\n"));
}

#[test]
fn p10_a_malformed_map_is_a_failure_with_its_place() {
    let place = Place::new();
    place.file("map", 0o644, "{\"default\": {\n  \"a\": [1]}}");
    let ended = place.run("pkg-map", &["--pkg-map", "map", "--distro", "debian", "--missing-ok", "a"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("map:2:8"), "{}", ended.err);
    assert_eq!(place.run("pkg-map", &["--pkg-map", "nowhere", "--distro", "debian", "a"]).code, 2);
}

// ---------------------------------------------------------------- package-installs

#[test]
fn p1_p8_p14_packages_are_squashed_and_installed() {
    let mut place = Place::new();
    place.file(
        "first/el1/package-installs.yaml",
        0o644,
        "zlib:\ntool: {build-only: true}\ndev: {phase: pre-install.d}\n",
    );
    place.file("second/el1/package-installs.yaml", 0o644, "overridden:\n");
    place.file(
        "second/el2/package-installs.json",
        0o644,
        "{\"several\": null, \"zlib\": {\"when\": \"FEATURE = 1\"}}\n",
    );
    place.file("hooks/.image-create/pkg-map/el2", 0o644, MAP);
    place.set("TMP_HOOKS_PATH", place.path("hooks").to_str().unwrap());
    place.set("DISTRO_NAME", "debian");
    let squash = ["--elements", "el1 el2 virtual", "--path", "first:second", "out.json"];

    let ended = place.run("package-installs-squash", &squash);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("second/el2/package-installs.json:1:36: The variable <FEATURE> is not set"),
        "{}",
        ended.err
    );
    assert!(!place.path("out.json").exists());

    place.set("FEATURE", "1");
    let ended = place.run("package-installs-squash", &squash);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let written: serde_json::Value = serde_json::from_str(&text(&place.path("out.json"))).unwrap();
    let expected = serde_json::json!({
        "pre-install.d": {"install": [["dev", "el1"]], "uninstall": []},
        "install.d": {
            "install": [["zlib", "el1"], ["tool", "el1"], ["several", "el2"], ["zlib", "el2"]],
            "uninstall": [["tool", "el1"]]}});
    assert_eq!(written, expected);

    place.script("bin/install-packages", "echo called; for a; do echo \"[$a]\"; done; exit ${STATUS:-0}");
    let install = place.run("package-installs-v2", &["--phase", "install.d", "out.json"]);
    assert_eq!(install.code, 0, "{}", install.err);
    assert!(install.out.ends_with("> called\n> [zlib]\n> [tool]\n> [one]\n> [two]\n"), "{}", install.out);
    let remove = place.run("package-installs-v2", &["--phase", "install.d", "--uninstall", "out.json"]);
    assert!(remove.out.ends_with("> [-e]\n> [tool]\n"), "{}", remove.out);
    let nothing = place.run("package-installs-v2", &["--phase", "post-install.d", "out.json"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, "Nothing to install\n"));
    let dry = place.run("package-installs-v2", &["--phase", "pre-install.d", "-n", "out.json"]);
    assert_eq!(dry.out, "install-packages dev\n");

    place.set("STATUS", "100");
    let failed = place.run("package-installs-v2", &["--phase", "install.d", "out.json"]);
    assert_eq!(failed.code, 1);
    assert_eq!(failed.err, "install-packages failed with returncode 100\n");
}

#[test]
fn older_lists_install_all_and_remove_those_with_a_dash() {
    let mut place = Place::new();
    place.file("install.d/package-installs-el", 0o644, "# first\nseveral\n-p # only now\n");
    place.file("install.d/10-script", 0o755, "");
    place.file("hooks/.image-create/pkg-map/el", 0o644, MAP);
    place.set("TMP_HOOKS_PATH", place.path("hooks").to_str().unwrap());
    place.set("DISTRO_NAME", "centos");
    place.script("bin/install-packages", "echo \"$@\"; exit 4");
    let installs = place.run("package-installs", &["-d", "install.d"]);
    assert_eq!((installs.code, installs.out.as_str()), (4, "one two centos-p\n"));
    // With a map, diskimage-builder fails here.
    let uninstalls = place.run("package-uninstalls", &["-d", "install.d"]);
    assert_eq!((uninstalls.code, uninstalls.out.as_str()), (4, "-e centos-p\n"));
    fs::create_dir(place.path("empty.d")).unwrap();
    assert_eq!(place.run("package-uninstalls", &["-d", "empty.d"]).code, 0);
}

#[test]
fn install_packages_calls_apt_and_passes_its_status_on() {
    let mut place = Place::new();
    // Only what is in bin/: the machine's own package manager must not be found.
    place.set("PATH", place.path("bin").to_str().unwrap());
    assert!(place.run("install-packages", &["a"]).err.contains("none of apt-get"));
    place
        .script("bin/apt-get", "echo \"$DEBIAN_FRONTEND $*\"; echo 'E: Unable to locate package cowsya' >&2; exit 100");
    place.script("bin/apt-cache", "echo cowsay; echo vim");
    let ended = place.run("install-packages", &["a b", "cowsya"]);
    assert_eq!(ended.code, 100);
    let options = "--option Dpkg::Options::=--force-confold --option Dpkg::Options::=--force-confdef --assume-yes";
    assert!(ended.out.ends_with(&format!("noninteractive {options} install a b cowsya\n")), "{}", ended.out);
    assert!(ended.err.starts_with("E: Unable to locate package cowsya\nhint: "), "{}", ended.err);
    assert!(place.run("install-packages", &["-u", "x"]).out.ends_with("--assume-yes dist-upgrade\n"));
    assert!(place.run("install-packages", &["-e", "x"]).out.ends_with("--assume-yes remove x\n"));
    let empty = place.run("install-packages", &[]);
    assert_eq!(
        (empty.code, empty.out.as_str()),
        (0, "Not running install-packages install with empty packages list\n")
    );
    assert_eq!(place.run("install-packages", &["-d", "x"]).code, 1);
    assert_eq!(place.run("install-packages", &["-h"]).code, 0);

    place.set("DISTRO_NAME", "debian");
    let mapped = place.run("install-packages", &["-m", "no-such-element", "x"]);
    assert_eq!(mapped.code, 1);
    assert!(mapped.err.contains("bin/pkg-map error"), "{}", mapped.err);

    place.set("TMP_HOOKS_PATH", place.path(".").to_str().unwrap());
    assert!(place.run("install-packages", &["x"]).err.contains("a phase on the host"));
}

// ---------------------------------------------------------------- services, init system, sudo

#[test]
fn p12_services_are_merged_for_the_distribution() {
    let mut place = Place::new();
    place.file("e/a/svc-map", 0o644, "sshd:\n  default: sshd\n  debian: ssh\n");
    place.file("e/b/svc-map", 0o644, "nova: {default: openstack-nova}\n");
    place.set("IMAGE_ELEMENT", "b a none");
    place.set("ELEMENTS_PATH", "e");
    place.set("DISTRO_NAME", "ubuntu");
    assert_eq!(place.run("svc-map-merge", &["out/services"]).code, 0);
    assert_eq!(text(&place.path("out/services")), "\"nova\": \"openstack-nova\"\n\"sshd\": \"ssh\"\n");
    let mode = fs::metadata(place.path("out/services")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    place.set("IMAGE_ELEMENT_YAML", "a: e/a\nc: e/c\n");
    place.file("e/c/svc-map", 0o644, "sshd: {default: x}\n");
    let ended = place.run("svc-map-merge", &["out/services"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("sshd already found in services list.  Check c for duplicate"), "{}", ended.err);

    let ended = place.run("svc-map", &["-h", "some-service"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "-h\nsome-service\n"));
}

#[test]
fn the_init_system_is_the_operating_systems() {
    let mut place = Place::new();
    assert_eq!(place.run("dib-init-system", &[]).code, 1);
    place.set("DIB_INIT_SYSTEM", "systemd");
    assert_eq!(place.run("dib-init-system", &[]).out, "systemd\n");
    place.set("DIB_INIT_SYSTEM", "runit");
    assert!(place.run("dib-init-system", &[]).err.contains("none of openrc, systemd, sysv, upstart"));
}

#[test]
fn sudo_becomes_the_command() {
    let place = Place::new();
    let ended = place.run(
        "sudo",
        &["-nE", "-u", "root", "GREETING=hello", "sh", "-c", "echo $GREETING $1$TMPDIR; exit 3", "x", "you"],
    );
    if !nix::unistd::geteuid().is_root() {
        assert!(ended.err.contains("does not run as root"));
        return;
    }
    assert_eq!((ended.code, ended.out.as_str()), (3, "hello you\n"));
    let ended = place.run("sudo", &["no-such-command-here"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, "sudo: error: no-such-command-here: command not found\n"));
}

// ---------------------------------------------------------------- cache-url

/// Answers each request by what its path asks for, until the test ends.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty());
            let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
            let conditional = lines.any(|l| l.to_lowercase().starts_with("if-modified-since"));
            let (status, body) = match path.as_str() {
                "/file" if conditional => ("304 Not Modified", ""),
                "/file" => ("200 OK", "content\n"),
                "/changed" => ("200 OK", "new\n"),
                "/empty" => ("200 OK", ""),
                "/broken" => ("403 Forbidden", "no\n"),
                _ => ("404 Not Found", "not here\n"),
            };
            let length = body.len();
            write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .unwrap();
        }
    });
    address
}

#[test]
fn c15_a_file_is_fetched_once_and_kept_while_it_is_current() {
    let place = Place::new();
    let address = server();
    let fetch = |path: &str, options: &[&str]| {
        let url = format!("{address}{path}");
        place.run("cache-url", &[options, &[&url, "cached"]].concat())
    };
    let ended = fetch("/file", &[]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(text(&place.path("cached")), "content\n");
    let first = fs::metadata(place.path("cached")).unwrap();
    assert_eq!(first.permissions().mode() & 0o777, 0o644);

    let ended = fetch("/file", &[]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("not modified"), "{}", ended.out);
    assert_eq!(fs::metadata(place.path("cached")).unwrap().modified().unwrap(), first.modified().unwrap());

    assert_eq!(fetch("/missing", &[]).code, 44);
    assert_eq!(fetch("/broken", &[]).code, 1);
    assert!(fetch("/empty", &[]).out.contains("Ignoring empty file"));
    assert_eq!(text(&place.path("cached")), "content\n");
    assert_eq!(fetch("/changed", &[]).code, 0);
    assert_eq!(text(&place.path("cached")), "new\n");
    // With -f there is no condition, so the server sends it again.
    assert_eq!(fetch("/file", &["-f"]).code, 0);
    assert_eq!(text(&place.path("cached")), "content\n");
    let left: Vec<_> = fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn c15_files_pipes_and_bad_calls() {
    let mut place = Place::new();
    let source = place.file("source", 0o644, "local\n");
    let url = format!("file://{}", source.display());
    assert_eq!(place.run("cache-url", &[&url, "sub"]).code, 0);
    assert_eq!(text(&place.path("sub")), "local\n");
    assert_eq!(place.run("cache-url", &["file:///no/such/file", "x"]).code, 37);
    assert_eq!(place.run("cache-url", &[&url]).code, 1);
    assert_eq!(place.run("cache-url", &["-h"]).code, 0);

    nix::unistd::mkfifo(&place.path("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let pipe = place.path("pipe");
    let reader = std::thread::spawn(move || text(&pipe));
    assert_eq!(place.run("cache-url", &[&url, "pipe"]).code, 0);
    assert_eq!(reader.join().unwrap(), "local\n");

    // Inside of a chroot there may be no curl.
    place.set("PATH", place.path("bin").to_str().unwrap());
    assert_eq!(place.run("cache-url", &[&url, "copy"]).code, 0);
    assert_eq!(text(&place.path("copy")), "local\n");
    let ended = place.run("cache-url", &["http://127.0.0.1:1/x", "y"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("there is no curl here"), "{}", ended.err);
}

#[test]
fn c15_curl_is_called_as_stubs_expect_it() {
    let place = Place::new();
    place.script("bin/curl", "[ \"$1 $2\" = '-L -o' ] && echo stub > \"$3\" && echo 200");
    assert_eq!(place.run("cache-url", &["http://example.invalid/x", "x"]).code, 0);
    assert_eq!(text(&place.path("x")), "stub\n");
}

// ---------------------------------------------------------------- GRUB's tools

#[test]
fn grub_probe_and_grub_mkrelpath_answer_from_the_layout() {
    let mut place = Place::new();
    let layout = r#"{"table": "msdos", "filesystems": [
        {"mount_point": "/", "kind": "xfs", "uuid": "r-1", "label": "root", "partition": "msdos2", "partuuid": "01020304-02"},
        {"mount_point": "/tmp", "kind": "ext4", "uuid": "t-1", "partition": "msdos1"}]}"#;
    place.file("hooks/.image-create/layout.json", 0o644, layout);
    place.set("TMP_HOOKS_PATH", place.path("hooks").to_str().unwrap());
    let probe = |args: &[&str]| place.run("grub-probe", args);
    assert_eq!(probe(&["--target=device", "/"]).out, "/dev/disk/by-uuid/r-1\n");
    assert_eq!(probe(&["--device", "/dev/disk/by-uuid/r-1", "--target=fs_uuid"]).out, "r-1\n");
    assert_eq!(probe(&["-t", "fs", "/tmp"]).out, "ext2\n");
    assert_eq!(probe(&["-0", "-t", "partmap", "/tmp"]).out, "msdos\0");
    assert_eq!(probe(&["-t", "fs", "/no/such/path"]).code, 1);
    assert_eq!(probe(&["-d", "/dev/sda", "-t", "fs"]).code, 1);
    assert!(place.run("grub2-probe", &["--version"]).out.contains("grub-probe"));
    assert_eq!(place.run("grub-mkrelpath", &["/tmp"]).out, "\n");
    assert_eq!(place.run("grub2-mkrelpath", &["/usr"]).out, "/usr\n");
}

#[test]
fn another_name_is_no_tool() {
    assert_eq!(image_create::target::dispatch("image-create", vec![]), None);
    assert!(image_create::target::names_on_path().any(|name| name == "install-packages"));
}
