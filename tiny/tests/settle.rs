//! Journals. GRUB reads file systems without them, and so does debugfs: what was written to /boot has to be where it looks
//! while the file system is still mounted. And an old system that is only looked at stays as it is. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use upgrade_tiny::slots::config::SLOTS_JSON;
use upgrade_tiny::slots::place::Place;
use upgrade_tiny::slots::setup;
use upgrade_tiny::steps::machine::{mount_unchanged, protect};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// True, with a line on stderr, when a test is to be skipped.
fn skip() -> bool {
    let has = |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists());
    let able = nix::unistd::geteuid().is_root() && ["mkfs.ext4", "debugfs", "xfs_io"].into_iter().all(has);
    assert!(
        able || std::env::var_os("CI").is_none(),
        "this test needs root, e2fsprogs and xfsprogs, and in CI nothing is skipped"
    );
    if !able {
        eprintln!("SKIPPED: it needs root, e2fsprogs and xfsprogs");
    }
    !able
}

/// A mount that ends with the test.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).status().ok();
    }
}

#[test]
fn what_is_set_up_lies_where_grub_finds_it() {
    if skip() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (root, image) = (dir.path().join("root"), dir.path().join("image"));
    let boot = root.join("boot");
    fs::create_dir_all(&boot).unwrap();
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg(&image));
    run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&boot));
    let mounted = Mounted(&boot);
    for (path, text) in [
        (SLOTS_JSON, r#"{"slot": "root", "group": "VA", "slots": ["root", "back"]}"#),
        ("usr/lib/modules/6.1/modules.dep", ""),
        ("boot/vmlinuz-6.1", "kernel"),
        ("boot/initramfs-6.1.img", "initramfs"),
        ("boot/grub2/grub.cfg", "source $prefix/custom.cfg\n"),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    let place = Place::at(&root);
    setup::setup(&place).unwrap();
    setup::pin(&place, &upgrade_tiny::slots::config::Config::read(&root).unwrap()).unwrap();
    let on_disk = |path: &str| run(Command::new("debugfs").args(["-R", &format!("cat {path}")]).arg(&image));
    assert!(on_disk("/grub2/slots.env").contains("slots_good=root\n"));
    assert_eq!(on_disk("/grub2/custom.cfg"), fs::read_to_string(boot.join("grub2/custom.cfg")).unwrap());
    assert_eq!(on_disk("/slots/root/vmlinuz"), "kernel");
    let mut env = place.env().unwrap();
    env.set("slots_next", "back");
    place.write_env(&env).unwrap();
    assert!(on_disk("/grub2/slots.env").contains("slots_next=back\n"));
    fs::write(boot.join("thawed"), "").unwrap();
    drop(mounted);
}

/// A loop device that is gone when nobody uses it any more.
struct Attached(String);

impl Attached {
    fn to(image: &Path) -> Self {
        Self(run(Command::new("losetup").args(["--find", "--show"]).arg(image)).trim().to_owned())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        Command::new("losetup").args(["--detach", &self.0]).status().ok();
    }
}

#[test]
fn an_old_system_is_looked_at_without_a_change_unless_its_journal_has_to_be_replayed() {
    if skip() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (image, place) = (dir.path().join("image"), dir.path().join("place"));
    fs::create_dir_all(&place).unwrap();
    for (kind, mkfs) in [("xfs", "mkfs.xfs"), ("ext4", "mkfs.ext4")] {
        for clean in [true, false] {
            fs::remove_file(&image).ok();
            fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
            run(Command::new(mkfs).arg("-q").arg(&image));
            {
                let device = Attached::to(&image);
                run(Command::new("mount").arg(&device.0).arg(&place));
                let _mounted = Mounted(&place);
                fs::write(place.join("file"), "text").unwrap();
                fs::File::open(place.join("file")).unwrap().sync_all().unwrap();
                if clean {
                    // As a machine's root is left when it is switched off.
                    run(Command::new("mount").args(["-o", "remount,ro"]).arg(&place));
                } else {
                    // The journal is written, the places that it is for are not.
                    run(Command::new("xfs_io").args(["-x", "-c", "shutdown -f"]).arg(&place));
                }
                fs::copy(&image, dir.path().join("switched-off")).unwrap();
            }
            fs::rename(dir.path().join("switched-off"), &image).unwrap();
            let before = fs::read(&image).unwrap();
            let device = Attached::to(&image);
            assert_eq!(mount_unchanged(Path::new(&device.0), &place, kind).unwrap(), clean, "{kind}");
            let mounted = Mounted(&place);
            assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "text");
            drop(mounted);
            // The next one who gets the loop device wants to write.
            protect(Path::new(&device.0), false).unwrap();
            run(Command::new("sync").arg(&device.0));
            // No assert_eq: it would print both.
            assert!((fs::read(&image).unwrap() == before) == clean, "{kind}");
        }
    }
}
