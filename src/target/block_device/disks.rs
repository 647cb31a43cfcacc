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
    })
}

fn make(parameters: &Parameters, state: &mut State) -> Result<()> {
    let layout = parameters.layout()?;
    if !layout.volume_groups.is_empty() {
        bail!("dib-block-device makes no volume groups: the build itself makes the disk of such a layout");
    }
    let size = match layout.main_disk().and_then(|disk| disk.size).or(parameters.image_size) {
        Some(size) => size,
        None => bail!("image-size is not in the parameters, and the description has no size"),
    };
    let identities = Identities::new(&layout, None);
    let placed = layout.place(size)?;
    let work = parameters.states().join("work");
    for dir in [&work, &parameters.image_dir] {
        fs::create_dir_all(dir).with_context(|| on("making", dir))?;
    }
    let disks: Vec<PlacedDisk<'_>> = layout
        .disks
        .iter()
        .zip(&placed.places)
        .map(|(disk, place)| PlacedDisk {
            disk,
            size: place.size,
            extents: place.placed.as_ref().map_or(&[][..], |p| &p.partitions),
            raw: parameters.image_dir.join(format!("{}.raw", disk.name)),
        })
        .collect();
    let volumes = Volumes::new(&layout, &placed.groups, &work);
    let assembly = Assembly {
        layout: &layout,
        disks: &disks,
        volumes: &volumes,
        identities: &identities,
        epoch: None,
        work: &work,
    };
    assembly.write_tables()?;
    let reporter = Reporter::quiet();
    for fs in &layout.filesystems {
        fill(&assembly.job(fs)?, None, &reporter)?;
    }
    attach(&assembly, state)?;
    mount(&assembly, &parameters.mount_base, state)
}

fn attach(assembly: &Assembly, state: &mut State) -> Result<()> {
    for placed in assembly.disks {
        let mut device = LoopDevice::attach_lasting(&placed.raw, placed.disk.sector_size)?;
        let image = Some(placed.raw.clone());
        state.blockdev.insert(placed.disk.name.clone(), BlockDevice { device: device.path().to_owned(), image });
        for partition in placed.disk.table.iter().flat_map(|table| &table.partitions) {
            let (_, _, extent) = assembly.place(&partition.name)?;
            let path = device.add_partition(partition.number, extent)?;
            state.blockdev.insert(partition.name.clone(), BlockDevice { device: path, image: None });
        }
        device.leave();
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
    for disk in state.blockdev.values().filter(|blockdev| blockdev.image.is_some()) {
        problems.extend(loop_device::detach(&disk.device, disk.image.as_deref()).err());
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

/// Unmounts and detaches.
pub fn umount(parameters: &Parameters) -> Result<()> {
    let states = parameters.states();
    if !State::is_made(&states) {
        return out("State already cleaned");
    }
    match undo(&State::load_made(&states)?).into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(problem),
    }
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
