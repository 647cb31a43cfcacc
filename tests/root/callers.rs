//! Builds as image CI starts them: the command line, environment, log file, formats, checksums
//! and exit status of Zuul's role build-diskimage and of nodepool's builder (docs/ci.md).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{LONG, Outcome, Sandbox, skip_without, skip_without_root};

fn as_name(sandbox: &Sandbox, name: &str, args: &[&str]) -> Outcome {
    let link = sandbox.path(name);
    if !link.exists() {
        symlink(crate::support::image_create(), &link).unwrap();
    }
    sandbox.spawn_as(&link, args).wait(LONG)
}

/// The sum that a checksum file says, and that of the file beside it.
fn sums(sandbox: &Sandbox, program: &str, image: &str, ending: &str) -> (String, String) {
    let first = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let out = Command::new(program).arg(sandbox.path(image)).output().unwrap();
    (first(&sandbox.read(format!("{image}.{ending}"))), first(&String::from_utf8_lossy(&out.stdout)))
}

/// An element with a hook that tells what it sees.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("site").hook("install.d/50-site", "echo \"release $DIB_RELEASE, name $DIB_IMAGE_NAME\"");
    // What a job exports; the element of the operating system would take its release from here.
    sandbox.env("DIB_RELEASE", "bookworm").env("DIB_IMAGE_NAME", "fake-node");
    sandbox
}

#[test]
fn c19_zuul_gets_its_images_its_log_and_a_quiet_terminal() {
    if skip_without_root() || skip_without(&["qemu-img"]) {
        return;
    }
    let mut sandbox = sandbox();
    fs::create_dir(sandbox.path("logs")).unwrap();
    let (image, log) = (sandbox.path("out/fake-node"), sandbox.path("logs/diskimage-fake-node.log"));
    let args = |formats| {
        let paths = [&image, &log].map(|p: &PathBuf| p.to_string_lossy().into_owned());
        let [image, log] = paths;
        [
            "-o".into(),
            image,
            "-t".into(),
            String::from(formats),
            "--logfile".into(),
            log,
            "-n".into(),
            "fake-os".into(),
            "site".into(),
        ]
    };
    let run = |sandbox: &Sandbox, formats| {
        let args = args(formats);
        as_name(sandbox, "disk-image-create", &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let quiet = run(&sandbox, "qcow2,raw,tar").succeeded().does_not_say("release bookworm");
    assert!(quiet.stderr.contains(&format!("Output logs going to: {}", log.display())), "{}", quiet.stderr);
    for ending in ["qcow2", "raw", "tar"] {
        assert!(fs::metadata(image.with_extension(ending)).unwrap().len() > 0, "{ending}");
        assert!(quiet.stdout.contains(&format!("fake-node.{ending}")), "{}", quiet.stdout);
    }
    let text = sandbox.read("logs/diskimage-fake-node.log");
    assert!(text.contains(" | release bookworm, name fake-node\n"), "{text}");
    // A retry: the old images make room, the log goes on, and the terminal gets it too, without times.
    sandbox.env("DIB_QUIET", "0").env("DIB_NO_TIMESTAMP", "1");
    let loud = run(&sandbox, "tar").succeeded();
    assert!(loud.stderr.lines().any(|l| l == "release bookworm, name fake-node"), "{}", loud.stderr);
    let again = sandbox.read("logs/diskimage-fake-node.log");
    assert!(again.starts_with(&text) && again.matches(" | release bookworm").count() == 2, "{again}");
    sandbox.assert_clean();
}

#[test]
fn nodepool_gets_images_that_every_cloud_reads_with_checksums() {
    if skip_without_root() || skip_without(&["qemu-img"]) {
        return;
    }
    let sandbox = sandbox();
    let line =
        "-x -t qcow2,raw --checksum --no-tmpfs --qemu-img-options compat=0.10 -o fake-node-0000000001 -n fake-os site";
    let args: Vec<&str> = line.split(' ').collect();
    as_name(&sandbox, "disk-image-create", &args).succeeded().says("release bookworm, name fake-node");
    for ending in ["qcow2", "raw"] {
        let image = format!("out/fake-node-0000000001.{ending}");
        for (program, sum) in [("md5sum", "md5"), ("sha256sum", "sha256")] {
            let (said, is) = sums(&sandbox, program, &image, sum);
            assert_eq!(said, is, "{image}.{sum}");
        }
    }
    let image = sandbox.path("out/fake-node-0000000001.qcow2");
    let out = Command::new("qemu-img").args(["info", "--output=json"]).arg(image).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(info["format-specific"]["data"]["compat"], "0.10", "{info}");
    sandbox.assert_clean();
}

#[test]
fn a_failed_build_has_the_status_of_its_hook_and_leaves_no_image() {
    if skip_without_root() {
        return;
    }
    let sandbox = sandbox();
    sandbox.element("broken").hook("install.d/60-broken", "echo the reason; exit 42");
    let args = ["-t", "tar", "-o", "x", "--logfile", "x.log", "-n", "fake-os", "broken"];
    as_name(&sandbox, "disk-image-create", &args).failed(42);
    assert!(sandbox.read("out/x.log").contains("the reason"));
    assert!(!sandbox.path("out/x.tar").exists());
    sandbox.assert_clean();
}

#[test]
fn c6_the_front_end_builds_what_its_file_describes() {
    if skip_without_root() {
        return;
    }
    let sandbox = sandbox();
    sandbox.element("broken").hook("install.d/60-broken", "exit 42");
    let text = "
- imagename: one
  types: [tar]
  checksum: true
  skip-base: true
  environment: {DIB_IMAGE_NAME: of-the-file}
  elements: [fake-os]
- imagename: two
  types: [tar]
  skip-base: true
  elements: [fake-os, broken]
- imagename: one
  elements: [site]
- imagename: three
  types: [tar]
  skip-base: true
  elements: [fake-os]
";
    fs::write(sandbox.path("out/images.yaml"), text).unwrap();
    let outcome = as_name(&sandbox, "diskimage-builder", &["images.yaml"]).failed(1);
    let outcome = outcome.says("name of-the-file").says("this build ended with status 42: disk-image-create -o two");
    assert_eq!(outcome.stdout, "one.tar\nthree.tar\n");
    assert!(sandbox.path("out/one.tar.sha256").exists());
    for file in ["one.tar", "three.tar"] {
        fs::remove_file(sandbox.path("out").join(file)).unwrap();
    }
    let outcome = as_name(&sandbox, "diskimage-builder", &["--stop-on-failure", "images.yaml"]).failed(1);
    assert_eq!(outcome.stdout, "one.tar\n");
    sandbox.assert_clean();
}

#[test]
fn a_ramdisk_build_prints_the_files_that_its_element_wrote() {
    if skip_without_root() {
        return;
    }
    let sandbox = sandbox();
    let write = "for e in initramfs kernel; do echo $e > \"$IMAGE_NAME.$e\"; done";
    sandbox.element("my-ramdisk").hook("cleanup.d/99-write", write);
    let args = ["-n", "--ramdisk-element", "my-ramdisk", "-o", "deploy", "fake-os"];
    let outcome = as_name(&sandbox, "ramdisk-image-create", &args).succeeded();
    assert_eq!(outcome.stdout, "deploy.initramfs\ndeploy.kernel\n");
    assert_eq!(sandbox.read("out/deploy.kernel"), "kernel\n");
    assert!(!sandbox.path("out/deploy.qcow2").exists());
    sandbox.assert_clean();
}

#[test]
fn a_front_end_that_is_stopped_stops_its_build_and_waits_for_it() {
    if skip_without_root() {
        return;
    }
    let sandbox = sandbox();
    sandbox.element("slow").hook("install.d/60-slow", "echo it waits; sleep 100");
    let text = "- {imagename: x, types: [tar], skip-base: true, elements: [fake-os, slow]}\n- {imagename: y, elements: [no-such]}\n";
    fs::write(sandbox.path("out/images.yaml"), text).unwrap();
    let link = sandbox.path("diskimage-builder");
    symlink(crate::support::image_create(), &link).unwrap();
    let mut running = sandbox.spawn_as(&link, ["images.yaml"]);
    running.wait_until_it_says("it waits", crate::support::SHORT);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.wait(crate::support::SHORT).failed(130).does_not_say("no-such");
    sandbox.assert_clean();
}
