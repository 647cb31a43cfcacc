//! Edited initramfs images: what is asked for is there, and everything else is as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Sandbox, skip_without, skip_without_data, skip_without_root, test_data};

const INSTALLER: &str = "debian-installer-12-netboot-amd64";
const KERNEL: &str = "linux-image-cloud-amd64";

fn installer() -> PathBuf {
    test_data(INSTALLER).join("usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz")
}

/// Runs a script of reference programs where the program runs; gives what it prints.
#[track_caller]
fn sh(sandbox: &Sandbox, script: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(sandbox.path("out"));
    let out = command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC")]).output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A base with merged /usr, an early segment, hard links and systemd: `base`.
fn base(sandbox: &Sandbox) {
    let script = r"
        mkdir -p tree/{dev,etc,usr/lib/systemd/system,usr/bin}
        ln -s usr/lib tree/lib
        ln -s usr/bin tree/bin
        mknod tree/dev/null c 1 3
        for name in one two three; do [ $name = one ] && echo linked > tree/usr/bin/one || ln tree/usr/bin/one tree/usr/bin/$name; done
        echo old > tree/etc/conf
        chown 12:34 tree/etc/conf
        chmod 4711 tree/etc/conf
        echo program > tree/usr/lib/systemd/systemd
        echo old unit > tree/usr/lib/systemd/system/old.service
        find tree -exec touch -h -d @1600000000 {} +
        (cd tree && find . | sort | cpio -o -H newc --quiet) | gzip -n > main.gz
        mkdir -p early/kernel/x86/microcode
        head -c 3000 /dev/urandom > early/kernel/x86/microcode/GenuineIntel.bin
        (cd early && find . | cpio -o -H newc --quiet) > early.cpio
        cat early.cpio main.gz > base
    ";
    sh(sandbox, script);
}

fn cannot() -> bool {
    skip_without_root() || skip_without(&["cpio", "zstd"])
}

/// What cpio makes of the main segment, which is behind the early one and compressed with zstd.
#[track_caller]
fn listing(sandbox: &Sandbox, image: &str) -> String {
    let skip = "size=$(stat -c %s early.cpio); cmp -n $size early.cpio IMAGE; tail -c +$((size + 5)) IMAGE | zstd -dc";
    let script = format!("{skip} > main.cpio; cpio -tv --numeric-uid-gid --quiet < main.cpio | tr -s ' '");
    sh(sandbox, &script.replace("IMAGE", image))
}

#[test]
fn what_is_asked_for_is_done_and_the_rest_survives() {
    if cannot() {
        return;
    }
    let sandbox = Sandbox::new();
    base(&sandbox);
    sh(
        &sandbox,
        "mkdir -p dir/sub; echo new > new; echo a > dir/sub/a; ln -s a dir/sub/link; touch -d @1700000000 new dir/sub/a dir/sub dir",
    );
    let edit = [
        "initramfs",
        "edit",
        "base",
        "-o",
        "new.img",
        "--compress",
        "zstd",
        "--add",
        "new:/lib/deep/new",
        "--add",
        "dir:/etc",
        "--replace",
        "new:/etc/conf",
        "--remove",
        "/bin/one",
        "--remove",
        "usr/lib/systemd/system/*",
    ];
    sandbox.run(edit).succeeded().says("2 entries removed, 1 replaced, 5 added").says("1 segments were copied");
    let after = listing(&sandbox, "new.img");
    let has = |line: &str| assert!(after.lines().any(|l| l == line), "no '{line}' in\n{after}");
    has("crw-r--r-- 1 0 0 1, 3 Sep 13 2020 dev/null");
    has("-rws--x--x 1 12 34 4 Nov 14 2023 etc/conf");
    has("-rw-r--r-- 1 0 0 4 Nov 14 2023 usr/lib/deep/new");
    has("-rw-r--r-- 1 0 0 2 Nov 14 2023 etc/sub/a");
    assert!(
        after.contains("etc/sub/link -> a") && after.contains("drwxr-xr-x 2 0 0 0 Nov 14 2023 usr/lib/deep"),
        "{after}"
    );
    assert!(!after.contains("usr/bin/one") && !after.contains("old.service"), "{after}");
    // Two of three names are left, and the content is there.
    assert_eq!(after.matches("-rw-r--r-- 2 0 0").count(), 2, "{after}");
    let unpacked = sh(
        &sandbox,
        "mkdir x; cd x; cpio -id --quiet < ../main.cpio; cat bin/two bin/three; [ bin/two -ef bin/three ]",
    );
    assert_eq!(unpacked, "linked\nlinked\n");
}

#[test]
fn the_same_edit_makes_the_same_bytes() {
    if cannot() {
        return;
    }
    let mut sandbox = Sandbox::new();
    base(&sandbox);
    sh(&sandbox, "echo new > new");
    sandbox.env("SOURCE_DATE_EPOCH", "1650000000");
    for compression in ["zstd", "xz:1", "gzip", "lzma:1", "lz4", "none"] {
        let edit = |name: &str| {
            let args = ["initramfs", "edit", "base", "-o", name, "--add", "new:/new", "--compress", compression];
            sandbox.run(args).succeeded();
            fs::read(sandbox.path("out").join(name)).unwrap()
        };
        let one = edit("one");
        sh(&sandbox, "touch new");
        assert!(one == edit("two"), "{compression}");
    }
    let list = sandbox.run(["initramfs", "list", "-l", "one", "new", "etc/conf"]).succeeded().stdout;
    assert!(list.contains("2022-04-15 05:20:00 new") && list.contains("2020-09-13 12:26:40 etc/conf"), "{list}");
}

#[test]
fn edits_that_cannot_be_done_are_told_at_once_and_write_nothing() {
    if cannot() {
        return;
    }
    let sandbox = Sandbox::new();
    base(&sandbox);
    sh(&sandbox, "echo new > new");
    let edit = |args: &[&str]| sandbox.run([&["initramfs", "edit", "base", "-o", "never"][..], args].concat());
    let both = edit(&["--remove", "/etc/cnof", "--replace", "new:/etc/none"]).failed(2);
    both.says("nothing in it matches '/etc/cnof'").says("did you mean 'etc/conf'?").says("no /etc/none in it");
    let onto = edit(&["--add", "new:/etc", "--add", "no-such:/x"]).failed(2);
    onto.says("/etc is a directory").says("name the file, too: /etc/new").says("no-such: cannot be read");
    edit(&["--add", "new:/etc/conf/x"]).failed(2).says("/etc/conf is no directory");
    edit(&["--add", "new:../x"]).failed(2).says("no name for it");
    edit(&["--add", "new"]).failed(2).says("no ':'");
    edit(&["--compress", "zstd:99"]).failed(2).says("levels of 'zstd' are 1 to 19");
    edit(&["--program", "no-such-program"]).failed(2).says("program no-such-program, needed by --program");
    edit(&["--modules", "9.9:x", "--modules-dir", "."]).failed(2).says("no modules of kernel 9.9");
    let left: Vec<_> = fs::read_dir(sandbox.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("never")), "{left:?}");
}

#[test]
fn units_replace_others_or_are_enabled() {
    if cannot() {
        return;
    }
    let sandbox = Sandbox::new();
    base(&sandbox);
    sh(&sandbox, "echo new unit > old.service; printf '[Install]\\nWantedBy=initrd.target\\n' > my.service");
    let edit = ["initramfs", "edit", "base", "-o", "new.img", "--unit", "old.service", "--unit", "my.service"];
    sandbox.run(edit).succeeded();
    sandbox.run(["initramfs", "cat", "new.img", "/lib/systemd/system/old.service"]).succeeded().prints("new unit");
    let list = sandbox.run(["initramfs", "list", "-l", "new.img", "etc/systemd"]).succeeded().stdout;
    assert!(
        list.contains("etc/systemd/system/initrd.target.wants/my.service -> /etc/systemd/system/my.service"),
        "{list}"
    );
}

#[test]
fn a_program_runs_in_an_image_that_names_its_directories_otherwise() {
    if cannot() || skip_without_data(&[INSTALLER]) || skip_without(&["sgdisk"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let base = installer();
    let edit = [
        "initramfs",
        "edit",
        base.to_str().unwrap(),
        "-o",
        "new.img",
        "--program",
        "/sbin/sgdisk",
        "--compress",
        "zstd:1",
    ];
    sandbox.run(edit).succeeded();
    sandbox.run(["initramfs", "extract", "new.img", "root"]).succeeded();
    // By both names, and programs of the base with the library that came along.
    let said = sh(
        &sandbox,
        "chroot root /sbin/sgdisk --version; chroot root /usr/sbin/sgdisk --version; chroot root /bin/sh -c 'echo shell'",
    );
    assert_eq!(said.matches("GPT fdisk").count(), 2, "{said}");
    assert!(said.contains("shell"));
}

#[test]
fn libraries_that_only_ld_so_conf_leads_to_are_found_in_the_edited_image() {
    if cannot() || skip_without(&["gcc", "ldconfig"]) {
        return;
    }
    let sandbox = Sandbox::new();
    // The base has a cache of its own, with a library that is not in it and one of the same name.
    let script = r#"
        echo 'int mine(void) { return 7; }' > mine.c
        echo 'int mine(void) { return 1; }' > old.c
        echo 'int mine(void); int main(void) { return mine() == 7 ? 0 : 1; }' > main.c
        mkdir -p root/{etc,opt/lib,usr/bin,usr/lib} base.d/{etc,opt/{old,other}}
        for dir in /lib /lib64; do [ ! -d $dir ] || { mkdir -p root/usr$dir; ln -s usr$dir root$dir; }; done
        ldd /bin/sh | grep -o '/[^ ]*' | xargs -i cp --parents -L {} root/
        gcc -shared -Wl,-soname,libmine.so.1 -o root/opt/lib/libmine.so.1 mine.c
        gcc -shared -Wl,-soname,libmine.so.1 -o base.d/opt/old/libmine.so.1 old.c
        gcc -shared -Wl,-soname,libother.so.1 -o base.d/opt/other/libother.so.1 old.c
        gcc -o root/usr/bin/one main.c root/opt/lib/libmine.so.1
        echo /opt/lib > root/etc/ld.so.conf
        printf '/opt/old\n/opt/other\n' > base.d/etc/ld.so.conf
        ldconfig -X -r base.d
        (cd base.d && find . | sort | cpio -o -H newc --quiet) > base
    "#;
    sh(&sandbox, script);
    let edit = ["initramfs", "edit", "base", "-o", "new", "--root", "root", "--program", "one", "--compress", "none"];
    sandbox.run(edit).succeeded();
    sandbox.run(["initramfs", "extract", "new", "there"]).succeeded();
    sh(&sandbox, "chroot there /usr/bin/one");
    let known = sh(&sandbox, "ldconfig -p -C there/etc/ld.so.cache");
    for path in ["/opt/lib/libmine.so.1", "/opt/old/libmine.so.1", "/opt/other/libother.so.1"] {
        assert!(known.contains(path), "{path} in {known}");
    }
    // Who brings a cache is left with it.
    let own = [&edit[..], &["--replace", "mine.c:/etc/ld.so.cache"]].concat();
    sandbox.run(own).succeeded();
    sandbox.run(["initramfs", "cat", "new", "/etc/ld.so.cache"]).succeeded().prints("return 7");
}

#[test]
fn modules_of_a_new_kernel_take_the_place_of_the_old_ones() {
    if cannot() || skip_without_data(&[INSTALLER, KERNEL]) || skip_without(&["modprobe"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let (base, kernel) = (installer(), test_data(KERNEL));
    let version = fs::read_dir(kernel.join("lib/modules")).unwrap().next().unwrap().unwrap().file_name();
    let version = version.to_str().unwrap();
    let show =
        |root: &str, module: &str| sh(&sandbox, &format!("modprobe -d {root} -S {version} --show-depends {module}"));
    let edit = |base: &Path, output: &str, wish: &str, more: &[&str]| {
        let wish = format!("{version}{wish}");
        let args =
            ["initramfs", "edit", base.to_str().unwrap(), "-o", output, "--compress", "zstd:1", "--modules", &wish];
        sandbox.run([&args[..], &["--modules-dir", kernel.to_str().unwrap()], more].concat()).succeeded()
    };
    edit(&base, "one.img", "", &["--remove", "/lib/modules/*"]).says("of the base's modules");
    sandbox.run(["initramfs", "info", "one.img"]).succeeded().prints(&format!("kernel: {version}, "));
    sandbox.run(["initramfs", "extract", "one.img", "one", "lib/modules"]).succeeded();
    assert!(show("one", "virtio_net").contains("/virtio_net.ko"));
    // More modules beside those that are there: the indexes know both.
    edit(&sandbox.path("out/one.img"), "two.img", ":ipvlan", &[]);
    sandbox.run(["initramfs", "extract", "two.img", "two", "lib/modules"]).succeeded();
    assert!(show("two", "virtio_net").contains("/virtio_net.ko") && show("two", "ipvlan").contains("/ipvlan.ko"));
    for name in ["virtio_net", "ipvlan"] {
        sandbox.run(["initramfs", "list", "two.img", &format!("**/{name}.ko")]).succeeded();
    }
}
