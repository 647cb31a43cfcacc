//! GRUB reads file systems without their journals, and so does debugfs: what was written to /boot has to be where it looks
//! while the file system is still mounted. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use upgrade_tiny::slots::config::SLOTS_JSON;
use upgrade_tiny::slots::place::Place;
use upgrade_tiny::slots::setup;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
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
    let has = |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists());
    if !nix::unistd::geteuid().is_root() || !["mkfs.ext4", "debugfs"].into_iter().all(has) {
        assert!(std::env::var_os("CI").is_none(), "this test needs root and e2fsprogs, and in CI nothing is skipped");
        eprintln!("SKIPPED: it needs root and e2fsprogs");
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
