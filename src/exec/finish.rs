//! From the finished tree to outputs: sizes, fstab, GRUB's view of the disk, disks, conversions.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::assemble::bootloader::BootSpec;
use crate::assemble::identity::Identities;
use crate::assemble::migration::{self, BundleSpec};
use crate::assemble::outputs::{self, Sources};
use crate::assemble::split;
use crate::error::{Faults, on};
use crate::plan::Plan;
use crate::plan::disk::image_size::SizeRequest;
use crate::plan::disk::{Filesystem, TableKind};
use crate::plan::output::Source;
use crate::report::Reporter;
use crate::target::grub_probe::{GrubFilesystem, GrubLayout, GrubVolume};

use super::disks::Disks;
use super::environment::Environment;
use super::mount::{Mount, Mounts};
use super::work_dir::Paths;

/// Size of the main disk in bytes: what was asked for, or what the tree needs (contract 2.7).
///
/// # Errors
/// When the tree cannot be measured, or no size is large enough for the volume groups.
pub fn disk_size(plan: &Plan, tree: &Path) -> Result<u64> {
    let disk = &plan.request.disk;
    let request = SizeRequest {
        explicit_gib: disk.size_gib,
        extra_mib: disk.extra_mib.map(|mib| mib as u64),
        tree_bytes: if disk.size_gib.is_some() { 0 } else { split::usage(tree)?.bytes },
        journal_mib: disk.journal_mib,
        fs_type: plan.layout.root_fstype().to_owned(),
        fixed_partition_bytes: plan.layout.fixed_partition_bytes(),
    };
    Ok(plan.layout.image_size(&request).map_err(Faults::from)?)
}

/// Computes the size, tells it to the hooks that follow (in KiB, as they know it), and writes
/// /etc/fstab. Returns the size in bytes.
///
/// # Errors
/// When the tree cannot be measured or written to.
pub fn prepare(plan: &Plan, paths: &Paths, variables: &mut Environment, reporter: &Reporter) -> Result<u64> {
    if !plan.needs_disk() {
        return Ok(0);
    }
    reporter.info("Calculating image size");
    let bytes = disk_size(plan, &paths.tree)?;
    variables.insert("DIB_IMAGE_SIZE".into(), (bytes / 1024).to_string().into());
    write_fstab(plan, &paths.tree)?;
    Ok(bytes)
}

/// Writes /etc/fstab, if the layout has lines for it. Done before post-install, because generators of an
/// initramfs look there for the root filesystem's type, and again for the final tree.
///
/// # Errors
/// When the tree cannot be written to.
pub fn write_fstab(plan: &Plan, tree: &Path) -> Result<()> {
    let text = plan.layout.fstab_text();
    if text.is_empty() || !plan.needs_disk() {
        return Ok(());
    }
    let etc = tree.join("etc");
    fs::create_dir_all(&etc).with_context(|| on("making", &etc))?;
    fs::write(etc.join("fstab"), text).with_context(|| on("writing", &etc.join("fstab")))
}

/// Writes what `grub-probe` will answer from.
///
/// # Errors
/// When the file cannot be written.
pub fn write_grub_layout(plan: &Plan, identities: &Identities, data: &Path) -> Result<()> {
    let file = data.join(GrubLayout::FILE);
    let text = serde_json::to_vec_pretty(&grub_layout(plan, identities)).context("writing the layout for GRUB")?;
    fs::write(&file, text).with_context(|| on("writing", &file))
}

fn grub_layout(plan: &Plan, identities: &Identities) -> GrubLayout {
    let layout = &plan.layout;
    let word = match layout.table_kind() {
        Some(TableKind::Gpt) => Some("gpt"),
        Some(TableKind::Mbr) => Some("msdos"),
        None => None,
    };
    let partuuid = |fs: &Filesystem, number: u32| {
        let (disk, _) = layout.base_of(fs)?;
        let identity = identities.disks.get(&disk.name)?;
        Some(match layout.table_kind()? {
            TableKind::Gpt => identity.partitions.get(&number)?.to_string(),
            TableKind::Mbr => format!("{:08x}-{number:02x}", identity.mbr_id),
        })
    };
    let filesystems = layout.filesystems.iter().filter_map(|fs| {
        let number = layout.partition_number(fs);
        Some(GrubFilesystem {
            mount_point: fs.mount_point.clone().filter(|p| p.starts_with('/'))?,
            kind: fs.kind.clone(),
            uuid: identities.filesystem_text(fs),
            label: fs.label.clone(),
            partition: word.zip(number).map(|(word, number)| format!("{word}{number}")),
            partuuid: number.and_then(|n| partuuid(fs, n)),
            volume: layout.volume_of(fs).map(|(group, volume)| GrubVolume {
                name: group.mapper_name(volume),
                id: format!("{}/{}", identities.lvm(&group.name), identities.lvm(&volume.name)),
            }),
        })
    });
    GrubLayout { filesystems: filesystems.collect(), table: word.map(str::to_owned) }
}

/// Programs of the target that ask the kernel about devices that are not there yet.
const STAND_INS: &[&str] = &["grub-probe", "grub-mkrelpath", "grub2-probe", "grub2-mkrelpath"];

/// Covers the target's own GRUB probing programs with this one, which answers from the planned
/// layout, and shows the device names that `grub-mkconfig` looks for in the private /dev. Nothing
/// of either is in the tree.
///
/// # Errors
/// When a mount fails.
pub fn mount_stand_ins(plan: &Plan, identities: &Identities, paths: &Paths) -> Result<Mounts> {
    let mut mounts = Mounts::new();
    // An attached disk answers for itself, except that no device-mapper is there for its logical volumes.
    if plan.attaches() && plan.layout.boot().and_then(|boot| plan.layout.volume_of(boot)).is_none() {
        return Ok(mounts);
    }
    let program = super::tools::bin(&paths.hooks).join("image-create");
    for name in STAND_INS {
        for dir in ["usr/sbin", "usr/bin"] {
            let place = paths.tree.join(dir).join(name);
            if place.is_file() && !place.is_symlink() {
                mounts.push(Mount::bind_read_only(&program, &place)?);
            }
        }
    }
    for device in grub_layout(plan, identities).device_paths() {
        let place = paths.tree.join(device.strip_prefix("/").unwrap_or(&device));
        if let Some(dir) = place.parent() {
            fs::create_dir_all(dir).with_context(|| on("making", dir))?;
        }
        fs::write(&place, "").with_context(|| on("making", &place))?;
    }
    Ok(mounts)
}

/// Reads what the boot loader's element asks to embed.
///
/// # Errors
/// When it is not the JSON described in [`BootSpec`].
pub fn read_boot_spec(tree: &Path) -> Result<BootSpec> {
    BootSpec::read(&tree.join("tmp/image-boot.json"))
}

/// Reads whether an element asks for a migration bundle.
///
/// # Errors
/// When it is not the JSON described in [`BundleSpec`].
pub fn read_bundle_spec(tree: &Path) -> Result<Option<BundleSpec>> {
    BundleSpec::read(&tree.join("tmp").join(migration::SPEC))
}

/// Writes the migration bundle beside the image, in the folder of its name and `.d`.
///
/// # Errors
/// Those of [`migration::make`].
pub fn write_bundle(spec: &BundleSpec, plan: &Plan, paths: &Paths, disks: &Disks, reporter: &Reporter) -> Result<()> {
    let work = paths.build.join("outputs");
    fs::create_dir_all(&work).with_context(|| on("making", &work))?;
    let descriptions: Vec<_> = plan.initramfs_files().map(|(_, file)| file).collect();
    let mut folder = plan.request.surroundings.cwd.join(&plan.request.image_name).into_os_string();
    folder.push(".d");
    let target = Path::new(&folder).join("migration.tar.gz");
    disks.with_assembly(|assembly| {
        let sources = migration::Sources {
            tree: &paths.tree,
            hooks: &paths.hooks,
            descriptions: &descriptions,
            assembly,
            machine: machine(&plan.request.arch),
            work: &work,
        };
        migration::make(spec, &sources, &target, reporter)
    })
}

/// What `uname -m` says on a machine of an architecture as `ARCH` has it.
fn machine(arch: &str) -> &str {
    match arch {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

/// Empties /tmp, empties logs, removes root's logs (contract 2.6, step 22).
///
/// # Errors
/// When a file cannot be removed or emptied.
pub fn tidy(tree: &Path) -> Result<()> {
    let tmp = tree.join("tmp");
    for entry in fs::read_dir(&tmp).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| on("removing", &path))?;
    }
    empty_logs(&tree.join("var/log"))?;
    for entry in fs::read_dir(tree.join("root")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "log") && !path.is_dir() {
            fs::remove_file(&path).with_context(|| on("removing", &path))?;
        }
    }
    Ok(())
}

fn empty_logs(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let meta = path.symlink_metadata().with_context(|| on("looking at", &path))?;
        if meta.is_dir() {
            empty_logs(&path)?;
        } else if meta.is_file() && meta.size() > 0 {
            fs::File::create(&path).with_context(|| on("emptying", &path))?;
        }
    }
    Ok(())
}

/// Writes those of the plan's outputs that are made from the tree, or from the disk `raw`.
///
/// # Errors
/// When a tool fails or a destination cannot be written.
pub fn write_outputs(
    plan: &Plan,
    paths: &Paths,
    raw: Option<&Path>,
    wanted: &[Source],
    reporter: &Reporter,
) -> Result<()> {
    // no-final-image leaves out what is made from a disk; archives of the tree are written all the same.
    let is_wanted = |source| wanted.contains(&source) && (plan.final_image || source == Source::Tree);
    let written: Vec<_> = plan.outputs.iter().filter(|o| is_wanted(o.format.source())).cloned().collect();
    if written.is_empty() {
        return Ok(());
    }
    let work = paths.build.join("outputs");
    fs::create_dir_all(&work).with_context(|| on("making", &work))?;
    let sources = Sources { tree: &paths.tree, raw, work: &work };
    reporter.step("writing the outputs", || outputs::write(&written, &plan.output_options, sources, reporter))
}
