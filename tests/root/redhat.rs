//! The small elements of the Red Hat family, in trees with the real dnf.

use std::process::Command;

use crate::support::standin::{Standin, build_tar};
use crate::support::{Sandbox, skip_without_root};

const SMALL: &str = "basesystem bash coreutils dnf findutils gawk grep rocky-repos rpm sed";

/// The text of a file in `out/x.tar`.
fn in_tar(sandbox: &Sandbox, file: &str) -> String {
    let out = Command::new("tar").arg("-xOf").arg(sandbox.path("out/x.tar")).arg(format!("./{file}")).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// What Rocky's `/etc/selinux/config` has in it.
const SELINUX: &str = "# SELINUX= can take one of these three values:\n#     enforcing\nSELINUX=enforcing\n\
    # SELINUXTYPE= can take one of these three values:\nSELINUXTYPE=targeted\n";

#[test]
fn selinux_is_set_to_permissive_or_disabled_where_it_is() {
    if skip_without_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.fake_os();
    let hook = "mkdir -p /etc/selinux\ncp /tmp/in_target.d/selinux/config /etc/selinux/config";
    sandbox.element("policy").file("selinux/config", SELINUX).hook("install.d/50-policy", hook);
    for (element, mode) in [("selinux-permissive", "permissive"), ("disable-selinux", "disabled")] {
        sandbox.run(["-n", "-t", "tar", "-o", "x", "fake-os", "policy", element]).succeeded();
        let config = in_tar(&sandbox, "etc/selinux/config");
        assert_eq!(config, SELINUX.replace("SELINUX=enforcing", &format!("SELINUX={mode}")));
        // An image without SELinux does not get its directory.
        sandbox.run(["-n", "-t", "tar", "-o", "y", "fake-os", element]).succeeded();
        let out = Command::new("tar").arg("-tf").arg(sandbox.path("out/y.tar")).output().unwrap();
        assert!(!String::from_utf8(out.stdout).unwrap().contains("etc/selinux"));
    }
}

#[test]
fn epel_is_there_from_the_mirror_that_was_chosen_or_turned_off() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = standin.sandbox(SMALL);
    let mirror = standin.serve();
    sandbox.env("DIB_EPEL_MIRROR", &format!("{}/epel/", mirror.url()));
    sandbox.element("uses").file("package-installs.json", r#"{"htop": {}}"#).deps(&["package-installs"]);
    build_tar(&sandbox, &["epel", "uses"]).succeeded().says("Installed: htop");
    let text = in_tar(&sandbox, "etc/yum.repos.d/epel.repo");
    let base = format!("\nbaseurl={}/epel/$releasever/Everything/", mirror.url());
    assert_eq!((text.matches(&base).count(), text.matches("\nmetalink=").count()), (2, 0), "{text}");
    assert_eq!(text.matches("\nenabled=1\n").count(), 1, "{text}");

    sandbox.env("DIB_EPEL_DISABLED", "1");
    build_tar(&sandbox, &["epel"]).succeeded();
    assert_eq!(in_tar(&sandbox, "etc/yum.repos.d/epel.repo").matches("\nenabled=0\n").count(), 2);
    build_tar(&sandbox, &["epel", "uses"]).failed(1).says("htop");
    sandbox.assert_clean();
}

#[test]
fn the_chosen_stream_of_a_module_is_installed() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = standin.sandbox(SMALL);
    let uses = sandbox.element("uses").deps(&["package-installs"]);
    uses.file("package-installs.json", r#"{"standin-tool": {}}"#);
    build_tar(&sandbox, &["uses"]).succeeded().says("Installed: standin-tool-1.4");
    sandbox.env("DIB_DNF_MODULE_STREAMS", "standin-tool:2");
    build_tar(&sandbox, &["uses"]).succeeded().says("Installed: standin-tool-2.0");
    assert!(in_tar(&sandbox, "etc/dnf/modules.d/standin-tool.module").contains("stream=2"));

    // In the bootstrap too.
    sandbox.env("DIB_YUM_MINIMAL_BOOTSTRAP_PACKAGES", "standin-tool");
    build_tar(&sandbox, &[]).succeeded();
    assert!(in_tar(&sandbox, "usr/bin/standin-tool").contains('2'));
    sandbox.env("DIB_DNF_MODULE_STREAMS", "standin-tool:3");
    let outcome = build_tar(&sandbox, &[]);
    assert_ne!(outcome.code, 0);
    outcome.says("standin-tool:3");
    sandbox.assert_clean();
}

/// Looks into the initramfs for programs of lvm.
const LOOK_FOR_LVM: &str = "lsinitrd /boot/initramfs-*.img > /root/list\ngrep -q 'sbin/lvm$' /root/list\n\
    grep -q etc/added /root/list";

#[test]
fn dracut_gets_the_modules_and_settings_of_elements() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = standin.sandbox(SMALL);
    sandbox.env("DIB_DRACUT_ENABLED_MODULES", "\n- name: lvm\n  packages: [lvm2]\n");
    sandbox.env("IMAGE_DRACUT_COMPRESS", "zstd -1 -q -T0");
    sandbox
        .element("adds")
        .deps(&["dracut-regenerate"])
        .file("package-installs.json", r#"{"kernel": {}}"#)
        .file("dracut.conf.d/added.conf", "install_items+=\" /etc/added \"\n")
        .hook("install.d/60-added", "echo added > /etc/added")
        .hook("finalise.d/60-look", LOOK_FOR_LVM);
    let outcome = build_tar(&sandbox, &["adds"]).succeeded();
    assert_eq!(outcome.stderr.matches("Executing: /usr/bin/dracut").count(), 1, "{}", outcome.stderr);
    let line = outcome.stderr.lines().find(|l| l.contains("Executing: /usr/bin/dracut")).unwrap();
    assert!(line.contains("--compress") && line.contains("zstd"), "{line}");
    assert!(in_tar(&sandbox, "etc/dracut.conf.d/50-image-modules.conf").contains("lvm"));
    sandbox.assert_clean();
}

#[test]
fn dkms_builds_modules_for_the_kernel_of_the_image() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = standin.sandbox(SMALL);
    let mirror = standin.serve();
    sandbox.env("DIB_EPEL_MIRROR", &format!("{}/epel", mirror.url())).env("IMAGE_DRACUT_COMPRESS", "zstd -1 -q -T0");
    let uses = sandbox.element("uses").deps(&["epel", "dkms"]);
    uses.file("package-installs.json", r#"{"kernel": {}, "standin-module-dkms": {}}"#);
    build_tar(&sandbox, &["uses"]).succeeded();
    let out = Command::new("tar").arg("-tf").arg(sandbox.path("out/x.tar")).output().unwrap();
    let names = String::from_utf8(out.stdout).unwrap();
    let module = |n: &&str| n.contains("usr/lib/modules/") && n.contains("standin_module.ko");
    assert_eq!(names.lines().filter(module).count(), 1, "{names}");
    assert!(!names.contains("var/lib/dkms/mok.key"));
    sandbox.assert_clean();
}
