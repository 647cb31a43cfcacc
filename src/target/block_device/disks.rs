//! Making disks that stay when the program is done, and removing them (contract 1.6, 5.11).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};

use super::parameters::Parameters;
use super::state::{BlockDevice, FilesystemState, MountState, State};
use crate::assemble::disk::{Assembly, PlacedDisk};
use crate::assemble::filesystem::fill;
use crate::assemble::identity::Identities;
use crate::assemble::loop_device::{self, LoopDevice};
use crate::assemble::lvm::Volumes;
use crate::error::on;
use crate::plan::disk::lvm::VolumeKind;
use crate::plan::disk::place::PlacedLayout;
use crate::plan::disk::{DiskLayout, Extent};
use crate::report::Reporter;
use crate::target::out;

/// How often a busy filesystem is asked to go, and how long is waited in between.
const TRIES: u32 = 9;
const PAUSE: Duration = Duration::from_secs(1);

/// Makes the disks of the description, attaches them and mounts their filesystems. When that fails, what was done is
/// undone from its end, and the state stays for whoever looks for the reason.
pub fn create(parameters: &Parameters) -> Result<()> {
    let states = parameters.states();
    let mut state = State::default();
    let made = make(parameters, &mut state);
    state.save(&states, made.is_ok())?;
    made.inspect_err(|_| {
        for problem in undo(&state) {
            Reporter::error(&format!("while undoing: {problem:#}\n"));
        }
        for image in images(&state) {
            drop(fs::remove_file(image));
        }
        drop(fs::remove_dir_all(states.join("work")));
    })
}

fn make(parameters: &Parameters, state: &mut State) -> Result<()> {
    let disks = Described::of(parameters)?;
    for dir in [&disks.work, &parameters.image_dir] {
        fs::create_dir_all(dir).with_context(|| on("making", dir))?;
    }
    disks.assembly(|assembly| {
        assembly.write_tables()?;
        assembly.write_groups()?;
        let reporter = Reporter::quiet();
        for fs in &assembly.layout.filesystems {
            fill(&assembly.job(fs)?, None, &reporter)?;
        }
        attach(assembly, state)?;
        mount(assembly, &parameters.mount_base, state)
    })
}

/// The disks that the parameters describe, with everything in its place.
struct Described {
    layout: DiskLayout,
    placed: PlacedLayout,
    image_dir: PathBuf,
    work: PathBuf,
}

impl Described {
    fn of(parameters: &Parameters) -> Result<Self> {
        let layout = parameters.layout()?;
        let size = match layout.main_disk().and_then(|disk| disk.size).or(parameters.image_size) {
            Some(size) => size,
            None => bail!("image-size is not in the parameters, and the description has no size"),
        };
        let placed = layout.place(size)?;
        Ok(Self { layout, placed, image_dir: parameters.image_dir.clone(), work: parameters.states().join("work") })
    }

    fn assembly<T>(&self, work: impl FnOnce(&Assembly<'_>) -> T) -> T {
        let pairs = self.layout.disks.iter().zip(&self.placed.places);
        let disks: Vec<PlacedDisk<'_>> = pairs
            .map(|(disk, place)| PlacedDisk {
                disk,
                size: place.size,
                extents: place.placed.as_ref().map_or(&[][..], |p| &p.partitions),
                raw: self.image_dir.join(format!("{}.raw", disk.name)),
            })
            .collect();
        work(&Assembly {
            layout: &self.layout,
            disks: &disks,
            volumes: &Volumes::new(&self.layout, &self.placed.groups, &self.work),
            identities: &Identities::new(&self.layout, None),
            epoch: None,
            work: &self.work,
        })
    }
}

fn attach(assembly: &Assembly, state: &mut State) -> Result<()> {
    for placed in assembly.disks {
        let whole = Extent { start: 0, length: placed.size };
        let mut device = LoopDevice::attach_lasting(&placed.raw, whole, placed.disk.sector_size)?;
        let image = Some(placed.raw.clone());
        let disk = BlockDevice { device: device.path().to_owned(), image, part_of: None };
        state.blockdev.insert(placed.disk.name.clone(), disk);
        for partition in placed.disk.table.iter().flat_map(|table| &table.partitions) {
            let (_, _, extent) = assembly.place(&partition.name)?;
            let path = device.add_partition(partition.number, extent)?;
            state.blockdev.insert(partition.name.clone(), BlockDevice { device: path, image: None, part_of: None });
        }
        device.leave();
    }
    for volume in assembly.layout.volume_groups.iter().flat_map(|group| &group.logical) {
        if matches!(volume.kind, VolumeKind::Pool { .. }) {
            continue;
        }
        if let Some(place) = assembly.volume(&volume.name)? {
            let device = LoopDevice::attach_lasting(place.image, place.extent, place.sector_size)?;
            let part_of = Some(place.image.to_owned());
            let blockdev = BlockDevice { device: device.path().to_owned(), image: None, part_of };
            state.blockdev.insert(volume.name.clone(), blockdev);
            device.leave();
        }
    }
    Ok(())
}

fn mount(assembly: &Assembly, base: &Path, state: &mut State) -> Result<()> {
    for fs in &assembly.layout.filesystems {
        let device = state.blockdev.get(&fs.base).with_context(|| format!("{} has no device", fs.name))?.device.clone();
        let made = FilesystemState {
            uuid: assembly.identities.filesystem_text(fs),
            label: fs.label.clone(),
            fstype: fs.kind.clone(),
            opts: fs.options.clone(),
            device: device.clone(),
        };
        state.filesys.insert(fs.name.clone(), made);
        let Some(point) = &fs.mount_point else { continue };
        let path = base.join(point.trim_start_matches('/'));
        if point.starts_with('/') {
            fs::create_dir_all(&path).with_context(|| on("making", &path))?;
            nix::mount::mount(Some(&device), &path, Some(fs.kind.as_str()), MsFlags::empty(), None::<&str>)
                .with_context(|| format!("mounting {} ({}) at {}", fs.name, fs.kind, path.display()))?;
        }
        let mount = MountState { name: format!("mount_{}", fs.name), base: fs.name.clone(), path };
        state.mount.insert(point.clone(), mount);
        state.mount_order.push(point.clone());
    }
    Ok(())
}

/// Unmounts and detaches; what fails is returned, and does not keep the rest from going.
fn undo(state: &State) -> Vec<anyhow::Error> {
    let mut problems = Vec::new();
    for point in state.mount_order.iter().rev().filter(|point| point.starts_with('/')) {
        problems.extend(state.mount.get(point).and_then(|mount| unmount(&mount.path).err()));
    }
    // A volume's device goes before that of the disk below it.
    let volumes = state.blockdev.values().filter_map(|blockdev| Some((blockdev, blockdev.part_of.as_ref()?)));
    let disks = state.blockdev.values().filter_map(|blockdev| Some((blockdev, blockdev.image.as_ref()?)));
    for (blockdev, file) in volumes.chain(disks) {
        problems.extend(loop_device::detach(&blockdev.device, Some(file)).err());
    }
    problems
}

fn unmount(path: &Path) -> Result<()> {
    for _ in 0..TRIES {
        nix::unistd::sync();
        match umount2(path, MntFlags::UMOUNT_NOFOLLOW) {
            // Not mounted, or not there: somebody was here before.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error).with_context(|| on("unmounting", path)),
        }
    }
    bail!("{} is still in use", path.display())
}

fn images(state: &State) -> impl Iterator<Item = &PathBuf> {
    state.blockdev.values().filter_map(|blockdev| blockdev.image.as_ref())
}

/// Unmounts and detaches, and puts volumes that do not lie in one piece into their places on the disks.
pub fn umount(parameters: &Parameters) -> Result<()> {
    let states = parameters.states();
    if !State::is_made(&states) {
        return out("State already cleaned");
    }
    let state = State::load_made(&states)?;
    if let Some(problem) = undo(&state).into_iter().next() {
        return Err(problem);
    }
    // A second time there is nothing left to do.
    let beside = |file: &&PathBuf| file.starts_with(&states) && file.exists();
    if state.blockdev.values().filter_map(|blockdev| blockdev.part_of.as_ref()).any(|file| beside(&file)) {
        Described::of(parameters)?.assembly(|assembly| assembly.settle(&Reporter::quiet()))?;
    }
    Ok(())
}

/// Forgets the disks; their files stay.
pub fn cleanup(parameters: &Parameters) -> Result<()> {
    let states = parameters.states();
    State::load_made(&states)?;
    fs::remove_dir_all(&states).with_context(|| on("removing", &states))
}

/// Removes the disks with their files.
pub fn delete(parameters: &Parameters) -> Result<()> {
    let state = State::load_made(&parameters.states())?;
    umount(parameters)?;
    for image in images(&state).filter(|image| image.exists()) {
        fs::remove_file(image).with_context(|| on("removing", image))?;
    }
    cleanup(parameters)
}
