//! Kernel modules for an initramfs, compared with kmod's own tools on a real kernel.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use image_create::assemble::initramfs::modules::firmware::Policy;
use image_create::assemble::initramfs::modules::{Index, IndexError, Picked, Profile, Selection, Tables, kernels};
use image_create::assemble::initramfs::view::{Node, RootDir};

const DATA: &str = "linux-image-cloud-amd64";

/// A root with a real kernel's modules, on which the real depmod ran. It is made once and kept.
struct Root {
    dir: PathBuf,
    kernel: String,
}

impl Root {
    fn with_depmod() -> Option<Self> {
        if crate::support::skip_without(&["modprobe", "depmod"]) {
            return None;
        }
        let modules = package()?;
        let kernel = modules.file_name().unwrap().to_str().unwrap().to_owned();
        let dir = crate::support::repository().join("target/test-modules").join(&kernel);
        if !dir.exists() {
            fs::create_dir_all(dir.parent().unwrap()).unwrap();
            let new = tempfile::tempdir_in(dir.parent().unwrap()).unwrap();
            fs::create_dir_all(new.path().join("usr/lib/modules")).unwrap();
            symlink("usr/lib", new.path().join("lib")).unwrap();
            run(Command::new("cp").arg("-al").arg(&modules).arg(new.path().join("usr/lib/modules")));
            run(Command::new("depmod").arg("-b").arg(new.path()).arg(&kernel));
            // Another test may have been quicker.
            fs::rename(new.path(), &dir).ok();
        }
        Some(Self { dir, kernel })
    }

    fn view(&self) -> RootDir {
        RootDir::new(&self.dir).unwrap()
    }

    fn modules(&self) -> PathBuf {
        self.dir.join("lib/modules").join(&self.kernel)
    }
}

/// The directory of the kernel in its package, on which depmod has not run.
fn package() -> Option<PathBuf> {
    if crate::support::skip_without_data(&[DATA]) {
        return None;
    }
    let kernels = crate::support::test_data(DATA).join("lib/modules");
    Some(fs::read_dir(kernels).unwrap().next().unwrap().unwrap().path())
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names of the module files that the real modprobe would load.
fn modprobe(root: &Path, kernel: &str, name: &str) -> BTreeSet<String> {
    let text = run(Command::new("modprobe").arg("-d").arg(root).args(["-S", kernel, "--show-depends", name]));
    let files = text.lines().filter_map(|line| line.strip_prefix("insmod "));
    // Options of built-in configuration follow the path.
    let files = files.filter_map(|line| line.split_whitespace().next());
    files.map(|file| Path::new(file).file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn pick(view: &RootDir, index: &Index, request: &str) -> Picked {
    let mut selection = Selection::new(view, index);
    selection.firmware(Policy::Leave).asked_by("--modules").add(request);
    selection.finish().unwrap()
}

fn files(picked: &Picked) -> BTreeSet<String> {
    let files = picked.items.iter().filter(|item| matches!(item.node, Node::File { .. }));
    files.map(|item| item.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn closures_are_what_modprobe_would_load() {
    let Some(root) = Root::with_depmod() else { return };
    let view = root.view();
    let index = Index::load(&view, &root.kernel).unwrap();
    assert!(!index.scanned && index.modules.len() > 500);
    let some = index.modules.iter().step_by(17).map(|m| m.name.as_str());
    for name in some.chain(["xfs", "btrfs", "virtio-net", "fs-xfs", "virtio_blk", "nvme", "cifs"]) {
        let mut expected = modprobe(&root.dir, &root.kernel, name);
        let picked = pick(&view, &index, name);
        // Of several soft dependencies modprobe takes the first, and none of those that do not say when. The kernel asks
        // for all of them later, so an image needs them.
        let soft = picked.modules.iter().any(|(name, _)| index.softdeps.contains_key(name));
        let picked = files(&picked);
        if soft {
            assert!(picked.is_superset(&expected), "{name}");
            expected = picked.clone();
        }
        assert_eq!(picked, expected, "{name}");
    }
}

#[test]
fn chains_tell_who_needs_what_and_links_are_among_the_items() {
    let Some(root) = Root::with_depmod() else { return };
    let view = root.view();
    let index = Index::load(&view, &root.kernel).unwrap();
    let picked = pick(&view, &index, "virtio_net");
    let chain = &picked.modules.iter().find(|(name, _)| name == "virtio_ring").unwrap().1;
    assert_eq!(chain.to_string(), ", needed by virtio, needed by virtio_net, needed by --modules");
    assert!(picked.items.iter().any(|i| i.path == Path::new("/lib") && matches!(i.node, Node::Link(_))));
    assert!(picked.items.iter().all(|i| i.path == Path::new("/lib") || i.path.starts_with("/usr")));
}

#[test]
fn requests_can_be_patterns_directories_and_everything() {
    let Some(root) = Root::with_depmod() else { return };
    let view = root.view();
    let index = Index::load(&view, &root.kernel).unwrap();
    assert_eq!(pick(&view, &index, ":all").modules.len(), index.modules.len());
    let names = |request: &str| pick(&view, &index, request).names();
    assert!(names("virtio_*").contains("virtio_scsi"));
    assert!(names("kernel/drivers/nvme").contains("nvme_tcp"));
    assert!(pick(&view, &index, "kernel/drivers/nvme").builtin.contains("nvme_core"));
    assert_eq!(names("drivers/nvme/"), names("=drivers/nvme"));
    assert!(names("kernel/fs/xfs/xfs.ko").contains("xfs"));
    assert!(pick(&view, &index, "ext4").builtin.contains("ext4") || names("ext4").contains("ext4"));
    let mut selection = Selection::new(&view, &index);
    selection.asked_by("initramfs.json").add("virtio-nett").add("no-such-thing-at-all");
    let text = selection.finish().unwrap_err().to_string();
    assert!(text.starts_with("2 things are missing:"), "{text}");
    let line = format!(
        "module virtio-nett, needed by initramfs.json: kernel {} has none of this name or alias (did you mean 'virtio_net'",
        root.kernel
    );
    assert!(text.contains(&line), "{text}");
}

#[test]
fn a_kernel_that_depmod_has_not_seen_is_read_from_its_modules() {
    let Some(root) = Root::with_depmod() else { return };
    let package = RootDir::new(&crate::support::test_data(DATA)).unwrap();
    let scanned = Index::load(&package, &root.kernel).unwrap();
    assert!(scanned.scanned);
    let index = Index::load(&root.view(), &root.kernel).unwrap();
    let names = |index: &Index| index.modules.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&scanned), names(&index), "also in order");
    for module in &index.modules {
        let needs = |index: &Index| index.get(&module.name).unwrap().needs.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(needs(&scanned), needs(&index), "{}", module.name);
    }
    let sorted = |index: &Index| index.aliases.pairs().iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&scanned), sorted(&index));
}

#[test]
fn tables_of_all_modules_are_those_of_depmod() {
    let Some(root) = Root::with_depmod() else { return };
    let view = root.view();
    let index = Index::load(&view, &root.kernel).unwrap();
    for (name, bytes) in Tables::all(&index).files() {
        let theirs = fs::read(root.modules().join(name)).unwrap();
        assert!(bytes == theirs, "{name} differs: {} bytes, depmod's has {}", bytes.len(), theirs.len());
    }
}

#[test]
fn modprobe_works_with_the_tables_of_a_subset_laid_over_another() {
    let Some(root) = Root::with_depmod() else { return };
    let view = root.view();
    let index = Index::load(&view, &root.kernel).unwrap();
    let image = tempfile::tempdir_in(crate::support::repository().join("target")).unwrap();
    let modules = image.path().join("lib/modules").join(&root.kernel);
    let install = |picked: &Picked, tables: &Tables| {
        for (name, _) in &picked.modules {
            let file = &index.get(name).unwrap().file;
            fs::create_dir_all(modules.join(file).parent().unwrap()).unwrap();
            fs::copy(root.modules().join(file), modules.join(file)).unwrap();
        }
        for (name, bytes) in tables.files() {
            fs::write(modules.join(name), bytes).unwrap();
        }
    };
    let first = pick(&view, &index, "xfs");
    install(&first, &Tables::of(&index, &first.names()));
    assert_eq!(modprobe(image.path(), &root.kernel, "xfs"), modprobe(&root.dir, &root.kernel, "xfs"));

    let base = RootDir::new(image.path()).unwrap();
    let base = Index::load(&base, &root.kernel).unwrap();
    let second = pick(&view, &index, "virtio_net");
    let mut tables = Tables::of(&index, &second.names());
    assert!(tables.over(&base).is_empty());
    install(&second, &tables);
    for name in ["xfs", "virtio_net", "fs-xfs", "virtio:d00000001v00001AF4"] {
        let ours = modprobe(image.path(), &root.kernel, name);
        assert_eq!(ours, modprobe(&root.dir, &root.kernel, name), "{name}");
    }
    let missing = Command::new("modprobe")
        .arg("-d")
        .arg(image.path())
        .args(["-S", &root.kernel, "-D", "btrfs"])
        .output()
        .unwrap();
    assert!(!missing.status.success());
}

#[test]
fn compressed_modules_and_firmware_are_read() {
    let Some(package) = package() else { return };
    if crate::support::skip_without(&["xz", "zstd", "gzip"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("lib/modules/1.0");
    let put = |file: &str, program: &str| {
        fs::create_dir_all(modules.join(file).parent().unwrap()).unwrap();
        fs::copy(package.join(file), modules.join(file)).unwrap();
        let rm: &[&str] = if program == "zstd" { &["-q", "--rm"] } else { &[] };
        run(Command::new(program).args(rm).arg(modules.join(file)));
    };
    put("kernel/fs/xfs/xfs.ko", "xz");
    put("kernel/lib/libcrc32c.ko", "zstd");
    put("kernel/net/core/failover.ko", "gzip");
    for file in ["comedi", "comedi_pci", "drivers/jr3_pci"] {
        put(&format!("kernel/drivers/comedi/{file}.ko"), "xz");
    }
    let view = RootDir::new(dir.path()).unwrap();
    let index = Index::load(&view, "1.0").unwrap();
    let mut selection = Selection::new(&view, &index);
    selection.add("xfs").add("failover.ko");
    let names = files(&selection.finish().unwrap());
    for name in ["xfs.ko.xz", "libcrc32c.ko.zst", "failover.ko.gz"] {
        assert!(names.contains(name), "{names:?}");
    }

    // Firmware: there as a link to a compressed file.
    let mut selection = Selection::new(&view, &index);
    selection.firmware(Policy::Require).add("jr3_pci");
    let misses = selection.finish().unwrap_err();
    let name = misses.0[0].what.strip_prefix("firmware ").unwrap().to_owned();
    assert_eq!(misses.0[0].needed_by.to_string(), ", needed by jr3_pci");
    let link = dir.path().join("lib/firmware").join(format!("{name}.xz"));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::write(link.with_file_name("real.bin.xz"), "x").unwrap();
    symlink("real.bin.xz", link).unwrap();
    let mut selection = Selection::new(&view, &index);
    selection.add("jr3_pci");
    let picked = selection.finish().unwrap();
    assert!(files(&picked).contains("real.bin.xz"));
    assert_eq!(picked.warnings.len(), misses.0.len() - 1);
}

#[test]
fn a_missing_kernel_names_those_that_are_there() {
    let Some(root) = Root::with_depmod() else { return };
    assert_eq!(kernels(&root.view()), [root.kernel.as_str()]);
    match Index::load(&root.view(), "9.9.9") {
        Err(error @ IndexError::NoKernel { .. }) => {
            assert_eq!(
                error.to_string(),
                format!("there are no modules of kernel 9.9.9: there are those of {}", root.kernel)
            );
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(Index::load(&root.view(), "../modules").is_err());
}

#[test]
fn profiles_find_the_drivers_of_real_devices() {
    let Some(root) = Root::with_depmod() else { return };
    let view = root.view();
    let index = Index::load(&view, &root.kernel).unwrap();
    let text = "# a guest\n/sys/devices/pci0000:00/0000:00:03.0/virtio0: virtio:d00000001v00001AF4\n\
                pci:v00001D0Fd0000EC20sv00000000sd00000000bc02sc00i00\nacpi:PNP0103:\n";
    let profile = Profile::parse(Path::new("p"), text).unwrap();
    let mut selection = Selection::new(&view, &index);
    selection.firmware(Policy::Leave).add_hardware(&profile);
    let picked = selection.finish().unwrap();
    let names = picked.names();
    assert!(names.contains("virtio_net") && names.contains("ena"), "{names:?}");
    let net = &picked.modules.iter().find(|(name, _)| name == "virtio_net").unwrap().1;
    assert!(
        net.to_string().starts_with(", needed by device /sys/devices/pci0000:00/0000:00:03.0/virtio0 (virtio:"),
        "{net}"
    );
    assert!(Profile::parse(Path::new("p"), "nonsense\n").is_err() && Profile::parse(Path::new("p"), "#\n").is_err());
}
