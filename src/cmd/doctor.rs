//! `image-create doctor`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::boot::QEMU;
use crate::cli::doctor::DoctorArgs;
use crate::error::HostNotReady;
use crate::host::{self, Need, What};
use crate::plan::Plan;
use crate::report::Reporter;
use crate::request::{BuildRequest, Surroundings};

/// Free space that a build of a small system takes: its tree, its packages and its images.
const WORK_SPACE: u64 = 6 << 30;
/// Memory with which work directories are kept in memory.
const TMPFS_MEMORY: u64 = 4 << 30;

/// Compares this host with what `args` ask for.
///
/// # Errors
/// [`HostNotReady`] when something that is needed is missing; what is wrong with the request, as a build would tell it.
pub fn run(args: &DoctorArgs) -> Result<u8> {
    let mut needs = build_needs();
    needs.extend(boot_needs().into_iter().map(|need| if args.boot { need } else { need.optional() }));
    if args.build.elements.is_empty() {
        let formats = args.build.types.as_deref().unwrap_or_default();
        needs.extend(formats.split(',').filter_map(format_need));
        needs.extend(common_wishes());
    } else {
        let surroundings = Surroundings::read().context("reading the working directory")?;
        needs.extend(Plan::new(BuildRequest::new(&args.build, surroundings)?)?.needs);
    }
    let lacks = host::check(&needs);
    for lack in &lacks {
        let kind = if lack.optional { "could have" } else { "missing" };
        Reporter::result(&format!("{kind}: {}\n    {}", lack.message, lack.hint));
    }
    let missing = lacks.iter().filter(|lack| !lack.optional).count();
    if missing > 0 {
        let message = format!("this host lacks {missing} of the things that are needed");
        return Err(HostNotReady { message, hint: None }.into());
    }
    Reporter::result("this host is ready");
    Ok(0)
}

/// What every build needs.
pub fn build_needs() -> Vec<Need> {
    let why = "every build";
    let mut needs = vec![
        Need::new(What::Root, why),
        Need::new(What::Namespaces, why),
        Need::new(What::Overlay, why),
        Need::program("bash", why),
        Need::program("tar", why),
    ];
    needs.push(Need::new(What::Space { dir: work_dir(), bytes: WORK_SPACE }, "work directories"));
    needs.push(Need::new(What::Memory { bytes: TMPFS_MEMORY }, "work directories in memory").optional());
    needs
}

/// What `image-create boot` needs.
pub fn boot_needs() -> Vec<Need> {
    let why = "image-create boot";
    vec![
        Need::program(QEMU, why),
        Need::program("qemu-img", why),
        Need::new(What::Firmware, "image-create boot --uefi"),
    ]
}

/// What an output format needs beyond every build's needs.
pub fn format_need(format: &str) -> Option<Need> {
    let program = match format {
        "qcow2" | "vmdk" | "vhd" | "vhdx" => "qemu-img",
        "squashfs" => "mksquashfs",
        _ => return None,
    };
    Some(Need::program(program, format!("-t {format}")))
}

/// Tools that many elements and outputs want.
fn common_wishes() -> Vec<Need> {
    let bootstrap = What::Program(vec!["mmdebstrap".into(), "debootstrap".into()]);
    let mut needs = vec![Need::new(bootstrap, "element debian-minimal")];
    needs.extend(["qcow2", "squashfs"].into_iter().filter_map(format_need));
    for (program, why) in [
        ("mke2fs", "ext4 root filesystems"),
        ("mkfs.xfs", "xfs root filesystems"),
        ("mkfs.btrfs", "btrfs root filesystems"),
        ("curl", "elements that download"),
        ("git", "elements that fetch sources"),
    ] {
        needs.push(Need::program(program, why));
    }
    needs.push(Need::new(What::LoopDevices, "elements with block-device, pre-finalise or finalise hooks of their own"));
    needs.into_iter().map(Need::optional).collect()
}

/// Where work directories are made.
fn work_dir() -> PathBuf {
    std::env::temp_dir()
}
