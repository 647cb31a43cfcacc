//! What a build will do, as data.

pub mod builtin;
pub mod disk;
pub mod environment;
pub mod initramfs;
pub mod output;
mod packages;
mod print;
pub mod variables;

pub use packages::{PackageLine, PackagePlan};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::element::catalog::ElementCatalog;
use crate::element::hooks::{self, HookTree};
use crate::element::phase::Phase;
use crate::element::resolve::{self, Resolution};
use crate::element::{Warning, run_order};
use crate::error::{Fault, Faults, Place};
use crate::host::{self, Need};
use crate::request::BuildRequest;

use disk::image_size::{SizeRequest, image_size};
use disk::lvm::VolumeKind;
use disk::{DiskLayout, RootFs, TableKind};
use environment::StaticEnv;
use output::{OutputOptions, OutputPlan, Source, Tool};

/// The element whose presence leaves out disk images (contract 7.2); any name that holds this counts.
const NO_FINAL_IMAGE: &str = "no-final-image";

/// Everything that is decided before the machine is touched.
#[derive(Debug)]
pub struct Plan {
    /// What was asked for.
    pub request: BuildRequest,
    /// Directories of elements, the built-in one last.
    pub elements_path: Vec<PathBuf>,
    /// The directory of the shared package maps.
    pub package_maps: PathBuf,
    /// The directory of the shell libraries.
    pub library: PathBuf,
    /// The elements that take part, in order.
    pub resolution: Resolution,
    /// Their hooks, merged.
    pub hooks: HookTree,
    /// What environment.d gives, as far as that can be read without running it.
    pub environment: StaticEnv,
    /// Packages by phase.
    pub packages: PackagePlan,
    /// Disks, partitions, filesystems.
    pub layout: DiskLayout,
    /// The file that the layout is from, or a word for where else it is from.
    pub layout_source: String,
    /// The description of the layout as it was found.
    pub layout_text: String,
    /// Outputs to write.
    pub outputs: Vec<OutputPlan>,
    /// How they are written.
    pub output_options: OutputOptions,
    /// Whether disk images are written at all.
    pub final_image: bool,
    /// Why a block device is attached for the last phases; `None` when it is not.
    pub attach: Option<String>,
    /// Build in a tmpfs.
    pub in_memory: bool,
    /// What the host must have.
    pub needs: Vec<Need>,
    /// What the user should look at.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Decides everything.
    ///
    /// # Errors
    /// All mistakes that can be found at once: those in elements before those that depend on a
    /// resolved set of them.
    pub fn new(request: BuildRequest) -> Result<Self, Faults> {
        let builtin = request.builtin()?;
        let (catalog, mut warnings) = ElementCatalog::load(&request.elements_path, Some(&builtin.elements))?;
        let resolution = resolve::resolve(&catalog, &element_request(&request))?;
        let variables = &request.surroundings.variables;
        let pattern = run_order::pattern(variables.get("RUN_PARTS_REGEX").map(String::as_str))?;
        let (hooks, found) = hooks::merge(&resolution.elements, &pattern)?;
        warnings.extend(found);

        let mut faults = Vec::new();
        let mut collect = |found: Faults| faults.extend(found.0);
        let attach = attach_reason(&request, &hooks, &builtin.elements);
        let output_options = output_options(&request).map_err(&mut collect).unwrap_or_default();
        let outputs = output::plan_outputs(Path::new(&request.image_name), &request.formats, &output_options)
            .map_err(&mut collect)
            .ok();
        let layout = choose_layout(&request, &hooks.layouts, &mut warnings).map_err(&mut collect).ok();
        let (Some((layout, layout_source, layout_text)), Some(outputs)) = (layout, outputs) else {
            return Err(Faults(faults));
        };
        let environment = static_environment(&hooks, &request, variables::decided(&request, &layout, attach.is_some()));
        let Some(environment) = environment.map_err(&mut collect).ok() else { return Err(Faults(faults)) };
        let packages = PackagePlan::new(&resolution, &environment, &builtin.package_maps, &mut warnings);
        let Some(packages) = packages.map_err(&mut collect).ok() else { return Err(Faults(faults)) };
        check_initramfs(&resolution).map_err(&mut collect).ok();
        Faults::or(faults, ())?;

        // A ramdisk is written by a hook of its element (contract 8.1).
        let outputs = if request.ramdisk.is_some() { vec![] } else { outputs };
        let final_image = request.ramdisk.is_none() && !resolution.names().any(|name| name.contains(NO_FINAL_IMAGE));
        let mut plan = Self {
            elements_path: request.elements_path.iter().cloned().chain([builtin.elements]).collect(),
            package_maps: builtin.package_maps,
            library: builtin.library,
            in_memory: request.in_memory(),
            needs: vec![],
            request,
            resolution,
            hooks,
            environment,
            packages,
            layout,
            layout_source,
            layout_text,
            outputs,
            output_options,
            final_image,
            attach,
            warnings,
        };
        plan.needs = plan.host_needs()?;
        plan.check_size()?;
        Ok(plan)
    }

    /// The files that the element of a ramdisk writes; none when images are built.
    pub fn ramdisk_files(&self) -> Vec<PathBuf> {
        let name = &self.request.image_name;
        let files = self.request.ramdisk.iter().flat_map(|_| ["initramfs", "kernel"]);
        files.map(|ending| PathBuf::from(format!("{name}.{ending}"))).collect()
    }

    /// The elements that want something in an initramfs, with the files that say what.
    pub fn initramfs_files(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        initramfs_files(&self.resolution)
    }

    /// Whether a block device is attached for the last phases.
    pub fn attaches(&self) -> bool {
        self.attach.is_some()
    }

    /// What identities are derived from in a build that can be repeated; `None` for random ones.
    pub fn seed(&self) -> Option<String> {
        let epoch = self.request.run.source_date_epoch?;
        let names: Vec<_> = self.resolution.names().collect();
        Some(format!("{epoch} {} {}", self.request.arch, names.join(" ")))
    }

    /// `gpt`, `mbr` or `none`: the main disk's partition table.
    pub fn table_name(&self) -> &'static str {
        self.layout.table_kind().map_or("none", TableKind::as_str)
    }

    /// Whether any output is made from a disk; archives are made from the tree.
    pub fn needs_disk(&self) -> bool {
        self.attaches() || (self.final_image && self.outputs.iter().any(|o| o.format.source() == Source::Disk))
    }

    /// Everything has a place on a disk of the size that was asked for; without one the size follows from the layout.
    fn check_size(&self) -> Result<(), Faults> {
        let Some(gib) = self.request.disk.size_gib.filter(|_| self.needs_disk()) else { return Ok(()) };
        let size = SizeRequest { explicit_gib: Some(gib), ..SizeRequest::default() };
        self.layout.place(image_size(&size)).map(drop)
    }

    fn host_needs(&self) -> Result<Vec<Need>, Faults> {
        let need = |tool: &Tool, why: &str| Need::program(tool.program, why);
        let mut needs = vec![Need::program("bash", "hooks"), Need::program("chroot", "hooks in the chroot")];
        for output in &self.outputs {
            needs.extend(output.format.tool().map(|t| need(&t, &format!("-t {}", output.format.name()))));
        }
        if self.needs_disk() {
            let kinds: BTreeSet<&str> = self.layout.filesystems.iter().map(|fs| fs.kind.as_str()).collect();
            for kind in kinds {
                needs.extend(Tool::for_filesystem(kind).iter().map(|t| need(t, &format!("{kind} filesystems"))));
            }
        }
        let volumes = || self.layout.volume_groups.iter().flat_map(|group| &group.logical);
        if self.needs_disk() && volumes().any(|volume| matches!(volume.kind, VolumeKind::Thin { .. })) {
            needs.push(need(&Tool::THIN_RESTORE, "thin volumes"));
        }
        let mut faults = Vec::new();
        let variables = &self.request.surroundings.variables;
        let is_set = |name: &str| variables.get(name).is_some_and(|value| !value.is_empty());
        for element in &self.resolution.elements {
            let file = element.dir.join("host-tools");
            if let Ok(text) = std::fs::read_to_string(&file) {
                match host::parse_host_tools(&file, &text, &element.name) {
                    Ok(found) => needs.extend(found.into_iter().filter(|n| !n.is_met_by_variables(is_set))),
                    Err(found) => faults.extend(found.0),
                }
            }
        }
        Faults::or(faults, needs)
    }

    /// The hooks that a phase runs, in order, with their elements.
    pub fn hooks_of(&self, phase: Phase) -> impl Iterator<Item = &hooks::Hook> {
        self.hooks.running(phase)
    }
}

fn initramfs_files(resolution: &Resolution) -> impl Iterator<Item = (&str, PathBuf)> {
    let files = resolution.elements.iter().map(|e| (e.name.as_str(), e.dir.join(initramfs::FILE)));
    files.filter(|(_, file)| file.is_file())
}

/// Reads what elements want in an initramfs: mistakes are told before anything is built.
fn check_initramfs(resolution: &Resolution) -> Result<(), Faults> {
    let (mut specs, mut faults) = (Vec::new(), Vec::new());
    for (_, file) in initramfs_files(resolution) {
        let read = std::fs::read_to_string(&file)
            .map_err(|e| Fault::at(Place::file(&file), format!("reading it failed: {e}")).into())
            .and_then(|text| initramfs::Spec::parse(&text, &file))
            .and_then(|spec| spec.check_own_files(&file).map(|()| spec));
        match read {
            Ok(spec) => specs.push(spec),
            Err(found) => faults.extend(found.0),
        }
    }
    Faults::or(faults, ())?;
    initramfs::Spec::merge(specs).map(drop)
}

fn element_request(request: &BuildRequest) -> resolve::Request {
    let base = request.with_base.then(|| resolve::BASE.to_owned());
    resolve::Request {
        requested: request.elements.clone(),
        implicit: request.ramdisk.iter().cloned().chain(base).collect(),
        arch: request.arch.clone(),
        needs_operating_system: true,
    }
}

/// What environment.d will give, told without running it; the variables that the engine sets itself come first.
fn static_environment(
    hooks: &HookTree,
    request: &BuildRequest,
    decided: Vec<(&'static str, String)>,
) -> Result<StaticEnv, Faults> {
    let mut initial = request.surroundings.variables.clone();
    initial.extend(decided.into_iter().map(|(name, value)| (name.to_owned(), value)));
    initial.insert("DIB_DEFAULT_INSTALLTYPE".into(), request.install_type.clone());
    let files: Vec<PathBuf> = hooks.environment.iter().map(|h| h.path.clone()).collect();
    environment::evaluate_from(&files, StaticEnv::new(&initial).with_unknown(SET_BY_THE_BUILD))
}

/// Variables that only the build knows.
const SET_BY_THE_BUILD: [&str; 8] = [
    "TMP_BUILD_DIR",
    "TMP_IMAGE_DIR",
    "TMP_HOOKS_PATH",
    "TMP_MOUNT_PATH",
    "IMAGE_ROOT_UUID",
    "IMAGE_BOOT_UUID",
    "_LIB",
    "DIB_BLOCK_DEVICE_PARAMS_YAML",
];

/// An element from elsewhere with hooks for the final filesystem may count on a device (contract 2.6);
/// the built-in ones never do.
fn attach_reason(request: &BuildRequest, hooks: &HookTree, builtin: &Path) -> Option<String> {
    if request.disk.attach {
        return Some("--attach was given".to_owned());
    }
    let foreign = [Phase::BlockDevice, Phase::PreFinalise, Phase::Finalise]
        .into_iter()
        .flat_map(|p| hooks.running(p).map(move |h| (p, h)));
    let foreign = foreign
        .filter(|(_, hook)| !hook.path.starts_with(builtin))
        .map(|(phase, hook)| format!("element {} brings {}/{}", hook.element, phase.dir(), hook.name));
    foreign.into_iter().next()
}

fn choose_layout(
    request: &BuildRequest,
    layouts: &[(String, PathBuf)],
    warnings: &mut Vec<Warning>,
) -> Result<(DiskLayout, String, String), Faults> {
    let chosen = disk::select::select(request.disk.config.as_deref(), &request.arch, layouts)?;
    let (mut text, file) = chosen.load()?;
    if matches!(chosen, disk::select::Source::File(_)) {
        let lookup = |name: &str| request.surroundings.variables.get(name).cloned();
        text = disk::variables::expand(&text, &lookup).map_err(|what| Fault::at(Place::file(&file), what))?;
    }
    let root = root_filesystem(request);
    let mut found: Vec<Fault> = Vec::new();
    let layout = disk::parse(&text, &file, &root, &mut found)?;
    warnings.extend(found);
    Ok((layout, file.display().to_string(), text))
}

/// What the request says about the root filesystem.
pub fn root_filesystem(request: &BuildRequest) -> RootFs {
    RootFs {
        fs_type: request.disk.fs_type.clone(),
        label: request.disk.root_label.clone(),
        options: request.disk.mkfs_options.clone(),
        usual_options: usual_options(request),
        block_size: request.disk.block_size,
    }
}

/// mkfs options of a root filesystem of the request's type: for ext4 the inode ratio and the journal that cloud images
/// want (contract 2.7).
fn usual_options(request: &BuildRequest) -> Vec<String> {
    let disk = &request.disk;
    let mut options: Vec<String> = Vec::new();
    if let Some(blocks) = disk.max_online_resize
        && disk.fs_type.starts_with("ext")
    {
        options.extend(["-E".to_owned(), format!("resize={blocks}")]);
    }
    if disk.fs_type == "ext4" {
        let journal = disk.journal_mib.unwrap_or(disk::image_size::JOURNAL_MIB);
        options.extend(["-i".to_owned(), "4096".to_owned(), "-J".to_owned(), format!("size={journal}")]);
    }
    options
}

fn output_options(request: &BuildRequest) -> Result<OutputOptions, Faults> {
    let asked = &request.output;
    Ok(OutputOptions {
        checksums: output::Checksum::parse_list(&asked.checksums.join(","))?,
        overwrite: asked.overwrite,
        compression: match (asked.compress, asked.zlib) {
            (false, _) => output::Compression::None,
            (true, true) => output::Compression::Zlib,
            (true, false) => output::Compression::Zstd,
        },
        qemu_img_options: asked.qemu_img_options.clone(),
        gzip: asked.gzip.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        docker_target: asked.docker_target.clone(),
        aci_manifest: asked.aci_manifest.clone(),
        oci_architecture: crate::distro::oci_arch(&request.arch).to_owned(),
        owner: request.owner(),
        epoch: request.run.source_date_epoch.and_then(|e| i64::try_from(e).ok()),
    })
}
