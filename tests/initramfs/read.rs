//! Real initramfs images, entry for entry as the reference programs see them, and what is made of damaged ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Sandbox, repository, skip_without, skip_without_data, skip_without_root, test_data};
use chrono::NaiveDateTime;
use image_create::assemble::initramfs::entry::escaped;

const INSTALLER: &str = "debian-installer-12-netboot-amd64";

fn installer() -> PathBuf {
    test_data(INSTALLER).join("usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz")
}

/// Runs a script of reference programs in `dir`; gives what it prints.
#[track_caller]
fn sh(dir: &Path, script: &str, args: &[&str]) -> String {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script, "bash"]).args(args).current_dir(dir);
    let out = command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC")]).output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    // Names that are no text as the program shows them.
    out.stdout.split_inclusive(|b| *b == b'\n').map(|line| escaped(line.trim_ascii_end()) + "\n").collect()
}

/// What `cpio -tv` says of an archive that `unpack` (a command) prints.
#[track_caller]
fn cpio_tv(dir: &Path, unpack: &str, args: &[&str]) -> Vec<String> {
    let script = format!("{unpack} | cpio -tv --numeric-uid-gid --quiet");
    sh(dir, &script, args).lines().map(str::to_owned).collect()
}

/// Fails unless a line of `list --long` says the same as one of `cpio -tv`, which shortens times.
#[track_caller]
fn assert_same_line(ours: &str, theirs: &str) {
    let words: Vec<&str> = ours.split_whitespace().collect();
    let device = usize::from(ours.starts_with(['b', 'c']));
    let (head, rest) = words.split_at(5 + device);
    let time = NaiveDateTime::parse_from_str(&rest[..2].join(" "), "%Y-%m-%d %H:%M:%S").unwrap();
    let forms = ["%b %e %H:%M", "%b %e %Y"].map(|form| {
        let time = time.format(form).to_string();
        let words = head.iter().copied().chain(time.split_whitespace()).chain(rest[2..].iter().copied());
        words.collect::<Vec<_>>().join(" ")
    });
    let theirs = theirs.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(forms.contains(&theirs), "\n{ours}\n{theirs}");
}

#[track_caller]
fn assert_same_list(sandbox: &Sandbox, image: &Path, segment: &str, theirs: &[String]) {
    let list = ["initramfs", "list", "-l", "--segment", segment, image.to_str().unwrap()];
    let ours = sandbox.run(list).succeeded().stdout;
    assert_eq!(ours.lines().count(), theirs.len());
    ours.lines().zip(theirs).for_each(|(ours, theirs)| assert_same_line(ours, theirs));
}

/// A tree with everything that a small image has, as an archive of the cpio program: `main.cpio`.
fn main_archive(sandbox: &Sandbox) {
    let script = r#"
        mkdir -p tree/{bin,dev,etc,usr/lib/modules/6.1.0-test/kernel,proc}
        cp "$1" tree/bin/busybox
        ln -s busybox tree/bin/sh
        ln tree/bin/busybox tree/bin/cat
        ln -s usr/lib tree/lib
        mknod tree/dev/console c 5 1
        mknod tree/dev/sda b 8 0
        mkfifo tree/dev/pipe
        echo settings > tree/etc/conf
        : > tree/etc/empty
        chown 12:34 tree/etc/conf
        chmod 4750 tree/etc/conf
        ln -s /etc/conf tree/etc/link
        printf x > tree/usr/lib/modules/6.1.0-test/kernel/a.ko
        printf x > tree/etc/$'n\xf6t utf-8'
        find tree -exec touch -h -d @1600000000 {} +
        (cd tree && find . | sort | cpio -o -H newc --quiet) > main.cpio
        (cd tree && find . | sort | cpio -o -H crc --quiet) > crc.cpio
        mkdir -p early/kernel/x86/microcode
        head -c 3000 /dev/urandom > early/kernel/x86/microcode/GenuineIntel.bin
        (cd early && find . | cpio -o -H newc --quiet) > early.cpio
    "#;
    sh(&sandbox.path("out"), script, &[test_data("busybox-static").join("bin/busybox").to_str().unwrap()]);
}

fn cannot_make_images() -> bool {
    skip_without_root()
        || skip_without_data(&["busybox-static"])
        || skip_without(&["cpio", "xz", "zstd", "bzip2", "lz4", "lzop"])
}

#[test]
fn the_installers_image_is_read_and_written_as_cpio_does() {
    if skip_without_data(&[INSTALLER]) || skip_without(&["cpio", "zstd"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let image = installer();
    let path = image.to_str().unwrap();
    let theirs = cpio_tv(&sandbox.path("out"), "zcat \"$1\"", &[path]);
    assert!(theirs.len() > 2000);
    assert_same_list(&sandbox, &image, "1", &theirs);
    sandbox.run(["initramfs", "info", path]).succeeded().prints("kernel: 6.1.0-");
    sandbox.run(["initramfs", "edit", path, "-o", "same", "--compress", "zstd:1"]).succeeded();
    assert_eq!(cpio_tv(&sandbox.path("out"), "zstd -dc same", &[]), theirs);
}

#[test]
fn every_compression_is_read_and_written_as_the_reference_programs_do() {
    if cannot_make_images() {
        return;
    }
    let sandbox = Sandbox::new();
    main_archive(&sandbox);
    let dir = sandbox.path("out");
    let theirs = cpio_tv(&dir, "cat main.cpio", &[]);
    assert!(theirs.iter().any(|line| line.contains("5,   1")), "{theirs:#?}");
    let programs = [
        ("gzip", "gzip -n", "gzip -dc"),
        ("xz", "xz --check=crc32", "xz -dc"),
        ("lzma", "xz --format=lzma", "xz --format=lzma -dc"),
        ("zstd", "zstd -q", "zstd -qdc"),
        ("lz4", "lz4 -lzq", "lz4 -dc"),
        ("bzip2", "bzip2", "bzip2 -dc"),
        ("lzo", "lzop", ""),
        ("none", "cat", "cat"),
    ];
    for (name, pack, unpack) in programs {
        // The loader's padding, and a whole image of two segments.
        let script = "{ cat early.cpio; head -c 512 /dev/zero; $1 < main.cpio; head -c 8 /dev/zero; } > image";
        sh(&dir, &script.replace("$1", pack), &[]);
        let info = sandbox.run(["initramfs", "info", "--json", "image"]).succeeded().stdout;
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["segments"][1]["compression"], name);
        assert_eq!(info["microcode"][0], "GenuineIntel", "{name}");
        assert_eq!(info["kernels"][0]["version"], "6.1.0-test", "{name}");
        assert_same_list(&sandbox, &dir.join("image"), "2", &theirs);
        if unpack.is_empty() {
            sandbox.run(["initramfs", "edit", "image", "-o", "other"]).failed(2).says("lzo, which is only read");
            continue;
        }
        let output = sandbox.run(["initramfs", "edit", "image", "-o", "other", "--compress", name]).succeeded();
        output.says("1 segments were copied");
        let (image, other) = (fs::read(dir.join("image")).unwrap(), fs::read(dir.join("other")).unwrap());
        let early = usize::try_from(info["segments"][1]["offset"].as_u64().unwrap()).unwrap();
        assert!(image[..early] == other[..early], "{name}: the early segment is not as it was");
        let main = fs::read(dir.join("other")).unwrap().split_off(early);
        let start = main.iter().position(|b| *b != 0).unwrap();
        fs::write(dir.join("main"), &main[start..]).unwrap();
        assert_eq!(cpio_tv(&dir, &format!("{unpack} < main"), &[]), theirs, "{name}");
        assert_same_list(&sandbox, &dir.join("other"), "2", &theirs);
    }
}

#[test]
fn an_archive_with_sums_is_read() {
    if cannot_make_images() {
        return;
    }
    let sandbox = Sandbox::new();
    main_archive(&sandbox);
    let theirs = cpio_tv(&sandbox.path("out"), "cat crc.cpio", &[]);
    assert_same_list(&sandbox, &sandbox.path("out/crc.cpio"), "1", &theirs);
    let mut bytes = fs::read(sandbox.path("out/crc.cpio")).unwrap();
    let at = bytes.windows(8).position(|w| w == b"settings").unwrap();
    bytes[at] ^= 1;
    fs::write(sandbox.path("out/bad"), bytes).unwrap();
    sandbox.run(["initramfs", "list", "bad"]).failed(2).says("segment 1").says("sum of the bytes of 'etc/conf'");
}

#[test]
fn an_image_of_dracut_is_read_and_written_as_cpio_does() {
    if skip_without_root() || skip_without(&["dracut", "cpio"]) {
        return;
    }
    let kept = repository().join("target/test-images/dracut-base.img");
    if !kept.exists() {
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        let script = "dracut -q --no-hostonly --no-kernel --gzip -m base --force \"$1.new\" && mv \"$1.new\" \"$1\"";
        sh(repository(), script, &[kept.to_str().unwrap()]);
    }
    let sandbox = Sandbox::new();
    let theirs = cpio_tv(&sandbox.path("out"), "zcat \"$1\"", &[kept.to_str().unwrap()]);
    assert_same_list(&sandbox, &kept, "1", &theirs);
    sandbox.run(["initramfs", "edit", kept.to_str().unwrap(), "-o", "same", "--compress", "none"]).succeeded();
    assert_eq!(cpio_tv(&sandbox.path("out"), "cat same", &[]), theirs);
    sandbox.run(["initramfs", "cat", kept.to_str().unwrap(), "/lib/../../etc/os-release"]).succeeded().prints("ID=");
}

/// Makes an image as Debian makes it, with the microcode of its package, but for no kernel and so without modules: that
/// takes a second instead of half a minute.
const MKINITRAMFS: &str = r#"
    microcode=$1 image=$2 work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cp -r /etc/initramfs-tools "$work/conf" 2>/dev/null || mkdir "$work/conf"
    mkdir -p "$work/conf"/{conf.d,hooks,scripts} "$work/boot"
    echo CONFIG_RD_ZSTD=y > "$work/boot/config-6.1.0-none"
    printf 'MODULES=list\nBUSYBOX=auto\nKEYMAP=n\nCOMPRESS=zstd\nDEVICE=\nFSTYPE=auto\nRUNSIZE=10%%\n' > "$work/conf/initramfs.conf"
    : > "$work/conf/modules"
    # The package's own hook, which looks for the files where they are unpacked, on processors of any make.
    sed -e "s,^AUCODE_FW_DIR=.*,AUCODE_FW_DIR=$microcode/lib/firmware/amd-ucode," -e "s,^AMD64UCODE_INITRAMFS=.*,AMD64UCODE_INITRAMFS=early,"         "$microcode/usr/share/initramfs-tools/hooks/amd64_microcode" > "$work/conf/hooks/amd64_microcode"
    chmod +x "$work/conf/hooks/amd64_microcode"
    make='mount --bind "$1/boot" /boot; exec mkinitramfs -d "$1/conf" -o "$2" 6.1.0-none'
    PATH=$PATH:/usr/sbin:/sbin unshare -m bash -c "$make" bash "$work" "$image.new" 2> "$work/said" || { cat "$work/said" >&2; exit 1; }
    mv "$image.new" "$image"
"#;

#[test]
fn an_image_of_initramfs_tools_with_microcode_is_read_and_written_as_cpio_does() {
    let data = "amd64-microcode";
    if skip_without_root() || skip_without_data(&[data]) || skip_without(&["mkinitramfs", "cpio", "zstd"]) {
        return;
    }
    let kept = repository().join("target/test-images/initramfs-tools-microcode.img");
    if !kept.exists() {
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        sh(repository(), MKINITRAMFS, &[test_data(data).to_str().unwrap(), kept.to_str().unwrap()]);
    }
    let sandbox = Sandbox::new();
    let (dir, image) = (sandbox.path("out"), kept.to_str().unwrap());
    let info = |image: &str| -> serde_json::Value {
        serde_json::from_str(&sandbox.run(["initramfs", "info", "--json", image]).succeeded().stdout).unwrap()
    };
    let main = |info: &serde_json::Value| info["segments"][1]["offset"].as_u64().unwrap().to_string();
    let whole = info(image);
    assert_eq!(
        (&whole["segments"][0]["compression"], &whole["microcode"][0]),
        (&"none".into(), &"AuthenticAMD".into())
    );
    assert_eq!(
        (whole["segments"].as_array().unwrap().len(), &whole["segments"][1]["compression"]),
        (2, &"zstd".into())
    );
    let early = main(&whole);
    let first = cpio_tv(&dir, "head -c \"$2\" \"$1\"", &[image, &early]);
    let second = cpio_tv(&dir, "tail -c +$(($2 + 1)) \"$1\" | zstd -dc", &[image, &early]);
    assert!(first.iter().any(|line| line.ends_with("kernel/x86/microcode/AuthenticAMD.bin")), "{first:#?}");
    assert!(second.iter().any(|line| line.ends_with(" init")) && second.len() > 100, "{second:#?}");
    assert_same_list(&sandbox, &kept, "1", &first);
    assert_same_list(&sandbox, &kept, "2", &second);
    sandbox.run(["initramfs", "edit", image, "-o", "same", "--compress", "zstd:1"]).succeeded();
    let cut = "cmp -n \"$1\" \"$2\" same; tail -c +$(($3 + 1)) same | zstd -dc";
    assert_eq!(cpio_tv(&dir, cut, &[&early, image, &main(&info("same"))]), second);
    sandbox.run(["initramfs", "extract", "same", "there"]).succeeded();
    let microcode = test_data(data).join("lib/firmware/amd-ucode");
    let script = "cat \"$1\"/*.bin | wc -c; wc -c < there/kernel/x86/microcode/AuthenticAMD.bin";
    let sizes = sh(&dir, script, &[microcode.to_str().unwrap()]);
    let sizes: Vec<u64> = sizes.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(sizes[0] > 100_000 && sizes[1] >= sizes[0], "{sizes:?}");
}

#[test]
fn what_is_unpacked_is_what_cpio_unpacks() {
    if cannot_make_images() {
        return;
    }
    let sandbox = Sandbox::new();
    main_archive(&sandbox);
    sandbox.run(["initramfs", "extract", "main.cpio", "ours"]).succeeded();
    sh(&sandbox.path("out"), "mkdir theirs; cd theirs; cpio -id --quiet < ../main.cpio", &[]);
    let tree = "cd \"$1\"; find . -mindepth 1 -printf '%M %n %U %G %s %p %l\\n' | sed 's/^\\(d.*\\) [0-9]* \\./\\1 ./' | sort -k6";
    let list = |dir: &str| sh(&sandbox.path("out"), tree, &[dir]);
    assert_eq!(list("ours"), list("theirs"));
    sh(&sandbox.path("out"), "cmp ours/bin/cat theirs/bin/cat; [ ours/bin/cat -ef ours/bin/busybox ]", &[]);
    let times = "find ours -mindepth 1 ! -newermt @1600000001 | wc -l; find theirs -mindepth 1 | wc -l";
    let counts = sh(&sandbox.path("out"), times, &[]);
    let counts: Vec<&str> = counts.lines().collect();
    assert_eq!(counts[0], counts[1], "all times are those of the image");
    // Again over what is there, and a part of it.
    sandbox.run(["initramfs", "extract", "main.cpio", "ours"]).succeeded();
    sandbox
        .run(["initramfs", "extract", "main.cpio", "part", "bin", "lib/*"])
        .failed(2)
        .says("nothing in it matches 'lib/*'");
    sandbox.run(["initramfs", "extract", "main.cpio", "part", "bin", "usr/lib/*"]).succeeded();
    assert_eq!(sh(&sandbox.path("out/part"), "find . | sort | tr '\\n' ' '", &[]).matches("etc").count(), 0);
    assert!(sandbox.path("out/part/usr/lib/modules/6.1.0-test/kernel/a.ko").exists());
}

#[test]
fn files_are_found_where_links_lead() {
    if cannot_make_images() {
        return;
    }
    let sandbox = Sandbox::new();
    main_archive(&sandbox);
    sandbox
        .run(["initramfs", "cat", "main.cpio", "etc/link", "/lib/modules/6.1.0-test/kernel/a.ko"])
        .succeeded()
        .prints("settings\nx");
    sandbox.run(["initramfs", "cat", "main.cpio", "etc/cnof"]).failed(2).says("did you mean 'etc/conf'?");
    sandbox.run(["initramfs", "cat", "main.cpio", "dev/console"]).failed(2).says("no regular file");
    sandbox.run(["initramfs", "list", "main.cpio", "etc/n*"]).succeeded().prints("etc/n\\366t utf-8");
}

#[test]
fn nothing_is_written_outside_the_directory() {
    if skip_without(&["cpio"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let outside = sandbox.path("out/outside");
    fs::create_dir(&outside).unwrap();
    let (outside, at) = (outside.to_str().unwrap(), |name: &str| sandbox.path("out").join(name));
    // A link that leads out, and a file that goes through it.
    sh(&at(""), "mkdir a; ln -s \"$1\" a/evil; (cd a; echo evil | cpio -o -H newc --quiet) > one", &[outside]);
    sh(
        &at(""),
        "mkdir -p b/evil; echo x > b/evil/file; (cd b; echo evil/file | cpio -o -H newc --quiet) > two; cat one two > image",
        &[],
    );
    sandbox
        .run(["initramfs", "extract", "image", "dir"])
        .failed(2)
        .says("segment 2")
        .says("its directory is not there");
    // A name that climbs.
    let climbing = fs::read(at("two")).unwrap();
    let text = climbing.windows(9).position(|w| w == b"evil/file").unwrap();
    let mut climbing = climbing.clone();
    climbing[text..text + 9].copy_from_slice(b"../filexx");
    fs::write(at("climbs"), climbing).unwrap();
    sandbox.run(["initramfs", "extract", "climbs", "dir"]).failed(2).says("/../filexx leads out of the tree");
    // A link that stands in the directory already.
    sh(&at(""), "mkdir target; ln -s \"$1\" target/evil; mkdir c; mkdir c/evil; touch c/evil/file", &[outside]);
    sh(&at(""), "cd c; find evil | cpio -o -H newc --quiet > ../three", &[]);
    sandbox.run(["initramfs", "extract", "three", "target"]).failed(1).says("target/evil");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    assert!(!at("filexx").exists() && !at("dir").exists());
}

#[test]
fn an_ordinary_user_unpacks_all_but_devices() {
    if cannot_make_images() || skip_without(&["setpriv"]) {
        return;
    }
    let sandbox = Sandbox::new();
    main_archive(&sandbox);
    // The build tree may be closed to others.
    let place = tempfile::tempdir().unwrap();
    fs::copy(sandbox.path("out/main.cpio"), place.path().join("image")).unwrap();
    fs::copy(crate::support::image_create(), place.path().join("image-create")).unwrap();
    let script = "chown -R 65534 . ; chmod 755 .; setpriv --reuid 65534 --regid 65534 --clear-groups ./image-create initramfs extract image dir 2>&1";
    let said = sh(place.path(), script, &[]);
    assert!(said.contains("left out, as only root may make device nodes: /dev/console, /dev/sda"), "{said}");
    assert!(place.path().join("dir/bin/busybox").exists() && place.path().join("dir/dev/pipe").exists());
}

#[test]
fn damage_is_told_with_file_segment_and_offset() {
    if cannot_make_images() {
        return;
    }
    let sandbox = Sandbox::new();
    main_archive(&sandbox);
    let dir = sandbox.path("out");
    sh(&dir, "gzip -n < main.cpio > main.gz; cat early.cpio main.gz > image", &[]);
    let early = fs::metadata(dir.join("early.cpio")).unwrap().len();
    let image = fs::read(dir.join("image")).unwrap();
    let place = format!("image: segment 2 (gzip, from byte {early} of the file), unpacked byte ");
    fs::write(dir.join("cut"), &image[..image.len() - 20_000]).unwrap();
    let edit = ["initramfs", "edit", "cut", "-o", "new", "--compress", "none"];
    sandbox.run(edit).failed(2).says(&place.replace("image:", "cut:")).says("ends too early");
    assert!(!dir.join("new").exists() && !dir.join(".new.partial").exists(), "nothing is left of a failed edit");
    let mut flipped = image.clone();
    flipped[usize::try_from(early).unwrap() + 30_000] ^= 0xff;
    fs::write(dir.join("flipped"), flipped).unwrap();
    sandbox.run(["initramfs", "list", "flipped"]).failed(2).says("segment 2 (gzip");
    let mut junk = image;
    junk.extend(b"junk behind it");
    fs::write(dir.join("junk"), &junk).unwrap();
    sandbox.run(["initramfs", "info", "junk"]).failed(2).says("segment 3: at byte").says("'junk b'");
    fs::write(dir.join("text"), "no image").unwrap();
    sandbox.run(["initramfs", "info", "text"]).failed(2).says("no initramfs: it begins with 'no ima").says("hint:");
    sandbox.run(["initramfs", "info", "no-such"]).failed(2).says("no-such: cannot be read");
    sandbox
        .run(["initramfs", "list", "image", "--max-unpacked", "1"])
        .failed(2)
        .says("unpacks to more than 1048576 bytes");
}
