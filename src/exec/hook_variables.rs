//! The variables that the engine gives to every hook (contract 6.1), on top of what the caller exported.

use crate::assemble::identity::Identities;
use crate::element::{export, resolve};
use crate::plan::Plan;
use crate::plan::variables;
use crate::target::block_device;
use crate::target::host_python;

use super::environment::{Environment, host_path};
use super::tools;
use super::work_dir::Paths;

/// The variable that names the Python of hooks on the host.
const PYTHON: &str = "DIB_PYTHON_EXEC";

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
    variables::decided(&plan.request, &plan.layout, plan.attaches()).iter().for_each(|(name, value)| set(name, value));
    element_variables(plan, &mut set);
    identity_variables(plan, identities, &mut set);
    for (name, path) in [
        ("TMP_BUILD_DIR", &paths.build),
        ("TMP_IMAGE_DIR", &paths.image),
        ("TMP_HOOKS_PATH", &paths.hooks),
        ("TMP_MOUNT_PATH", &paths.tree),
        ("_LIB", &tools::library(&paths.hooks)),
        ("DIB_BLOCK_DEVICE_PARAMS_YAML", &block_device::parameters_file(&paths.build)),
    ] {
        env.insert(name.into(), path.into());
    }
    if caller.get(PYTHON).is_none_or(String::is_empty) {
        env.insert(PYTHON.into(), tools::bin(&paths.hooks).join(host_python::NAME).into());
    }
    let path = caller.get("PATH").map(String::as_str);
    env.insert("PATH".into(), host_path(path, &tools::bin(&paths.hooks)));
    env
}

/// Names and places of elements, in the forms that `element-info --env` gives (contract 1.5).
fn element_variables(plan: &Plan, set: &mut impl FnMut(&str, &str)) {
    let resolution = &plan.resolution;
    set("IMAGE_ELEMENT", &export::image_element(resolution));
    set("IMAGE_ELEMENT_YAML", &export::image_element_yaml(resolution));
    set(&export::array_function_variable(), &export::array_function(resolution));
    set("BASH_FUNC_die%%", &die_function());
    let system = resolution.provided.get(resolve::OPERATING_SYSTEM);
    set("IMAGE_OS_ELEMENT", system.map_or("", String::as_str));
    let path: Vec<_> = plan.elements_path.iter().map(|p| p.display().to_string()).collect();
    set("ELEMENTS_PATH", &path.join(":"));
}

/// The function `die` as bash hands functions on in the environment: hooks on the host have it without sourcing
/// anything (contract 2.8).
fn die_function() -> String {
    let text = include_str!("../../lib/die");
    let body = text.split_once("function die {").and_then(|(_, rest)| rest.split_once("\n}\n")).map(|(body, _)| body);
    format!("() {{{}\n}}", body.unwrap_or_default())
}

fn identity_variables(plan: &Plan, identities: &Identities, set: &mut impl FnMut(&str, &str)) {
    for (name, fs) in [("IMAGE_ROOT_UUID", plan.layout.root()), ("IMAGE_BOOT_UUID", plan.layout.boot())] {
        set(name, &fs.map(|fs| identities.filesystem_text(fs)).unwrap_or_default());
    }
}
