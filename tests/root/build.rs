//! Builds of a small made-up system, phase by phase (contract 10.2 and 10.5, by id).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Sandbox, skip_without_root};
use image_create::element::phase::{Phase, Side};

/// A build of `fake-os` and `elements` into a tar.
fn tar(sandbox: &Sandbox, elements: &[&str]) -> crate::support::Outcome {
    let args = ["-n", "-t", "tar", "-o", "x", "fake-os"].iter().chain(elements);
    sandbox.run(args)
}

/// The names in a tar, without directories' final slash.
fn listing(sandbox: &Sandbox, archive: &str) -> BTreeSet<String> {
    let out = Command::new("tar").arg("-tf").arg(sandbox.path(archive)).output().unwrap();
    assert!(out.status.success(), "tar -tf {archive}: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|l| l.trim_end_matches('/').trim_start_matches("./").to_owned()).collect()
}

/// A file's text in a tar.
fn content(sandbox: &Sandbox, archive: &str, file: &str) -> String {
    let out = Command::new("tar").arg("-xOf").arg(sandbox.path(archive)).arg(format!("./{file}")).output().unwrap();
    assert!(out.status.success(), "{file} in {archive}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn hooks_run_in_order_in_every_phase() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let order = sandbox.path("order");
    let mut element = sandbox.element("order");
    for phase in Phase::ALL {
        // In the chroot the host's file is out of reach: those phases write into the tree.
        let note = if phase.side() == Side::Host { order.display().to_string() } else { "/order".into() };
        for name in ["100-late", "10-early", "9-first"] {
            element = element.hook(&format!("{}/{name}", phase.dir()), &format!("echo {phase} {name} >> {note}"));
        }
    }
    tar(&sandbox, &["order"]).succeeded();
    let expected = |phases: &[&str]| -> String {
        let three = |p: &&str| format!("{p} 9-first\n{p} 10-early\n{p} 100-late\n");
        phases.iter().map(three).collect()
    };
    assert_eq!(
        sandbox.read("order"),
        expected(&["root", "extra-data", "post-root", "block-device", "pre-finalise", "cleanup"])
    );
    assert_eq!(
        content(&sandbox, "out/x.tar", "order"),
        expected(&["pre-install", "install", "post-install", "finalise"])
    );
    sandbox.assert_clean();
}

#[test]
fn r8_a_hook_that_two_elements_have_stops_before_any_phase() {
    let sandbox = Sandbox::new();
    sandbox.fake_os().hook("root.d/00-ran", "touch \"$OLDPWD/ran\"");
    sandbox.element("one").hook("install.d/50-x", "true");
    sandbox.element("two").hook("install.d/50-x", "true");
    tar(&sandbox, &["one", "two"])
        .failed(2)
        .says("duplicated hook")
        .says("one/install.d/50-x")
        .says("two/install.d/50-x");
    sandbox.assert_clean();
}

#[test]
fn r9_r10_directories_merge_and_data_for_the_chroot_is_read_only_there() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("one").file("static/etc/a", "a").hook("extra-data.d/10-data", "echo handed > $TMP_HOOKS_PATH/data");
    sandbox.element("two").file("static/etc/b", "b").hook(
        "pre-install.d/10-read",
        "cp /tmp/in_target.d/data /got; ls /tmp/in_target.d/static/etc > /merged
         if touch /tmp/in_target.d/no 2>/dev/null; then exit 9; fi
         if rm -rf /tmp/in_target.d 2>/dev/null; then exit 8; fi",
    );
    tar(&sandbox, &["one", "two"]).succeeded();
    assert_eq!(content(&sandbox, "out/x.tar", "got"), "handed\n");
    assert_eq!(content(&sandbox, "out/x.tar", "merged"), "a\nb\n");
    sandbox.assert_clean();
}

#[test]
fn r11_what_a_hook_in_the_chroot_sees() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.env("FROM_CALLER", "yes");
    sandbox.fake_os();
    sandbox.element("look").hook(
        "install.d/50-look",
        r#"echo "0=$0 pwd=$(pwd) home=$HOME path=$PATH tmpdir=${TMPDIR-unset} caller=$FROM_CALLER lc=$LC_ALL" > /saw
ls /dev | tr '\n' ' ' > /dev-nodes
if touch /sys/x 2>/dev/null; then exit 9; fi
echo lost > /dev/null
cat /proc/1/comm > /init-name"#,
    );
    tar(&sandbox, &["look"]).succeeded();
    let saw = content(&sandbox, "out/x.tar", "saw");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert!(saw.starts_with("0=/tmp/in_target.d/install.d/50-look pwd=/ home=/root path="), "{saw}");
    assert!(saw.contains(path) && saw.contains("tmpdir=unset caller=yes lc=C"), "{saw}");
    let nodes = content(&sandbox, "out/x.tar", "dev-nodes");
    assert_eq!(nodes, "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ");
    // The mount points stay as empty directories; nothing of what was mounted is in the image (sharp edge 8).
    let names = listing(&sandbox, "out/x.tar");
    assert!(names.contains("proc") && names.contains("sys") && names.contains("dev"));
    let below = |dir: &str| names.iter().filter(|n| n.starts_with(dir)).count();
    assert_eq!((below("dev/"), below("proc/"), below("sys/"), below("tmp/")), (0, 0, 0, 0));
    sandbox.assert_clean();
}

#[test]
fn r12_host_hooks_run_where_the_user_is_and_know_the_tree() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let look = "echo \"$(pwd) ${TARGET_ROOT-unset} $TMP_MOUNT_PATH\"";
    let saw = sandbox.path("saw");
    let element = sandbox.element("look").hook("cleanup.d/50-x", &format!("{look} > {}", saw.display()));
    element.hook("extra-data.d/50-x", &format!("{look} > {}2", saw.display()));
    tar(&sandbox, &["look"]).succeeded();
    let words: Vec<String> = sandbox.read("saw").split_whitespace().map(str::to_owned).collect();
    assert_eq!(Path::new(&words[0]).canonicalize().unwrap(), sandbox.path("out").canonicalize().unwrap());
    assert_eq!(words[1], words[2]);
    assert_eq!(sandbox.read("saw2").split_whitespace().nth(1), Some("unset"));
}

#[test]
fn r4_r13_a_broken_environment_file_ends_the_build_with_its_status() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("exits").file("environment.d/50-x.bash", "if [ -n \"$TMP_MOUNT_PATH\" ]; then exit 5; fi\n");
    tar(&sandbox, &["exits"]).failed(5).says("50-x.bash");
    sandbox.element("unset").file("environment.d/60-x.bash", "export A=$NO_SUCH_VARIABLE_HERE\n");
    let outcome = tar(&sandbox, &["unset"]);
    assert_ne!(outcome.code, 0);
    outcome.says("NO_SUCH_VARIABLE_HERE");
    sandbox.assert_clean();
}

#[test]
fn c13_a_failing_hook_in_any_phase_keeps_its_status_and_leaves_nothing() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    for (i, phase) in Phase::ALL.into_iter().enumerate() {
        let status = 20 + i32::try_from(i).unwrap();
        let name = format!("fails-{phase}");
        sandbox
            .element(&name)
            .hook(&format!("{}/70-fail", phase.dir()), &format!("echo the last words; exit {status}"));
        let outcome = tar(&sandbox, &[&name]).failed(status);
        outcome.says(&format!("hook {}/70-fail of element {name} failed", phase.dir())).says("the last words");
        assert!(!sandbox.path("out/x.tar").exists(), "{phase}");
        sandbox.assert_clean();
    }
}

#[test]
fn a_hook_that_leaves_a_daemon_a_mount_or_a_deaf_process_does_no_harm() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox
        .element("untidy")
        .hook("install.d/10-daemon", "sleep 4711 & (trap '' TERM; sleep 4712; sleep 4713) &")
        .hook("install.d/20-next", "kill -0 $$; test -d /proc/self")
        .hook("pre-install.d/30-mount", "mkdir -p /mnt; mount --bind /etc /mnt")
        .hook("root.d/90-mount", "mkdir -p $TARGET_ROOT/opt; mount --bind /usr/share $TARGET_ROOT/opt");
    tar(&sandbox, &["untidy"]).succeeded().says("left a process running").says("sleep 4711");
    let names = listing(&sandbox, "out/x.tar");
    assert!(names.contains("mnt") && !names.iter().any(|n| n.starts_with("mnt/") || n.starts_with("opt/")));
    sandbox.assert_clean();
}

#[test]
fn c12_after_error_runs_the_callers_command_on_the_host() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let mark = sandbox.path("mark");
    sandbox.env("break", "after-error").env("break_outside_target", "1");
    sandbox.env("break_cmd", &format!("cp \"$TMP_MOUNT_PATH/state\" {}", mark.display()));
    sandbox.fake_os();
    sandbox.element("fails").hook("install.d/50-x", "echo seen > /state; exit 33");
    tar(&sandbox, &["fails"]).failed(33);
    assert_eq!(sandbox.read("mark"), "seen\n");
    sandbox.assert_clean();
}

#[test]
fn breakpoints_before_a_hook_run_in_its_own_place() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.env("break_cmd", "echo here > /shell-was-here");
    sandbox.fake_os();
    sandbox.element("e").hook("install.d/50-x", "test -e /shell-was-here");
    sandbox.run(["-n", "-t", "tar", "-o", "x", "--break", "before-install/50-x", "fake-os", "e"]).succeeded();
    sandbox.assert_clean();
}

#[test]
fn a_root_element_that_makes_nothing_is_told() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.element("empty-os").provides(&["operating-system"]).hook("root.d/10-x", "mkdir $TARGET_ROOT/tmp");
    sandbox.run(["-n", "-t", "tar", "empty-os"]).failed(1).says("Failed to deploy the root element.");
    sandbox.assert_clean();
}

#[test]
fn c7_every_format_from_one_build() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os().file("block-device-default.yaml", WHOLE_DISK);
    let formats = "tar,tgz,squashfs,raw,qcow2,vmdk,vhd,vhdx,docker,aci";
    sandbox.run(["-n", "-t", formats, "--docker-target", "fake:1", "-o", "all", "fake-os"]).succeeded();
    let images = ["tar", "tgz", "squash", "raw", "qcow2", "vmdk", "vhd", "vhdx", "aci"];
    for extension in images {
        let file = sandbox.path(format!("out/all.{extension}"));
        assert!(
            fs::metadata(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).len() > 10_000,
            "{extension}"
        );
    }
    assert!(listing(&sandbox, "out/all.tar").contains("usr/bin/bash"));
    let qemu = |file: &str| {
        let info = Command::new("qemu-img").args(["info", "--output=json"]).arg(sandbox.path(file)).output().unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        (info["format"].as_str().unwrap().to_owned(), info["virtual-size"].as_u64().unwrap())
    };
    let raw = fs::metadata(sandbox.path("out/all.raw")).unwrap().len();
    assert_eq!(qemu("out/all.qcow2"), ("qcow2".into(), raw));
    assert_eq!(qemu("out/all.vmdk"), ("vmdk".into(), raw));
    let check = Command::new("e2fsck").args(["-fn"]).arg(sandbox.path("out/all.raw")).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let left: Vec<_> = fs::read_dir(sandbox.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().starts_with('.')), "{left:?}");
    sandbox.assert_clean();
}

/// One unpartitioned ext4 filesystem.
const WHOLE_DISK: &str = "
- local_loop:
    name: image0
    mkfs:
      name: mkfs_root
      mount:
        mount_point: /
        fstab: {options: defaults, fsck-passno: 1}
";

#[test]
fn c8_c9_an_old_image_is_kept_and_only_the_wanted_checksum_is_written() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.env("DIB_CHECKSUM", "sha256");
    sandbox.fake_os();
    let build = || sandbox.run(["-n", "-t", "qcow2", "-o", "x.qcow2", "fake-os"]).succeeded().prints("x.qcow2");
    let names = || -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(sandbox.path("out")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    build();
    // C10: the extension was not doubled.
    assert_eq!(names(), ["x.qcow2", "x.qcow2.sha256"]);
    let sums =
        Command::new("sha256sum").args(["-c", "x.qcow2.sha256"]).current_dir(sandbox.path("out")).output().unwrap();
    assert!(sums.status.success());
    build();
    let now = names();
    assert_eq!(now.len(), 4, "{now:?}");
    let date = regex::Regex::new(r"^x-\d{4}\.\d\d\.\d\d-\d\d\.\d\d\.\d\d\.qcow2(\.sha256)?$").unwrap();
    assert_eq!(now.iter().filter(|n| date.is_match(n)).count(), 2, "{now:?}");
    let mut again = Sandbox::new();
    again.env("OVERWRITE_OLD_IMAGE", "1");
    again.fake_os();
    for _ in 0..2 {
        again.run(["-n", "-t", "raw", "-o", "y", "fake-os"]).succeeded();
    }
    assert_eq!(fs::read_dir(again.path("out")).unwrap().count(), 1);
}

#[test]
fn c17_manifests_are_saved_beside_the_image_and_closed_inside() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    tar(&sandbox, &["manifests", "element-manifest"]).succeeded();
    for name in ["dib_environment", "dib_arguments", "dib-element-manifest"] {
        assert!(sandbox.path(format!("out/x.d/dib-manifests/{name}")).is_file(), "{name}");
    }
    assert_eq!(
        sandbox.read("out/x.d/dib-manifests/dib_arguments").trim(),
        "-n -t tar -o x fake-os manifests element-manifest"
    );
    let elements = sandbox.read("out/x.d/dib-manifests/dib-element-manifest");
    assert!(elements.lines().any(|l| l == "fake-os"), "{elements}");
    let list = Command::new("tar").args(["-tvf"]).arg(sandbox.path("out/x.tar")).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let line = list.lines().find(|l| l.ends_with("dib_environment")).unwrap();
    assert!(line.starts_with("-rw-------"), "{line}");
}

#[test]
fn c19_the_log_file_has_times_and_silences_the_terminal() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("talks").hook("install.d/50-x", "echo something from a hook");
    let run = ["-n", "-t", "tar", "--logfile", "build.log", "--events", "events.json", "fake-os", "talks"];
    sandbox.run(run).succeeded().does_not_say("something from a hook");
    let log = sandbox.read("out/build.log");
    let stamped = regex::Regex::new(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \| something from a hook$").unwrap();
    assert!(stamped.is_match(&log), "{log}");
    for wanted in
        ["Building elements:", "Expanded element dependencies to:", "Building in", "Build completed successfully"]
    {
        assert!(log.contains(wanted), "{wanted}");
    }
    let events: Vec<serde_json::Value> =
        sandbox.read("out/events.json").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let finished = events.iter().find(|e| e["event"] == "hook-finished" && e["hook"] == "50-x").unwrap();
    assert_eq!((finished["phase"].as_str(), finished["status"].as_i64()), (Some("install"), Some(0)));
    assert_eq!(finished["element"], "talks");
}

#[test]
fn packages_that_p_names_are_installed_after_install_d() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    // A stand-in for the package manager of a system that has none: it notes what it was asked for.
    let apt = "#!/bin/bash\nfor word; do case $word in -*|*=*) ;; *) echo \"$word\" >> /asked; esac; done\n";
    sandbox.element("manager").hook(
        "root.d/50-apt",
        &format!("cat > $TARGET_ROOT/usr/bin/apt-get <<'END'\n{apt}END\nchmod 755 $TARGET_ROOT/usr/bin/apt-get"),
    );
    sandbox.run(["-n", "-t", "tar", "-o", "x", "-p", "one,two", "-p", "three", "fake-os", "manager"]).succeeded();
    assert_eq!(content(&sandbox, "out/x.tar", "asked"), "install\none\ntwo\nthree\n");
}

#[test]
fn an_image_holds_every_file_of_the_tree_with_its_attributes() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox.element("files").hook(
        "install.d/50-x",
        "touch /.hidden /opt-file; mkdir -p /srv; cp /usr/bin/true /srv/suid; chmod 4755 /srv/suid; ln /srv/suid /srv/hard; ln -s nowhere /srv/soft; chown 1234:5678 /opt-file",
    );
    tar(&sandbox, &["files"]).succeeded();
    let out = sandbox.path("unpacked");
    fs::create_dir(&out).unwrap();
    let status = Command::new("tar").arg("-xpf").arg(sandbox.path("out/x.tar")).arg("-C").arg(&out).status().unwrap();
    assert!(status.success());
    // Sharp edge 7: top-level dot files are there.
    assert!(out.join(".hidden").exists());
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(out.join("srv/suid")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o7777, meta.nlink()), (0o4755, 2));
    let owned = fs::metadata(out.join("opt-file")).unwrap();
    assert_eq!((owned.uid(), owned.gid()), (1234, 5678));
    assert_eq!(fs::read_link(out.join("srv/soft")).unwrap(), Path::new("nowhere"));
}

#[test]
fn a_foreign_finalise_hook_gets_a_mounted_disk() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let devices = sandbox.path("devices");
    sandbox
        .element("disk-user")
        .hook(
            "finalise.d/50-x",
            "stat -c %F $IMAGE_BLOCK_DEVICE > /device-kind; echo 1 > /made-in-finalise; test -z \"$IMAGE_LOOP_FREE\"",
        )
        .hook(
            "cleanup.d/50-x",
            &format!(
                "echo \"$IMAGE_BLOCK_DEVICE $IMAGE_BLOCK_DEVICES\" > {}; grep \" $TARGET_ROOT \" /proc/mounts >> {0}",
                devices.display()
            ),
        );
    let args = ["-n", "-t", "tar,raw", "-o", "x", "fake-os", "block-device-gpt", "disk-user"];
    sandbox.run(args).succeeded();
    let seen = sandbox.read("devices");
    assert!(
        seen.starts_with("/dev/loop") && seen.contains("[image0]=/dev/loop") && seen.contains("[root]=/dev/loop"),
        "{seen}"
    );
    assert!(seen.lines().nth(1).is_some_and(|m| m.contains(" ext4 ")), "{seen}");
    assert_eq!(content(&sandbox, "out/x.tar", "device-kind"), "block special file\n");
    assert!(listing(&sandbox, "out/x.tar").contains("made-in-finalise"));
    // The same file is on the disk: partition 2 begins after the BIOS boot partition.
    let table = Command::new("sfdisk").arg("-J").arg(sandbox.path("out/x.raw")).output().unwrap();
    let table: serde_json::Value = serde_json::from_slice(&table.stdout).unwrap();
    let root = &table["partitiontable"]["partitions"][1];
    let offset = root["start"].as_u64().unwrap() * 512;
    let cat = format!("{}?offset={offset}", sandbox.path("out/x.raw").display());
    let out = Command::new("debugfs").args(["-R", "cat /made-in-finalise", &cat]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "1\n", "{}", String::from_utf8_lossy(&out.stderr));
    sandbox.assert_clean();
}

#[test]
fn an_image_that_is_too_small_is_told_with_the_option() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os().file("block-device-default.yaml", WHOLE_DISK);
    sandbox.element("large").hook("install.d/50-x", "head -c 200000000 /dev/urandom > /large");
    let outcome = sandbox.run(["-n", "-t", "raw", "--image-size", "0.2", "fake-os", "large"]).failed(1);
    outcome.says("too small").says("--image-size");
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 0);
    sandbox.assert_clean();
}

#[test]
fn a_full_disk_is_the_hosts_fault() {
    if skip_without_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    // 24 MiB: enough to begin, not enough to end.
    let small = sandbox.path("small");
    fs::create_dir(&small).unwrap();
    image_create::exec::mount::private_namespace().unwrap();
    let full = image_create::exec::mount::Mount::tmpfs(&small, "size=24m").unwrap();
    sandbox.env("TMPDIR", &small.to_string_lossy()).env("DIB_NO_TMPFS", "1");
    sandbox.fake_os();
    sandbox.element("large").hook("install.d/50-x", "head -c 100000000 /dev/zero > /large");
    let outcome = tar(&sandbox, &["large"]);
    assert_ne!(outcome.code, 0);
    outcome.says("No space left on device");
    assert_eq!(fs::read_dir(&small).unwrap().count(), 0);
    full.close().unwrap();
    sandbox.assert_clean();
}

#[test]
fn c14_whatever_is_mounted_below_the_tree_is_unmounted_and_what_was_shown_there_survives() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let cache = sandbox.path("cache");
    fs::create_dir_all(cache.join("sub")).unwrap();
    fs::write(cache.join("precious"), "kept").unwrap();
    let body = "cd $TARGET_ROOT; mkdir -p srv/one srv/two opt; ln -s srv link
        mount --bind CACHE srv/one; mount -t tmpfs none srv/one/sub; mount --bind /etc $TARGET_ROOT/link/two; mount --bind CACHE opt";
    let body = body.replace("CACHE", &cache.display().to_string());
    sandbox
        .element("mounts")
        .hook("root.d/90-mount", &body)
        .hook("pre-finalise.d/10-again", "mount --bind /etc $TMP_MOUNT_PATH/opt");
    tar(&sandbox, &["mounts"]).succeeded();
    let names = listing(&sandbox, "out/x.tar");
    for dir in ["srv/one", "srv/two", "opt"] {
        assert!(names.contains(dir) && !names.iter().any(|n| n.starts_with(&format!("{dir}/"))), "{dir}: {names:?}");
    }
    assert_eq!(sandbox.read("cache/precious"), "kept");
    sandbox.assert_clean();
}
