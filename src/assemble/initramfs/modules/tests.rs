//! Damaged modules and indexes; real kernels are in `tests/initramfs/modules.rs`.

use std::fs;
use std::path::Path;

use super::*;
use crate::assemble::initramfs::view::RootDir;

fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, RootDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join("lib/modules/1.0").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let view = RootDir::new(dir.path()).unwrap();
    (dir, view)
}

#[test]
fn damaged_indexes_are_told_with_their_line() {
    let (_dir, view) = tree(&[("modules.dep", "kernel/a.ko:\nkernel/b.ko\n")]);
    let text = Index::load(&view, "1.0").unwrap_err().to_string();
    assert_eq!(text, "/lib/modules/1.0/modules.dep:2: there is no ':' behind a file");
    let (_dir, view) = tree(&[("modules.dep", "../../../etc/a.ko:\n")]);
    assert!(Index::load(&view, "1.0").unwrap_err().to_string().contains("leads out"));
}

#[test]
fn modules_that_are_not_there_are_told_with_chains() {
    let (_dir, view) = tree(&[
        ("modules.dep", "kernel/a.ko: kernel/b.ko\nkernel/b.ko:\nkernel/c.ko: kernel/d.ko\n"),
        ("kernel/a.ko", ""),
        ("kernel/c.ko", ""),
        ("modules.builtin", "kernel/e.ko\n"),
    ]);
    let index = Index::load(&view, "1.0").unwrap();
    let mut selection = Selection::new(&view, &index);
    selection.firmware(firmware::Policy::Leave).asked_by("me").add("a").add("c").add("e");
    let text = selection.finish().unwrap_err().to_string();
    assert!(
        text.contains("module b, needed by a, needed by me: modules.dep names /lib/modules/1.0/kernel/b.ko"),
        "{text}"
    );
    assert!(text.contains("module d, needed by c, needed by me"), "{text}");
    let mut selection = Selection::new(&view, &index);
    selection.add("a");
    let text = selection.finish().unwrap_err().to_string();
    assert!(text.contains("/lib/modules/1.0/kernel/a.ko is a damaged module"), "{text}");
}

#[test]
fn soft_and_weak_dependencies_are_taken_if_they_are_there() {
    let (_dir, view) = tree(&[
        ("modules.dep", "kernel/a.ko:\nkernel/pre.ko:\nkernel/post.ko:\nkernel/weak.ko:\nkernel/other.ko:\n"),
        ("modules.softdep", "# x\nsoftdep a pre: crypto-x gone post: post\nsoftdep a other\n"),
        ("modules.weakdep", "weakdep a weak\n"),
        ("modules.alias", "alias crypto_x pre\nalias platform:Fixed MDIO bus post\n"),
        ("kernel/a.ko", ""),
        ("kernel/pre.ko", ""),
        ("kernel/post.ko", ""),
        ("kernel/weak.ko", ""),
        ("kernel/other.ko", ""),
    ]);
    let index = Index::load(&view, "1.0").unwrap();
    let mut selection = Selection::new(&view, &index);
    selection.firmware(firmware::Policy::Leave).add("a");
    assert_eq!(selection.finish().unwrap().names().len(), 5);
    assert_eq!(index.aliases.find("platform:Fixed MDIO bus"), ["post"]);
    let files = Tables::all(&index).files();
    let text = |name: &str| String::from_utf8(files.iter().find(|(n, _)| *n == name).unwrap().1.clone()).unwrap();
    assert!(text("modules.softdep").ends_with("softdep a pre: crypto-x gone post: post\nsoftdep a other\n"));
    assert!(text("modules.weakdep").ends_with("weakdep a weak\n"));
}

#[test]
fn settings_of_the_tree_add_soft_dependencies() {
    let (dir, view) = tree(&[
        ("modules.dep", "kernel/a-b.ko:\nkernel/c.ko:\nkernel/d.ko:\n"),
        ("kernel/a-b.ko", ""),
        ("kernel/c.ko", ""),
        ("kernel/d.ko", ""),
    ]);
    for (place, text) in
        [("etc", "# softdep a-b pre: x\nsoftdep a_b \\\n  pre: c\n"), ("usr/lib", "softdep a-b pre: d\n")]
    {
        fs::create_dir_all(dir.path().join(place).join("modprobe.d")).unwrap();
        fs::write(dir.path().join(place).join("modprobe.d/x.conf"), text).unwrap();
    }
    let index = Index::load(&view, "1.0").unwrap();
    let mut selection = Selection::new(&view, &index);
    selection.firmware(firmware::Policy::Leave).add("a-b");
    // The file in /etc hides the other one of its name.
    assert_eq!(selection.finish().unwrap().names().into_iter().collect::<Vec<_>>(), ["a_b", "c"]);
    let files = Tables::all(&index).files();
    let softdep = &files.iter().find(|(name, _)| *name == "modules.softdep").unwrap().1;
    assert_eq!(softdep.iter().filter(|&&b| b == b'\n').count(), 1, "settings stay in their files");
}

#[test]
fn settings_of_the_tree_say_what_aliases_mean() {
    let (dir, view) = tree(&[
        ("modules.dep", "kernel/a.ko:\nkernel/b-c.ko:\nkernel/d.ko:\nkernel/e.ko: kernel/a.ko\n"),
        ("modules.alias", "alias pci:v1* a\nalias pci:v1* b_c\nalias pci:v2* d\nalias pci:v3* e\nalias fs-x a\n"),
        ("modules.builtin", "kernel/f.ko\n"),
        ("kernel/a.ko", ""),
        ("kernel/b-c.ko", ""),
        ("kernel/d.ko", ""),
        ("kernel/e.ko", ""),
    ]);
    for (place, text) in [
        ("etc/modprobe.d/a.conf", "# blacklist d\nalias pci:v2* off\nblacklist \\\n a\n"),
        ("run/modprobe.d/b.conf", "alias usb:v9p[0-9]* b-c\nalias net-f f\nalias d b-c\n"),
        ("lib/modprobe.d/a.conf", "blacklist b-c\n"),
        ("usr/lib/modprobe.d/c.txt", "blacklist b-c\n"),
    ] {
        let path = dir.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let index = Index::load(&view, "1.0").unwrap();
    assert_eq!(index.aliased("pci:v1d2"), ["b_c"], "a is blacklisted; the file in /etc hides the other of its name");
    assert_eq!(index.aliased("pci:v2d1"), [""; 0], "the settings come before the modules' own aliases");
    assert_eq!(index.aliased("usb:v9p7"), ["b_c"]);
    assert_eq!(index.aliased("net-f"), ["f"]);
    let chosen = |request: &str| {
        let mut selection = Selection::new(&view, &index);
        selection.firmware(firmware::Policy::Leave).add(request);
        selection.finish().map(|picked| picked.names().into_iter().collect::<Vec<_>>()).map_err(|e| e.to_string())
    };
    assert_eq!(chosen("a").unwrap(), ["a"], "a module's own name is no alias");
    assert_eq!(chosen("d").unwrap(), ["b_c", "d"], "modprobe takes the alias, and who asks for a file gets it");
    assert!(chosen("fs-x").unwrap_err().contains("it is an alias of a, which the tree's modprobe.d blacklists"));
    let profile = Profile::parse(Path::new("p"), "pci:v1d2\npci:v2\npci:v3\nusb:v9p7\n").unwrap();
    let mut selection = Selection::new(&view, &index);
    let picked = selection.firmware(firmware::Policy::Leave).add_hardware(&profile).search().0;
    // What a driver needs comes along, be it blacklisted or not.
    assert_eq!(picked.names().into_iter().collect::<Vec<_>>(), ["a", "b_c", "e"]);
}

#[test]
fn damaged_modules_never_panic() {
    let good = fs::read("/usr/bin/ls").unwrap();
    let mut state = 11_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let table = good.len() - 4096;
    for round in 0..200 {
        let mut bytes = good.clone();
        for _ in 0..8 {
            let at = if round % 2 == 0 { random(1024) } else { table + random(4096) };
            bytes[at] = random(256) as u8;
        }
        bytes.truncate(if round % 3 == 0 { random(good.len()) } else { good.len() });
        modinfo::read(Path::new("x.ko"), bytes).ok();
    }
    for magic in [&[0x1f, 0x8b][..], &[0xfd, b'7', b'z', b'X', b'Z', 0], &[0x28, 0xb5, 0x2f, 0xfd]] {
        assert!(modinfo::read(Path::new("x.ko"), [magic, &[1; 50]].concat()).is_err());
    }
}
