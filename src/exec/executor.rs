//! The build from the first phase to the finished tree (contract 2.6).

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use upgrade_tiny::selinux::Policy;

use crate::assemble::attach::AttachedDisk;
use crate::assemble::bootloader::BootSpec;
use crate::assemble::filesystem::is_fat;
use crate::assemble::identity::Identities;
use crate::assemble::migration::BundleSpec;
use crate::assemble::split;
use crate::element::materialize::materialize;
use crate::element::phase::{Phase, Side};
use crate::error::{ExitWith, on};
use crate::plan::Plan;
use crate::plan::output::Source;
use crate::report::Reporter;
use crate::target::package_requests::HOOK_ELEMENT;

use super::breakpoint::Breakpoints;
use super::command::Cmd;
use super::disks::Disks;
use super::environment::{self, Environment};
use super::finish;
use super::hook_variables;
use super::labels;
use super::layers::LayerStack;
use super::mount::Mount;
use super::phase::{IN_TARGET, PhaseRun};
use super::work_dir::Paths;
use super::{api_mounts, block_state, resolv_conf, tools};

/// Hooks that take longer than this get a layer of their own, in seconds.
const EXPENSIVE: f64 = 10.0;

/// A build under way.
pub struct Executor<'a> {
    plan: &'a Plan,
    paths: &'a Paths,
    reporter: &'a Reporter,
    breakpoints: Breakpoints,
    /// What every hook gets, before environment.d.
    variables: Environment,
    identities: Identities,
    /// The tree's place is taken by a mounted disk: there are no layers any more.
    on_disk: bool,
}

impl<'a> Executor<'a> {
    /// Prepares the places below the work directory; mounts a tmpfs over them if the plan says so.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(plan: &'a Plan, paths: &'a Paths, reporter: &'a Reporter) -> Result<Self> {
        let run = &plan.request.run;
        for dir in [&paths.build, &paths.image] {
            fs::DirBuilder::new().mode(0o755).create(dir).with_context(|| on("making", dir))?;
        }
        fs::set_permissions(&paths.work, fs::Permissions::from_mode(0o755))
            .with_context(|| on("opening", &paths.work))?;
        fs::create_dir_all(&run.cache).with_context(|| on("making the cache directory", &run.cache))?;
        let identities = Identities::new(&plan.layout, plan.seed().as_deref());
        let variables = hook_variables::initial(plan, paths, &identities);
        let breakpoints = Breakpoints {
            places: run.breakpoints.clone(),
            command: run.break_command.clone(),
            outside: run.break_outside,
        };
        Ok(Self { plan, paths, reporter, breakpoints, variables, identities, on_disk: false })
    }

    /// Runs everything.
    ///
    /// # Errors
    /// The first thing that fails.
    pub fn run(mut self) -> Result<()> {
        let _memory = self.memory()?;
        self.reporter.info(format!("Building in {}", self.paths.work.display()));
        self.merge_hooks()?;
        let mut layers = LayerStack::new(&self.paths.layers, &self.paths.tree)?;
        self.make_root(&mut layers)?;
        self.fill_tree(&mut layers)?;
        let size = finish::prepare(self.plan, self.paths, &mut self.variables, self.reporter)?;
        if self.plan.attaches() {
            self.finish_on_disk(&mut layers, size)?
        } else {
            self.finish_loop_free(&mut layers, size)?
        }
        layers.close()
    }

    /// Builds in memory when there is enough of it (contract 2.4); the kernel frees it with the namespace.
    fn memory(&self) -> Result<Option<(Mount, Mount)>> {
        if !self.plan.in_memory {
            return Ok(None);
        }
        let build = Mount::tmpfs(&self.paths.build, "mode=0755")?;
        let image = Mount::tmpfs(&self.paths.image, "mode=0755")?;
        Ok(Some((build, image)))
    }

    fn merge_hooks(&self) -> Result<()> {
        for element in &self.plan.resolution.elements {
            self.reporter.info(format!("Copying hooks for {}", element.name));
        }
        materialize(&self.plan.hooks, &self.paths.hooks)?;
        tools::install(&self.paths.hooks, self.plan)?;
        block_state::write(self.plan, self.paths, None)?;
        finish::write_grub_layout(self.plan, &self.identities, &self.paths.hooks.join(tools::DIR))
    }

    fn make_root(&mut self, layers: &mut LayerStack) -> Result<()> {
        self.phase(Phase::Root, layers)?;
        if is_bare(&self.paths.tree)? {
            bail!("Failed to deploy the root element.\n    The hooks of root.d left the tree at TARGET_ROOT empty.");
        }
        // From here on hooks know the install type; in root.d they do not (contract 2.6, step 6).
        let dir = self.paths.hooks.join("environment.d");
        fs::create_dir_all(&dir).with_context(|| on("making", &dir))?;
        let file = dir.join("11-dib-install-type.bash");
        let text = format!(
            "export DIB_DEFAULT_INSTALLTYPE=${{DIB_DEFAULT_INSTALLTYPE:-{}}}\n",
            self.plan.request.install_type
        );
        fs::write(&file, text).with_context(|| on("writing", &file))
    }

    fn fill_tree(&mut self, layers: &mut LayerStack) -> Result<()> {
        resolv_conf::put_hosts(&self.paths.tree)?;
        let api = api_mounts::mount(&self.paths.tree)?;
        self.phase(Phase::ExtraData, layers)?;
        tools::unseed_bin(&self.paths.hooks)?;
        self.phase(Phase::PreInstall, layers)?;
        self.phase(Phase::Install, layers)?;
        self.extra_packages(layers)?;
        finish::write_fstab(self.plan, &self.paths.tree)?;
        self.phase(Phase::PostInstall, layers)?;
        self.phase(Phase::PostRoot, layers)?;
        api.close()?;
        unmount_below(&self.paths.tree, &[])?;
        let lost_found = self.paths.tree.join("lost+found");
        if lost_found.exists() {
            fs::remove_dir_all(&lost_found).with_context(|| on("removing", &lost_found))?;
        }
        Ok(())
    }

    /// The last phases on the tree itself, then the disk from it.
    fn finish_loop_free(&mut self, layers: &mut LayerStack, size: u64) -> Result<()> {
        let asked = self.finish_tree(layers, None)?;
        let (plan, paths) = (self.plan, self.paths);
        if let Some(policy) = labels::policy_of(&paths.tree)? {
            layers.open_for_attributes("cleanup.d")?;
            self.label(&policy)?;
        }
        let mut raw = None;
        if plan.needs_disk() && plan.final_image {
            // finalise.d may have added to the tree what the first estimate did not see.
            let size = size.max(finish::disk_size(plan, &paths.tree)?);
            let disks = Disks::place(plan, paths, &self.identities, size)?;
            disks.write(&asked.boot, self.reporter)?;
            raw = Some(disks.raw());
            self.write_bundle(&asked, &disks)?;
        }
        finish::write_outputs(plan, paths, raw.as_deref(), &[Source::Tree, Source::Disk], self.reporter)
    }

    /// The last phases on the mounted disk, as diskimage-builder has them.
    fn finish_on_disk(&mut self, layers: &mut LayerStack, size: u64) -> Result<()> {
        let (plan, paths) = (self.plan, self.paths);
        let identities = self.identities.clone();
        let built = paths.build.join("built");
        fs::create_dir_all(&built).with_context(|| on("making", &built))?;
        layers.move_to(&built)?;
        self.on_disk = true;
        self.legacy_block_device(layers)?;
        let disks = Disks::place(plan, paths, &identities, size)?;
        block_state::write(plan, paths, Some(size))?;
        let attached = disks.attach(&built, &mut self.variables, self.reporter)?;
        block_state::attached(plan, paths, &identities, &attached)?;
        let asked = self.finish_tree(layers, Some(&attached))?;
        if let Some(policy) = labels::policy_of(&paths.tree)? {
            self.label(&policy)?;
        }
        finish::write_outputs(plan, paths, None, &[Source::Tree], self.reporter)?;
        self.write_bundle(&asked, &disks)?;
        disks.detach(attached, &asked.boot, self.reporter)?;
        finish::write_outputs(plan, paths, Some(&disks.raw()), &[Source::Disk], self.reporter)
    }

    /// Old elements make their own block device here and print its name. Upstream's driver cannot finish such
    /// a build (contract 2.12); here the hooks run, and the disk is made from the layout all the same.
    fn legacy_block_device(&mut self, layers: &mut LayerStack) -> Result<()> {
        if self.plan.hooks.running(Phase::BlockDevice).next().is_some() {
            self.reporter.warn("what block-device.d hooks make is not used: the disk is made from the layout");
            self.phase(Phase::BlockDevice, layers)?;
        }
        Ok(())
    }

    fn finish_tree(&mut self, layers: &mut LayerStack, attached: Option<&AttachedDisk>) -> Result<Asked> {
        let tree = &self.paths.tree;
        let own: Vec<_> = super::mount::mounted_below(tree)?;
        let api = api_mounts::mount(tree)?;
        if let Some(attached) = attached {
            attached.make_nodes(&tree.join("dev"))?;
        }
        self.phase(Phase::PreFinalise, layers)?;
        {
            let _stand_ins = finish::mount_stand_ins(self.plan, &self.identities, self.paths)?;
            self.phase(Phase::Finalise, layers)?;
        }
        let asked = Asked { boot: finish::read_boot_spec(tree)?, bundle: finish::read_bundle_spec(tree)? };
        self.phase(Phase::Cleanup, layers)?;
        resolv_conf::put_back(tree)?;
        unmount_below(&tree.join("tmp"), &own)?;
        finish::tidy(tree)?;
        api.close()?;
        unmount_below(tree, &own)?;
        Ok(asked)
    }

    fn write_bundle(&self, asked: &Asked, disks: &Disks) -> Result<()> {
        let Some(spec) = &asked.bundle else { return Ok(()) };
        finish::write_bundle(spec, self.plan, self.paths, disks, self.reporter)
    }

    fn label(&self, policy: &Policy) -> Result<()> {
        let filesystems = &self.plan.layout.filesystems;
        let points: Vec<&str> = filesystems.iter().filter_map(|fs| fs.mount_point.as_deref()).collect();
        // Mount points that the tree does not have yet are to get labels as well.
        split::ensure_directories(&self.paths.tree, &points)?;
        let fat = filesystems.iter().filter(|fs| is_fat(&fs.kind));
        let unlabelled: Vec<&str> = fat.filter_map(|fs| fs.mount_point.as_deref()).collect();
        self.reporter
            .step("labelling the files", || labels::apply(policy, &self.paths.tree, &unlabelled, self.reporter))
    }

    /// Runs one phase with the environment that is its own.
    fn phase(&mut self, phase: Phase, layers: &mut LayerStack) -> Result<()> {
        let chroot = (phase.side() == Side::Chroot).then_some(self.paths.tree.as_path());
        // A phase in the chroot that no element has is skipped with its breakpoints; on the host those count.
        if chroot.is_some() && !self.paths.hooks.join(phase.dir()).is_dir() {
            return Ok(());
        }
        let mut base = self.variables.clone();
        if phase.has_target_root() {
            base.insert("TARGET_ROOT".into(), self.paths.tree.clone().into());
        }
        let hooks_mount = match chroot {
            Some(tree) => {
                base = environment::for_chroot(&base);
                Some(InTarget::mount(&self.paths.hooks, tree)?)
            }
            None => None,
        };
        let elements = self.plan.hooks.phases.get(&phase);
        let element_of = |hook: &str| {
            elements.into_iter().flatten().find(|h| h.name == hook).map_or(String::new(), |h| h.element.clone())
        };
        let in_layers = !self.on_disk;
        let mut after_hook = |hook: &str, seconds: f64| {
            if in_layers && seconds > EXPENSIVE {
                layers.close_layer(&format!("{}/{hook}", phase.dir()))
            } else {
                Ok(())
            }
        };
        PhaseRun {
            name: phase.name(),
            hooks: &self.paths.hooks,
            chroot,
            base: &base,
            cwd: &self.plan.request.surroundings.cwd,
            breakpoints: &self.breakpoints,
            element_of: &element_of,
            after_hook: &mut after_hook,
            log: self.plan.request.run.logfile.as_deref(),
            reporter: self.reporter,
        }
        .run()?;
        if let Some(mount) = hooks_mount {
            mount.close()?;
        }
        if in_layers { layers.close_layer(phase.dir()) } else { Ok(()) }
    }

    /// The packages of `-p`, as a hook of the install phase would install them.
    fn extra_packages(&self, layers: &mut LayerStack) -> Result<()> {
        let packages = &self.plan.request.packages;
        if packages.is_empty() {
            return Ok(());
        }
        let tree = &self.paths.tree;
        let mount = InTarget::mount(&self.paths.hooks, tree)?;
        let cmd = Cmd::new("chroot").arg(tree).arg("install-packages").args(packages);
        let mut own = environment::for_chroot(&self.variables);
        own.insert(HOOK_ELEMENT.into(), "-p".into());
        let cmd = cmd.full_env(own).dir(&self.plan.request.surroundings.cwd);
        let exit = self.reporter.step("installing the packages of -p", || cmd.stream(|l| self.reporter.output(l)))?;
        if exit.code != 0 {
            let tail: String = exit.tail.iter().map(|l| format!("\n    {l}")).collect();
            let message = format!("the packages of -p could not be installed: {}{tail}", packages.join(", "));
            return Err(ExitWith { message, code: u8::try_from(exit.code).unwrap_or(1), hints: vec![] }.into());
        }
        mount.close()?;
        layers.close_layer("-p")
    }
}

/// What finalise.d hooks ask the program to do, by files in the tree's /tmp.
struct Asked {
    /// Boot code for the disk.
    boot: BootSpec,
    /// A migration bundle.
    bundle: Option<BundleSpec>,
}

/// The hook tree, read-only in the chroot while its hooks run.
struct InTarget {
    // Dropped before the directory is removed.
    mount: Mount,
    dir: std::path::PathBuf,
}

impl InTarget {
    fn mount(hooks: &Path, tree: &Path) -> Result<Self> {
        let tmp = tree.join("tmp");
        if !tmp.exists() {
            fs::create_dir_all(&tmp).with_context(|| on("making", &tmp))?;
            fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).with_context(|| on("opening", &tmp))?;
        }
        let dir = tree.join(IN_TARGET.trim_start_matches('/'));
        fs::create_dir_all(&dir).with_context(|| on("making", &dir))?;
        Ok(Self { mount: Mount::bind_read_only(hooks, &dir)?, dir })
    }

    fn close(self) -> Result<()> {
        self.mount.close()?;
        fs::remove_dir(&self.dir).with_context(|| on("removing", &self.dir))
    }
}

/// Whether a tree holds nothing but what a fresh filesystem or an early mount has (contract 2.6, step 4).
fn is_bare(tree: &Path) -> Result<bool> {
    for entry in fs::read_dir(tree).with_context(|| on("reading", tree))? {
        let name = entry.with_context(|| on("reading", tree))?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("lost+found") && !name.ends_with("tmp") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Unmounts whatever elements have mounted below `dir` (contract 2.10), innermost first, but for what is
/// the build's own.
fn unmount_below(dir: &Path, own: &[std::path::PathBuf]) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let real = dir.canonicalize().with_context(|| on("finding", dir))?;
    for point in super::mount::mounted_below(&real)?.into_iter().rev().filter(|p| *p != real && !own.contains(p)) {
        nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH).with_context(|| on("unmounting", &point))?;
    }
    Ok(())
}
