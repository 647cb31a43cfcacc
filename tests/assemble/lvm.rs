//! Volume groups: written by us, read by LVM's own programs. They run without device-mapper, on loop devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image_create::assemble::attach::AttachedDisk;
use image_create::assemble::bootloader::BootSpec;
use image_create::assemble::disk::{Assembly, PlacedDisk};
use image_create::assemble::identity::Identities;
use image_create::assemble::lvm::Volumes;
use image_create::plan::disk::place::PlacedLayout;
use image_create::plan::disk::*;
use image_create::report::Reporter;
use serde_json::Value;

use crate::support::*;

/// A described disk of 320 MiB.
struct Described {
    placed: PlacedLayout,
    identities: Identities,
}

impl Described {
    fn new(text: &str) -> Self {
        let layout =
            parse(text, Path::new("d.yaml"), &RootFs { fs_type: "ext4".into(), ..RootFs::default() }, &mut vec![]);
        let placed = layout.and_then(|layout| layout.place(320 * MIB)).unwrap_or_else(|faults| panic!("{faults}"));
        let identities = Identities::new(&placed.layout, Some("a seed"));
        Self { placed, identities }
    }

    /// Calls `f` with the assembly; nothing may be left afterwards but the raw files.
    fn with<T>(&self, dir: &Path, f: impl FnOnce(&Assembly) -> T) -> T {
        let work = dir.join("work");
        fs::create_dir_all(&work).unwrap();
        let raw = |name: &str| dir.join(format!("{name}.raw"));
        let pairs = self.placed.layout.disks.iter().zip(&self.placed.places);
        let disks: Vec<_> = pairs
            .map(|(disk, place)| PlacedDisk {
                disk,
                size: place.size,
                extents: place.placed.as_ref().map_or(&[][..], |placed| &placed.partitions),
                raw: raw(&disk.name),
            })
            .collect();
        let volumes = Volumes::new(&self.placed.layout, &self.placed.groups, &work);
        let (layout, identities) = (&self.placed.layout, &self.identities);
        let assembly =
            Assembly { layout, disks: &disks, volumes: &volumes, identities, epoch: Some(EPOCH), work: &work };
        let result = f(&assembly);
        disks.iter().for_each(|disk| no_loops(&disk.raw));
        assert_eq!(names(&work), [] as [String; 0], "something is left in the work directory");
        result
    }

    fn assemble(&self, dir: &Path) {
        self.with(dir, |assembly| {
            assembly.assemble(&dir.join("tree"), &BootSpec::default(), &Reporter::quiet()).unwrap();
        });
    }
}

/// The partitions of a disk as read-only loop devices, and LVM's programs, which see those and nothing else.
struct Lvm {
    dir: PathBuf,
    devices: Vec<String>,
}

impl Lvm {
    fn of(dir: &Path, described: &Described, bases: &[&str]) -> Self {
        fs::create_dir_all(dir.join("etc")).unwrap();
        fs::write(dir.join("etc/lvm.conf"), "backup { backup = 0\narchive = 0 }\nglobal { locking_dir = \"/tmp\" }\n")
            .unwrap();
        let devices = bases.iter().map(|base| {
            let (disk, extent) = described.placed.extent_of(base).unwrap();
            let (start, length) = (extent.start.to_string(), extent.length.to_string());
            let raw = dir.join(format!("{}.raw", disk.name));
            let args = ["--find", "--show", "--offset", &start, "--sizelimit", &length, text(&raw)];
            run("losetup", &args).trim().to_owned()
        });
        Self { dir: dir.to_owned(), devices: devices.collect() }
    }

    /// What one of LVM's programs says; it must have nothing to complain about.
    fn run(&self, program: &str, args: &[&str]) -> String {
        let list = self.devices.join(",");
        // pvck looks at the device that it is told, and takes the list for a refusal.
        let devices: &[&str] = if program == "pvck" { &[] } else { &["--devices", &list] };
        let output = Command::new("lvm")
            .arg(program)
            .args(["--driverloaded", "n"])
            .args(devices)
            .args(args)
            .env("LVM_SYSTEM_DIR", self.dir.join("etc"))
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .stdin(Stdio::null())
            .output()
            .expect("lvm is needed for this test");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {args:?}: {errors}");
        let rest: Vec<&str> = errors.lines().filter(|line| !line.contains("Activation disabled")).collect();
        assert_eq!(rest, [] as [&str; 0], "{program} {args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The rows of one of LVM's reports.
    fn report(&self, program: &str, key: &str, columns: &str) -> Vec<Value> {
        let args = ["--reportformat", "json", "--units", "b", "--nosuffix", "--all", "-o", columns];
        let report = json(&self.run(program, &args));
        report["report"][0][key].as_array().unwrap().clone()
    }
}

impl Drop for Lvm {
    fn drop(&mut self) {
        for device in &self.devices {
            drop(Command::new("losetup").args(["--detach", device]).status());
        }
    }
}

fn disk(partitions: &str, lvm: &str, filesystems: &str) -> String {
    format!(
        "- local_loop: {{name: image0}}\n- partitioning:\n    base: image0\n    label: gpt\n    partitions: [{partitions}]\n\
         - lvm: {{name: lvm, {lvm}}}\n{filesystems}"
    )
}

fn simple() -> Described {
    let lvm = "pvs: [{name: pv, base: all}], vgs: [{name: vg-0, base: [pv], options: [--addtag, mine]}], \
               lvs: [{name: root, base: vg-0, size: 100MiB}, {name: lv-boot, base: vg-0, extents: 20%VG}, \
               {name: swap, base: vg-0, extents: 100%FREE, options: [--addtag, last]}]";
    let filesystems = "- mkfs: {base: root, type: ext4, label: l-root, mount: {mount_point: /}}\n\
                       - mkfs: {base: lv-boot, type: ext4, mount: {mount_point: /boot}}\n- mkfs: {base: swap, type: swap}\n";
    Described::new(&disk("{name: BSP, type: EF02, size: 1MiB}, {name: all, size: 100%}", lvm, filesystems))
}

/// Cuts a volume out of the raw files by what LVM says about its extents.
fn cut(lvm: &Lvm, volume: &str, target: &Path) {
    let segments = lvm.report("lvs", "lv", "lv_name,seg_start_pe,seg_pe_ranges,vg_extent_size");
    let mut own: Vec<&Value> = segments.iter().filter(|row| row["lv_name"] == volume).collect();
    own.sort_by_key(|row| row["seg_start_pe"].as_str().unwrap().parse::<u64>().unwrap());
    assert!(!own.is_empty(), "{segments:?}");
    drop(fs::remove_file(target));
    for row in own {
        let unit: u64 = row["vg_extent_size"].as_str().unwrap().parse().unwrap();
        let (device, range) = row["seg_pe_ranges"].as_str().unwrap().split_once(':').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        let (skip, count) = ((MIB + first * unit) / MIB, (last - first + 1) * unit / MIB);
        let (from, to) = (format!("if={device}"), format!("of={}", target.display()));
        let (skip, count) = (format!("skip={skip}"), format!("count={count}"));
        run("dd", &[&from, &to, "bs=1M", &skip, &count, "oflag=append", "conv=notrunc", "status=none"]);
    }
}

#[test]
fn lvm_finds_what_was_planned() {
    privately(|dir| {
        let tree = dir.join("tree");
        make_tree(&tree);
        let described = simple();
        described.assemble(dir);
        let lvm = Lvm::of(dir, &described, &["all"]);
        assert!(lvm.run("pvck", &[&lvm.devices[0]]).contains("Found label on"));
        lvm.run("pvck", &["--dump", "metadata_all", &lvm.devices[0]]);
        lvm.run("vgck", &["vg-0"]);

        let ids = &described.identities;
        let pv = &lvm.report("pvs", "pv", "pv_uuid,vg_name,pe_start,pv_mda_count,pv_in_use")[0];
        assert_eq!(pv["pv_uuid"], ids.lvm("pv"));
        assert_eq!((&pv["vg_name"], &pv["pe_start"]), (&json("\"vg-0\""), &json("\"1048576\"")));
        let vg = &lvm.report("vgs", "vg", "vg_uuid,vg_extent_size,vg_free_count,vg_seqno,vg_tags,vg_attr")[0];
        assert_eq!((vg["vg_uuid"].as_str().unwrap(), vg["vg_tags"].as_str().unwrap()), (ids.lvm("vg-0"), "mine"));
        assert_eq!((vg["vg_extent_size"].as_str(), vg["vg_free_count"].as_str()), (Some("4194304"), Some("0")));
        let lvs = lvm.report("lvs", "lv", "lv_name,lv_uuid,lv_size,segtype,lv_tags,lv_time,lv_host");
        let shown: Vec<String> =
            lvs.iter().map(|row| format!("{} {} {}", row["lv_name"], row["lv_size"], row["segtype"])).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown.contains(&"\"root\" \"104857600\" \"linear\"".to_owned()), "{shown:?}");
        assert!(lvs.iter().all(|row| row["lv_uuid"] == ids.lvm(row["lv_name"].as_str().unwrap())));
        assert!(lvs.iter().all(|row| row["lv_time"].as_str().unwrap().starts_with("2023-11-14")), "{lvs:?}");

        let (root, boot) = (dir.join("root.img"), dir.join("boot.img"));
        cut(&lvm, "root", &root);
        cut(&lvm, "lv-boot", &boot);
        run("e2fsck", &["-f", "-n", text(&root)]);
        run("e2fsck", &["-f", "-n", text(&boot)]);
        drop(lvm);
        assert_eq!(mounted(&root, "ext4", 512), clamped(describe(&tree, &["boot"])));
        assert_eq!(mounted(&boot, "ext4", 512), clamped(describe(&tree.join("boot"), &[])));
    });
}

#[test]
fn lvm_changes_what_we_wrote() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        let described = simple();
        described.assemble(dir);
        let lvm = Lvm::of(dir, &described, &["all"]);
        let run = |program: &str, args: &[&str]| {
            let output = Command::new("lvm")
                .arg(program)
                .args(["--driverloaded", "n", "--devices", &lvm.devices[0]])
                .args(args)
                .env("LVM_SYSTEM_DIR", dir.join("etc"))
                .env("LVM_SUPPRESS_FD_WARNINGS", "1")
                .output()
                .unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run("lvremove", &["-y", "vg-0/swap"]);
        run("lvcreate", &["-an", "-Zn", "-Wn", "-n", "new", "-l", "3", "vg-0"]);
        run("lvrename", &["vg-0", "root", "slash"]);
        lvm.run("vgck", &["vg-0"]);
        let seqno = lvm.report("vgs", "vg", "vg_seqno")[0]["vg_seqno"].as_str().unwrap().parse::<u32>().unwrap();
        assert!(seqno > 2);
        drop(lvm);
    });
}

/// Two disks and three partitions; `wide` has a piece on each.
fn spanning() -> Described {
    let text = "
- local_loop: {name: image0}
- local_loop: {name: second, size: 200MiB, block_size: 512}
- partitioning: {base: image0, label: gpt, partitions: [{name: a, size: 50MiB}, {name: b, size: 60MiB}]}
- lvm:
    name: lvm
    pvs: [{name: p1, base: a}, {name: p2, base: second}, {name: p3, base: b}]
    vgs: [{name: vg, base: [p1, p2, p3], options: [-s, 1m]}]
    lvs: [{name: small, base: vg, extents: 20}, {name: wide, base: vg, extents: 100%FREE}]
- mkfs: {base: small, type: vfat, mount: {mount_point: /boot/efi}}
- mkfs: {base: wide, type: ext4, label: l-wide, mount: {mount_point: /}}
";
    Described::new(text)
}

#[test]
fn a_volume_in_pieces_is_whole() {
    privately(|dir| {
        let tree = dir.join("tree");
        make_tree(&tree);
        let described = spanning();
        described.assemble(dir);
        let lvm = Lvm::of(dir, &described, &["a", "second", "b"]);
        lvm.run("vgck", &["vg"]);
        let segments = lvm.report("lvs", "lv", "lv_name,seg_pe_ranges");
        assert_eq!(segments.iter().filter(|row| row["lv_name"] == "wide").count(), 3, "{segments:?}");
        let wide = dir.join("wide.img");
        cut(&lvm, "wide", &wide);
        drop(lvm);
        run("e2fsck", &["-f", "-n", text(&wide)]);
        assert_eq!(mounted(&wide, "ext4", 512), clamped(describe(&tree, &["boot/efi"])));
    });
}

#[test]
fn hooks_find_volumes_mounted() {
    for described in [simple(), spanning()] {
        privately(|dir| {
            let tree = dir.join("tree");
            make_tree(&tree);
            let root = described.placed.layout.root().unwrap().base.clone();
            described.with(dir, |assembly| {
                let base = dir.join("mnt");
                fs::create_dir_all(&base).unwrap();
                let disk = AttachedDisk::create(assembly, &tree, &base, &Reporter::quiet()).unwrap();
                let list = disk.block_devices();
                assert!(list.contains(&format!("[{root}]=/dev/loop")), "{list}");
                fs::write(base.join("etc/new"), "by a hook").unwrap();
                fs::remove_file(base.join("var/sparse")).unwrap();
                disk.close(assembly, &BootSpec::default(), &Reporter::quiet()).unwrap();
            });
            let bases: Vec<&str> =
                described.placed.layout.volume_groups[0].physical.iter().map(|pv| pv.base.as_str()).collect();
            let lvm = Lvm::of(dir, &described, &bases);
            let image = dir.join("root.img");
            cut(&lvm, &root, &image);
            drop(lvm);
            run("e2fsck", &["-f", "-n", text(&image)]);
            let lines = mounted(&image, "ext4", 512);
            assert!(lines.iter().any(|d| d.line.starts_with("etc/new ")));
            assert!(!lines.iter().any(|d| d.line.starts_with("var/sparse ")));
        });
    }
}

#[test]
fn the_same_group_has_the_same_bytes() {
    let digest = || {
        privately(|dir| {
            make_tree(&dir.join("tree"));
            simple().assemble(dir);
            run("sha256sum", &[text(&dir.join("image0.raw"))])[..64].to_owned()
        })
    };
    assert_eq!(digest(), digest());
}

#[test]
fn thin_volumes_lie_in_their_pool() {
    let lvm = "pvs: [{name: pv, base: all}], vgs: [{name: vg, base: [pv]}], \
               lvs: [{name: pool, type: thin-pool, base: vg, size: 200MiB}, \
               {name: root, type: thin, thin-pool: pool, base: vg, size: 150MiB}, \
               {name: home, type: thin, thin-pool: pool, base: vg, size: 1GiB}]";
    let filesystems = "- mkfs: {base: root, type: ext4, label: l-root, mount: {mount_point: /}}\n\
                       - mkfs: {base: home, type: ext4, mount: {mount_point: /boot}}\n";
    let described = Described::new(&disk("{name: all, size: 100%}", lvm, filesystems));
    privately(|dir| {
        make_tree(&dir.join("tree"));
        described.assemble(dir);
        let lvm = Lvm::of(dir, &described, &["all"]);
        lvm.run("vgck", &["vg"]);
        let lvs = lvm.report(
            "lvs",
            "lv",
            "lv_name,lv_attr,lv_size,segtype,pool_lv,thin_id,transaction_id,data_lv,metadata_lv",
        );
        let row = |name: &str| {
            lvs.iter().find(|row| row["lv_name"].as_str().unwrap().trim_matches(['[', ']']) == name).unwrap()
        };
        assert_eq!((&row("root")["segtype"], &row("root")["pool_lv"]), (&json("\"thin\""), &json("\"pool\"")));
        assert_eq!((row("home")["thin_id"].as_str(), row("pool")["transaction_id"].as_str()), (Some("2"), Some("2")));
        assert_eq!(row("lvol0_pmspare")["lv_size"], "4194304");
        let (meta, data) = (dir.join("meta.img"), dir.join("data.img"));
        cut(&lvm, "[pool_tmeta]", &meta);
        cut(&lvm, "[pool_tdata]", &data);
        drop(lvm);
        run("thin_check", &[text(&meta)]);
        let root = thin(&meta, &data, "1", 150 * MIB);
        run("e2fsck", &["-f", "-n", text(&root)]);
        assert_eq!(mounted(&root, "ext4", 512), clamped(describe(&dir.join("tree"), &["boot"])));
    });
}

/// The content of a thin volume, by what thin_dump says about its pool.
fn thin(meta: &Path, data: &Path, device: &str, size: u64) -> PathBuf {
    use std::os::unix::fs::FileExt;
    let dump = run("thin_dump", &[text(meta)]);
    let image = data.with_extension(device);
    let (source, target) = (fs::File::open(data).unwrap(), fs::File::create(&image).unwrap());
    target.set_len(size).unwrap();
    let own = dump.split("<device ").find(|part| part.starts_with(&format!("dev_id=\"{device}\""))).unwrap();
    for line in own.lines().filter(|line| line.contains("_mapping")) {
        let number = |key: &str| {
            let rest = line.split(&format!("{key}=\"")).nth(1)?;
            rest.split('"').next()?.parse::<u64>().ok()
        };
        let (from, to) = match line.contains("range_mapping") {
            true => (number("data_begin").unwrap(), number("origin_begin").unwrap()),
            false => (number("data_block").unwrap(), number("origin_block").unwrap()),
        };
        for block in 0..number("length").unwrap_or(1) {
            let mut chunk = vec![0; 64 << 10];
            source.read_exact_at(&mut chunk, (from + block) * (64 << 10)).unwrap();
            target.write_all_at(&chunk, (to + block) * (64 << 10)).unwrap();
        }
    }
    target.set_len(size).unwrap();
    image
}
