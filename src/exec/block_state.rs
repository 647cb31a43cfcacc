//! The files of `dib-block-device`, as a build keeps them for hooks that ask (contract 2.4, 2.5).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::assemble::attach::AttachedDisk;
use crate::assemble::identity::Identities;
use crate::error::on;
use crate::plan::{self, Plan};
use crate::target::block_device::state::{BlockDevice, FilesystemState, MountState, State};
use crate::target::block_device::{Parameters, parameters_file};

use super::work_dir::Paths;

fn parameters(plan: &Plan, paths: &Paths, image_size: Option<u64>) -> Parameters {
    Parameters {
        config: paths.build.join("block-device/config.yaml"),
        image_dir: paths.image.clone(),
        mount_base: paths.tree.clone(),
        build_dir: paths.build.clone(),
        root: plan::root_filesystem(&plan.request),
        image_size,
    }
}

/// Writes description and parameters; the main disk's size follows when it is known.
///
/// # Errors
/// When a file cannot be written.
pub fn write(plan: &Plan, paths: &Paths, image_size: Option<u64>) -> Result<()> {
    let parameters = parameters(plan, paths, image_size);
    let file = parameters_file(&paths.build);
    let dir = paths.build.join("block-device");
    fs::create_dir_all(&dir).with_context(|| on("making", &dir))?;
    fs::write(&parameters.config, &plan.layout_text).with_context(|| on("writing", &parameters.config))?;
    parameters.save(&file)?;
    parameters.init()
}

/// Writes which devices there are.
///
/// # Errors
/// When a file cannot be written.
pub fn attached(plan: &Plan, paths: &Paths, identities: &Identities, disk: &AttachedDisk) -> Result<()> {
    let mut state = State::default();
    for (name, device) in disk.devices() {
        let is_disk = plan.layout.disks.iter().any(|disk| disk.name == *name);
        let image = is_disk.then(|| paths.image.join(format!("{name}.raw")));
        state.blockdev.insert(name.clone(), BlockDevice { device: device.clone(), image, part_of: None });
    }
    for fs in &plan.layout.filesystems {
        let made = FilesystemState {
            uuid: identities.filesystem_text(fs),
            label: fs.label.clone(),
            fstype: fs.kind.clone(),
            opts: fs.options.clone(),
            device: disk.devices().get(&fs.base).cloned().unwrap_or_else(PathBuf::new),
        };
        state.filesys.insert(fs.name.clone(), made);
        if let Some(point) = &fs.mount_point {
            let path = paths.tree.join(point.trim_start_matches('/'));
            let mount = MountState { name: format!("mount_{}", fs.name), base: fs.name.clone(), path };
            state.mount.insert(point.clone(), mount);
            state.mount_order.push(point.clone());
        }
    }
    // Without the mark that allows umount and cleanup: those are the build's own business.
    state.save(&parameters(plan, paths, None).states(), false)
}
