//! The variables that the engine gives to every hook (contract 6.1), on top of what the caller exported.

use crate::assemble::identity::Identities;
use crate::plan::Plan;
use crate::plan::disk::Filesystem;

use super::environment::{Environment, host_path};
use super::tools;
use super::work_dir::Paths;

/// The environment of host hooks before environment.d.
pub fn initial(plan: &Plan, paths: &Paths, identities: &Identities) -> Environment {
    let caller = &plan.request.surroundings.variables;
    let mut env: Environment = caller.iter().map(|(k, v)| (k.into(), v.into())).collect();
    // The contract's own dump, made before anything is added.
    let dump: String = caller
        .iter()
        .filter(|(name, _)| name.starts_with("DIB_"))
        .map(|(name, value)| format!("declare -x {name}={}\n", super::command::quote(value)))
        .collect();
    let mut set = |name: &str, value: &str| {
        env.insert(name.into(), value.into());
    };
    set("DIB_ENV", dump.trim_end());
    set("DIB_ARGS", &plan.request.surroundings.arguments);
    set("LC_ALL", "C");
    request_variables(plan, &mut set);
    element_variables(plan, &mut set);
    disk_variables(plan, identities, &mut set);
    for (name, path) in [
        ("TMP_BUILD_DIR", &paths.build),
        ("TMP_IMAGE_DIR", &paths.image),
        ("TMP_HOOKS_PATH", &paths.hooks),
        ("TMP_MOUNT_PATH", &paths.tree),
    ] {
        env.insert(name.into(), path.into());
    }
    let path = caller.get("PATH").map(String::as_str);
    env.insert("PATH".into(), host_path(path, &tools::bin(&paths.hooks)));
    env
}

fn request_variables(plan: &Plan, set: &mut impl FnMut(&str, &str)) {
    let request = &plan.request;
    let run = &request.run;
    set("ARCH", &request.arch);
    set("IMAGE_NAME", &request.image_name);
    set("IMAGE_TYPE", request.formats.first().map_or("qcow2", String::as_str));
    set("DIB_DEBUG_TRACE", &run.trace.to_string());
    set("DIB_OFFLINE", &run.offline);
    set("DIB_NO_TMPFS", if run.tmpfs { "0" } else { "1" });
    set("DIB_MIN_TMPFS", &run.min_tmpfs_gib.to_string());
    let cache = run.cache.to_string_lossy();
    set("DIB_IMAGE_CACHE", &cache);
    // Beside the download cache, as upstream's default locations are.
    let lockfiles = run.cache.parent().map(|p| p.join("dib/lockfiles")).unwrap_or_default();
    set("DIB_LOCKFILES", &lockfiles.to_string_lossy());
    let checksum = &request.output.checksums;
    set("DIB_CHECKSUM", &if checksum.is_empty() { "0".to_owned() } else { checksum.join(",") });
    set("FS_TYPE", &request.disk.fs_type);
    set("ROOT_LABEL", request.disk.root_label.as_deref().unwrap_or(""));
    if let Some(epoch) = run.source_date_epoch {
        set("SOURCE_DATE_EPOCH", &epoch.to_string());
    }
}

/// Names and places of elements, in the forms that `element-info --env` gives (contract 1.5).
fn element_variables(plan: &Plan, set: &mut impl FnMut(&str, &str)) {
    let elements = &plan.resolution.elements;
    let names: Vec<&str> = elements.iter().map(|e| e.name.as_str()).collect();
    let mut sorted: Vec<_> = elements.iter().map(|e| (e.name.as_str(), e.dir.display().to_string())).collect();
    sorted.sort();
    let yaml: String = sorted.iter().map(|(name, dir)| format!("{name}: {dir}\n")).collect();
    let array: String = elements.iter().map(|e| format!("[{}]={} ", e.name, e.dir.display())).collect();
    set("IMAGE_ELEMENT", &names.join(" "));
    set("IMAGE_ELEMENT_YAML", &yaml);
    // How bash hands an exported function to its children.
    set("BASH_FUNC_get_image_element_array%%", &format!("() {{ echo \"{array}\"\n}}"));
    let path: Vec<_> = plan.elements_path.iter().map(|p| p.display().to_string()).collect();
    set("ELEMENTS_PATH", &path.join(":"));
}

fn disk_variables(plan: &Plan, identities: &Identities, set: &mut impl FnMut(&str, &str)) {
    let layout = &plan.layout;
    let uuid = |fs: Option<&Filesystem>| fs.map(|fs| identities.filesystem_text(fs)).unwrap_or_default();
    let (root, boot) = (layout.root(), layout.boot());
    set("DIB_ROOT_LABEL", layout.root_label());
    set("DIB_ROOT_FSTYPE", layout.root_fstype());
    set("DIB_BOOT_LABEL", layout.boot_label());
    set("DIB_MOUNTPOINTS", &layout.mount_points_joined());
    set("IMAGE_ROOT_UUID", &uuid(root));
    set("IMAGE_BOOT_UUID", &uuid(boot));
    set("IMAGE_BOOT_FSTYPE", boot.map_or("", |fs| fs.kind.as_str()));
    set("IMAGE_PARTITION_TABLE", plan.table_name());
    let number = |fs: Option<&Filesystem>| fs.and_then(|fs| layout.partition_number(fs)).map_or(String::new(), |n| n.to_string());
    set("IMAGE_ROOT_PARTITION", &number(root));
    set("IMAGE_BOOT_PARTITION", &number(boot));
    set("IMAGE_LOOP_FREE", if plan.attaches() { "" } else { "1" });
    set("IMAGE_BOOT_SPEC", "/tmp/image-boot.json");
}
