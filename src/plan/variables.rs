//! The variables that follow from the request and the disk layout: what hooks get, and what the plan
//! can count on while it reads environment.d.

use crate::request::BuildRequest;

use super::disk::{DiskLayout, Filesystem, TableKind};

/// Names and values (contract 6.1, and ours that begin with `IMAGE_`). UUIDs are not among them:
/// those are chosen when the build starts.
pub fn decided(request: &BuildRequest, layout: &DiskLayout, attached: bool) -> Vec<(&'static str, String)> {
    let run = &request.run;
    // Beside the download cache, as upstream's default locations are.
    let lockfiles = run.cache.parent().map(|p| p.join("dib/lockfiles")).unwrap_or_default();
    let checksums = &request.output.checksums;
    let number =
        |fs: Option<&_>| fs.and_then(|fs| layout.partition_number(fs)).map_or(String::new(), |n| n.to_string());
    let volume = |fs: Option<&Filesystem>| {
        let found = fs.and_then(|fs| layout.volume_of(fs));
        found.map_or(String::new(), |(group, volume)| group.mapper_name(volume))
    };
    let mut variables = vec![
        ("LC_ALL", "C".into()),
        ("ARCH", request.arch.clone()),
        ("IMAGE_NAME", request.image_name.clone()),
        ("IMAGE_TYPE", request.formats.first().map_or("qcow2", String::as_str).to_owned()),
        ("FS_TYPE", request.disk.fs_type.clone()),
        ("ROOT_LABEL", request.disk.root_label.clone().unwrap_or_default()),
        ("DIB_DEBUG_TRACE", run.trace.to_string()),
        ("DIB_OFFLINE", run.offline.clone()),
        ("DIB_NO_TMPFS", if run.tmpfs { "0" } else { "1" }.into()),
        ("DIB_MIN_TMPFS", run.min_tmpfs_gib.to_string()),
        ("DIB_IMAGE_CACHE", run.cache.display().to_string()),
        ("DIB_LOCKFILES", lockfiles.display().to_string()),
        ("DIB_CHECKSUM", if checksums.is_empty() { "0".into() } else { checksums.join(",") }),
        ("DIB_ROOT_LABEL", layout.root_label().to_owned()),
        ("DIB_ROOT_FSTYPE", layout.root_fstype().to_owned()),
        ("DIB_BOOT_LABEL", layout.boot_label().to_owned()),
        ("DIB_MOUNTPOINTS", layout.mount_points_joined()),
        ("IMAGE_BOOT_FSTYPE", layout.boot().map_or(String::new(), |fs| fs.kind.clone())),
        ("IMAGE_PARTITION_TABLE", layout.table_kind().map_or("none", TableKind::as_str).to_owned()),
        ("IMAGE_SECTOR_SIZE", layout.main_disk().map_or(String::new(), |disk| disk.sector_size.to_string())),
        ("IMAGE_ROOT_PARTITION", number(layout.root())),
        ("IMAGE_BOOT_PARTITION", number(layout.boot())),
        ("IMAGE_ROOT_VOLUME", volume(layout.root())),
        ("IMAGE_BOOT_VOLUME", volume(layout.boot())),
        ("IMAGE_LOOP_FREE", if attached { "" } else { "1" }.into()),
        ("IMAGE_BOOT_SPEC", "/tmp/image-boot.json".into()),
    ];
    if let Some(epoch) = run.source_date_epoch {
        variables.push(("SOURCE_DATE_EPOCH", epoch.to_string()));
    }
    variables
}
