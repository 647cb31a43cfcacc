//! Builds with logical volumes, over the small made-up system.

use std::process::Command;

use crate::support::volumes::{LAYOUT, sound_and_holds, volumes};
use crate::support::{Sandbox, skip_without, skip_without_root};

/// What a hook of finalise.d sees.
const LOOK: &str = "printf '%s\\n' \"$IMAGE_ROOT_VOLUME\" \"$IMAGE_BOOT_VOLUME\" \"$IMAGE_ROOT_PARTITION\" \"${IMAGE_BLOCK_DEVICES:-}\" \
                    \"$DIB_MOUNTPOINTS\" >/var/seen\ncat /etc/fstab >>/var/seen";

fn built(attach: bool) -> (Sandbox, String) {
    let mut sandbox = Sandbox::new();
    sandbox.env("DIB_BLOCK_DEVICE_CONFIG", LAYOUT);
    sandbox.fake_os().hook("install.d/50-file", "mkdir -p /var /etc; date >/etc/old");
    sandbox.element("look").hook(
        "cleanup.d/50-look",
        &LOOK.replace("/var/seen", "$TARGET_ROOT/var/seen").replace("/etc", "$TARGET_ROOT/etc"),
    );
    let mut args = vec!["-n", "-t", "raw", "-o", "x", "--image-size", "0.5", "fake-os", "look"];
    if attach {
        args.insert(0, "--attach");
    }
    sandbox.run(args).succeeded();
    let raw = sandbox.path("out/x.raw");
    let [root, var] = volumes(&sandbox.path("etc"), &raw);
    sound_and_holds(&root, "/etc/old");
    sound_and_holds(&var, "/seen");
    let seen = Command::new("debugfs").args(["-R", "cat /seen"]).arg(&var).output().unwrap();
    sandbox.assert_clean();
    (sandbox, String::from_utf8(seen.stdout).unwrap())
}

#[test]
fn volumes_are_written_without_a_device() {
    if skip_without_root() || skip_without(&["lvm", "e2fsck", "debugfs"]) {
        return;
    }
    let (_sandbox, seen) = built(false);
    let fstab = "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=var /var ext4 defaults 0 2\n";
    assert_eq!(seen, format!("vg--test-lv_root\nvg--test-lv_root\n\n\n/|/var\n{fstab}"));
}

#[test]
fn volumes_are_mounted_for_hooks_that_want_a_device() {
    if skip_without_root() || skip_without(&["lvm", "e2fsck", "debugfs"]) {
        return;
    }
    let (_sandbox, seen) = built(true);
    let devices = seen.lines().nth(3).unwrap();
    for name in ["a", "b", "image0", "lv_root", "lv_var"] {
        assert!(devices.contains(&format!("[{name}]=/dev/loop")), "{devices}");
    }
}
