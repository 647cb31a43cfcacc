//! The shell libraries that elements source from `_LIB` (contract 3.12), and what hooks find in their environment.

mod support;

use std::process::{Command, Output};

use support::{Sandbox, repository, skip_without_root};

/// Runs a script in bash as elements have it, with the libraries of the source tree.
fn bash(script: &str, env: &[(&str, &str)]) -> Output {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("_LIB", repository().join("lib"));
    command.envs(env.iter().copied()).output().unwrap()
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn every_library_can_be_sourced_alone() {
    for name in [
        "die",
        "common-defaults",
        "common-functions",
        "img-defaults",
        "img-functions",
        "ramdisk-defaults",
        "ramdisk-functions",
    ] {
        said(&bash(&format!("source $_LIB/{name}"), &[]));
    }
    let output = bash("source $_LIB/ramdisk-defaults; echo $DIB_NO_TMPFS $DIB_MIN_TMPFS; type -t die || true", &[]);
    assert_eq!(said(&output), "1 1\n");
    let output = bash("source $_LIB/common-functions; mount_dev_pts_options; type -t run_d generate_hooks die", &[]);
    let text = said(&output);
    assert!(text.starts_with("-o ") && text.ends_with("function\nfunction\nfunction\n"), "{text}");
}

#[test]
fn die_ends_with_the_status_of_the_command_before_and_never_with_0() {
    let output = bash("source $_LIB/die; set +e; (exit 7); die no luck", &[]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"no luck\n".as_slice()));
    assert_eq!(bash("source $_LIB/die; bash -c 'die inside'", &[]).status.code(), Some(1));
}

/// A script that mounts four directories below `$dir`, one inside of another, and prints what is left of them.
const MOUNTS: &str = r#"
dir=$(mktemp -d)
ln -s "$dir" "$dir.link"
trap 'rm -rf "$dir" "$dir.link"' EXIT
mkdir -p "$dir"/mnt/{proc,dev,sys,'with blank'}
for point in proc dev sys 'with blank'; do mount -t tmpfs none "$dir/mnt/$point"; done
mkdir "$dir/mnt/dev/pts"
mount -t tmpfs none "$dir/mnt/dev/pts"
sudo() { "$@"; }
source $_LIB/common-functions
"#;

fn unmounts(script: &str, env: &[(&str, &str)]) -> String {
    let script = format!(
        "{MOUNTS}{script}\ngrep -c \"$dir/\" /proc/mounts || true\numount -R \"$dir\"/mnt/* 2>/dev/null || true"
    );
    let quoted = image_create::exec::command::quote(&script);
    said(&bash(&format!("unshare --mount --propagation private bash -euo pipefail -c {quoted}"), env))
}

#[test]
fn c14_unmount_dir() {
    if skip_without_root() {
        return;
    }
    let all = unmounts("unmount_dir \"$dir/mnt\"", &[]);
    assert!(all.ends_with("\n0\n") && all.lines().count() == 6, "{all}");
    // Through a link; the kernel knows the real path only.
    assert!(unmounts("unmount_dir \"$dir.link/mnt\"", &[]).ends_with("\n0\n"));
    let missing = unmounts("unmount_dir \"$dir/not/there\"", &[]);
    assert!(missing.contains("/not/there is not a directory") && missing.ends_with("\n5\n"), "{missing}");
    // What the image itself has stays, and only there.
    let kept =
        unmounts("export TMP_MOUNT_PATH=$dir/mnt; unmount_dir \"$dir/mnt\"", &[("DIB_MOUNTPOINTS", "/|/sys|/pts")]);
    assert!(kept.contains("/mnt/sys managed by block device; skipping") && kept.ends_with("\n1\n"), "{kept}");
}

/// What `select_boot_kernel_initrd` finds in a tree of these files.
fn selected(files: &[&str], env: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let script = format!(
        "source $_LIB/img-functions; select_boot_kernel_initrd {}; echo \"$KERNEL $RAMDISK ${{KERNEL_VERSION:-}}\"",
        dir.path().display()
    );
    bash(&script, env)
}

#[test]
fn the_newest_kernel_is_selected_by_the_systems_own_names() {
    let debian = ["etc/debian_version", "boot/vmlinuz-6.1.0-9-amd64", "boot/vmlinuz-6.1.0-47-amd64"];
    let initrd = ["boot/initrd.img-6.1.0-9-amd64", "boot/initrd.img-6.1.0-47-amd64"];
    let files: Vec<&str> = debian.into_iter().chain(initrd).collect();
    assert_eq!(said(&selected(&files, &[])), "vmlinuz-6.1.0-47-amd64 initrd.img-6.1.0-47-amd64 \n");
    let patterns = [("DIB_BAREMETAL_KERNEL_PATTERN", "vmlinuz*-9-*"), ("DIB_BAREMETAL_INITRD_PATTERN", "initrd*-9-*")];
    assert_eq!(said(&selected(&files, &patterns)), "vmlinuz-6.1.0-9-amd64 initrd.img-6.1.0-9-amd64 \n");

    let redhat =
        ["etc/redhat-release", "boot/vmlinuz-0-rescue-ab", "boot/vmlinuz-5.14.0-70.el9", "boot/vmlinuz-5.14.0-503.el9"];
    let more = ["boot/vmlinuz-5.14.0-600.el9+debug", "boot/initramfs-5.14.0-503.el9.img"];
    let files: Vec<&str> = redhat.into_iter().chain(more).collect();
    assert_eq!(said(&selected(&files, &[])), "vmlinuz-5.14.0-503.el9 initramfs-5.14.0-503.el9.img 5.14.0-503.el9\n");

    let none = selected(&["boot/vmlinuz"], &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stdout).contains("Unable to detect operating system"));
}

#[test]
fn hooks_find_the_libraries_on_the_host_and_in_the_chroot() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    sandbox
        .element("asks")
        .hook("extra-data.d/50-host", "source $_LIB/common-functions\n[ -x $_LIB/dib-run-parts ]\ndeclare -F die get_image_element_array\nget_image_element_array")
        .hook("extra-data.d/60-elsewhere", "mkdir -p $TMP_MOUNT_PATH/tmp/copy\ncp -L $_LIB/* $TMP_MOUNT_PATH/tmp/copy")
        .hook("install.d/50-chroot", "test -r $_LIB/die\n/tmp/in_target.d/dib-run-parts --list $(dirname $0)\n! declare -F die\n_LIB=/tmp/copy\nsource $_LIB/img-functions\necho reached");
    let outcome = sandbox.run(["-n", "-t", "tar", "fake-os", "asks"]).succeeded();
    for line in ["get_image_element_array", "[asks]=", "/tmp/in_target.d/install.d/50-chroot", "reached"] {
        assert!(outcome.stderr.contains(line), "{line}: {}", outcome.stderr);
    }
    sandbox.assert_clean();
}

#[test]
fn scripts_that_need_upstreams_python_modules_run_without_any() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let squash = "#!/usr/bin/env python3\nfrom diskimage_builder import logging_config\n";
    sandbox
        .element("asks")
        .file("package-installs.yaml", "curl:\n")
        .file("bin/package-installs-squash", squash)
        .hook(
            "extra-data.d/99-squash",
            "sudo -E $DIB_PYTHON_EXEC $(dirname $0)/../bin/package-installs-squash --elements=\"$IMAGE_ELEMENT\" --path=$ELEMENTS_PATH $TMP_MOUNT_PATH/tmp/p.json\ncat $TMP_MOUNT_PATH/tmp/p.json",
        )
        .hook("cleanup.d/50-none", "! PATH=/nowhere $DIB_PYTHON_EXEC -c 'print(1)'");
    let outcome = sandbox.run(["-n", "-t", "tar", "fake-os", "asks"]).succeeded();
    assert!(outcome.stderr.contains("\"curl\""), "{}", outcome.stderr);
    outcome.says("this host has none").says("DIB_PYTHON_EXEC");
}
