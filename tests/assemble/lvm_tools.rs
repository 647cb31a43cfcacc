//! Planned disks, and LVM's own programs to look into them with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image_create::assemble::bootloader::BootSpec;
use image_create::assemble::disk::{Assembly, PlacedDisk};
use image_create::assemble::identity::Identities;
use image_create::assemble::lvm::Volumes;
use image_create::plan::disk::place::PlacedLayout;
use image_create::plan::disk::*;
use image_create::report::Reporter;
use serde_json::Value;

use crate::support::*;

/// A disk of 320 MiB.
pub struct Planned {
    pub placed: PlacedLayout,
    pub identities: Identities,
}

impl Planned {
    pub fn new(text: &str) -> Self {
        let layout =
            parse(text, Path::new("d.yaml"), &RootFs { fs_type: "ext4".into(), ..RootFs::default() }, &mut vec![]);
        let placed = layout.and_then(|layout| layout.place(320 * MIB)).unwrap_or_else(|faults| panic!("{faults}"));
        let identities = Identities::new(&placed.layout, Some("a seed"));
        Self { placed, identities }
    }

    /// Calls `f` with the assembly; nothing may be left afterwards but the raw files.
    pub fn with<T>(&self, dir: &Path, f: impl FnOnce(&Assembly) -> T) -> T {
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

    pub fn assemble(&self, dir: &Path) {
        self.with(dir, |assembly| {
            assembly.assemble(&dir.join("tree"), &BootSpec::default(), &Reporter::quiet()).unwrap();
        });
    }
}

/// The partitions of a disk as loop devices, and LVM's programs, which see those and nothing else.
pub struct Lvm {
    dir: PathBuf,
    pub devices: Vec<String>,
}

impl Lvm {
    pub fn of(dir: &Path, planned: &Planned, bases: &[&str]) -> Self {
        fs::create_dir_all(dir.join("etc")).unwrap();
        fs::write(dir.join("etc/lvm.conf"), "backup { backup = 0\narchive = 0 }\nglobal { locking_dir = \"/tmp\" }\n")
            .unwrap();
        let devices = bases.iter().map(|base| {
            let (disk, extent) = planned.placed.extent_of(base).unwrap();
            let (start, length) = (extent.start.to_string(), extent.length.to_string());
            let raw = dir.join(format!("{}.raw", disk.name));
            let args = ["--find", "--show", "--offset", &start, "--sizelimit", &length, text(&raw)];
            run("losetup", &args).trim().to_owned()
        });
        Self { dir: dir.to_owned(), devices: devices.collect() }
    }

    /// What one of LVM's programs says; it must have nothing to complain about.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
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
    pub fn report(&self, program: &str, key: &str, columns: &str) -> Vec<Value> {
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

/// Cuts a volume out of the raw files by what LVM says about its extents.
pub fn cut(lvm: &Lvm, volume: &str, target: &Path) {
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

/// The content of a thin volume, by what thin_dump says about its pool.
pub fn thin(meta: &Path, data: &Path, device: &str, size: u64) -> PathBuf {
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
