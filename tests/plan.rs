//! Plan tier: golden plans, and what a plan must never do. No root, no network.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Sandbox, image_create, repository};

/// Compares a plan with the stored one; `UPDATE_GOLDEN=1` stores it instead.
#[track_caller]
fn golden(name: &str, args: &[&str], env: &[(&str, &str)]) {
    let mut sandbox = Sandbox::new();
    // Fixed, so that the same plan comes out on every machine.
    for (name, value) in
        [("ARCH", "amd64"), ("DIB_NO_TMPFS", "1"), ("TMPDIR", "/tmp"), ("DIB_IMAGE_CACHE", "/cache")].iter().chain(env)
    {
        sandbox.env(name, value);
    }
    let outcome = sandbox.run(["plan"].iter().chain(args)).succeeded();
    let text = outcome.stdout.replace(&*repository().to_string_lossy(), "REPOSITORY");
    let file = repository().join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    for (i, (now, then)) in text.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(now, then, "{name}, line {}; UPDATE_GOLDEN=1 cargo test --test plan stores the new one", i + 1);
    }
    assert_eq!(text.lines().count(), wanted.lines().count(), "{name}: lines were added or removed");
}

#[test]
fn vm_debian_minimal() {
    golden("vm-debian-minimal", &["vm", "debian-minimal"], &[]);
}

#[test]
fn vm_rocky_minimal() {
    golden("vm-rocky-minimal", &["vm", "rocky-minimal"], &[]);
}

#[test]
fn vm_centos_minimal() {
    golden("vm-centos-minimal", &["vm", "centos-minimal"], &[]);
}

#[test]
fn vm_fedora_minimal() {
    golden("vm-fedora-minimal", &["vm", "fedora-minimal"], &[]);
}

#[test]
fn vm_ubuntu_minimal() {
    golden("vm-ubuntu-minimal", &["vm", "ubuntu-minimal"], &[]);
}

#[test]
fn uefi_and_bios_in_one_image_with_services() {
    let elements =
        ["vm", "block-device-efi", "debian-minimal", "openssh-server", "growroot", "devuser", "cloud-init-nocloud"];
    let args: Vec<&str> = ["-t", "qcow2,raw,tgz", "--image-size", "4"].iter().chain(&elements).copied().collect();
    golden("efi-services", &args, &[("DIB_RELEASE", "bookworm"), ("DIB_CLOUD_INIT_DATASOURCES", "NoCloud")]);
}

#[test]
fn arm64_gets_its_own_layout_and_loader() {
    golden("vm-arm64", &["-a", "arm64", "vm", "debian-minimal"], &[]);
}

#[test]
fn an_xfs_root_on_gpt() {
    golden("gpt-tar", &["-t", "tar", "-p", "curl,git", "vm", "block-device-gpt", "debian-minimal"], &[]);
}

#[test]
fn logical_volumes() {
    golden("efi-lvm", &["vm", "block-device-efi-lvm", "debian-minimal"], &[]);
}

#[test]
fn a_disk_that_is_too_small_is_told_of_before_anything_is_built() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(["plan", "--image-size", "5", "vm", "block-device-efi-lvm", "debian-minimal"]);
    outcome.failed(2).says("partition 'root' does not fit on the disk").says("takes a disk of 37.8 GiB at least");
}

#[test]
fn sectors_of_4096_bytes() {
    golden("efi-4k", &["vm", "block-device-efi-4k", "debian-minimal"], &[]);
}

#[test]
fn the_same_request_gives_the_same_plan_and_touches_nothing() {
    let sandbox = Sandbox::new();
    let json = || sandbox.run(["plan", "--format", "json", "vm", "debian-minimal"]).succeeded().stdout;
    let (first, second) = (json(), json());
    assert_eq!(first, second);
    let plan: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(plan["disk"]["layout"]["disks"][0]["name"], "image0");
    assert_eq!(plan["phases"][0]["phase"], "root");
    for dir in ["out", "tmp"] {
        assert_eq!(fs::read_dir(sandbox.path(dir)).unwrap().count(), 0, "{dir}");
    }
    let dot = sandbox.run(["plan", "--format", "dot", "vm", "debian-minimal"]).succeeded().stdout;
    assert!(dot.starts_with("digraph") && dot.contains("debootstrap"), "{dot}");
}

#[test]
fn a_hook_that_will_not_run_is_named_with_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("lazy").file("install.d/50-no-bit", "#!/bin/sh\n").hook("install.d/60-dotted.sh", "true");
    let plan = sandbox.run(["plan", "-n", "fake-os", "lazy"]).succeeded().stdout;
    assert!(plan.contains("lazy/install.d/50-no-bit") && plan.contains("not executable"), "{plan}");
    assert!(plan.contains("lazy/install.d/60-dotted.sh"), "{plan}");
}

/// The program that users run, if it is of the same sources: the tests' own is not optimised.
fn release() -> Option<PathBuf> {
    let release = image_create().parent()?.parent()?.join("release/image-create");
    let built = |program: &Path| program.metadata().and_then(|m| m.modified()).ok();
    (built(&release)? >= built(image_create())?).then_some(release)
}

#[test]
fn a_plan_takes_less_than_fifty_milliseconds() {
    // The claim is about the released program; the debug build gets room for what it does not optimise.
    let (program, limit) = match release() {
        Some(release) => (release, Duration::from_millis(50)),
        None => (image_create().to_owned(), Duration::from_millis(250)),
    };
    let sandbox = Sandbox::new();
    let run = || {
        let start = Instant::now();
        let mut command = Command::new(&program);
        command.args(["plan", "vm", "debian-minimal"]).env("DIB_IMAGE_CACHE", sandbox.path("cache"));
        assert!(command.output().unwrap().status.success());
        start.elapsed()
    };
    run();
    // The fastest of some: other tests share the machine.
    let best = (0..10).map(|_| run()).min().unwrap();
    assert!(best < limit, "{best:?}");
}

/// A tree of `count` elements as sites have them: dependencies, hooks, variables, package lists, maps. The last
/// one needs all others.
fn site(sandbox: &Sandbox, count: usize) {
    let name = |i: usize| format!("site-{i:04}");
    for i in 0..count {
        let deps: Vec<String> =
            [i / 2, i / 3, i.saturating_sub(1)].iter().filter(|d| **d < i).map(|d| name(*d)).collect();
        sandbox
            .element(&name(i))
            .deps(&deps.iter().map(String::as_str).collect::<Vec<_>>())
            .hook(&format!("install.d/50-{}", name(i)), "true")
            .hook(&format!("post-install.d/50-{}", name(i)), "true")
            .file("README.rst", "An element of a site.\n")
            .file(&format!("environment.d/50-{}", name(i)), &format!("export SITE_{i}=${{SITE_{i}:-{i}}}\n"))
            .file("package-installs.yaml", &format!("package-{i}:\nother-{i}:\n  when: SITE_{i} = {i}\n"))
            .file("pkg-map", &format!("{{\"family\": {{\"debian\": {{\"package-{i}\": \"mapped-{i}\"}}}}}}\n"))
            .file(&format!("static/etc/site/{i}"), "data\n");
    }
}

#[test]
fn a_thousand_elements_are_planned_in_less_than_two_hundred_milliseconds() {
    let (program, limit) = match release() {
        Some(release) => (release, Duration::from_millis(200)),
        None => (image_create().to_owned(), Duration::from_millis(2000)),
    };
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    site(&sandbox, 1000);
    // The time that it takes from the processor: other tests share the machine.
    let script = "TIMEFORMAT='%U %S'; time \"$0\" plan -n fake-os site-0999 > plan.txt";
    let run = || {
        let mut command = Command::new("bash");
        command.args(["-c", script]).arg(&program).current_dir(sandbox.path("out"));
        command.env("ELEMENTS_PATH", sandbox.path("elements")).env("DIB_IMAGE_CACHE", sandbox.path("cache"));
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let seconds = said.split_whitespace().map(|word| word.parse::<f64>().expect(&said)).sum();
        Duration::from_secs_f64(seconds)
    };
    run();
    let plan = sandbox.read("out/plan.txt");
    assert!(plan.contains("Elements, in order (1001)"), "{plan}");
    assert!(plan.contains("package-999 = mapped-999") && plan.contains("+ other-0 "), "{plan}");
    let best = (0..5).map(|_| run()).min().unwrap();
    assert!(best < limit, "{best:?}");
}
