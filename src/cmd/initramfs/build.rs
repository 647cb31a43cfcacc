//! `image-create initramfs build`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::assemble::initramfs::build::{self, Budget, Request};
use crate::assemble::initramfs::modules::{self, Profile};
use crate::assemble::initramfs::view::RootDir;
use crate::cli::initramfs_build::BuildArgs;
use crate::error::{Fault, Faults, Place, on};
use crate::plan::initramfs::Spec;
use crate::report::Reporter;

/// Makes an initramfs and tells what it costs.
///
/// # Errors
/// Mistakes in descriptions, everything that is missing, too much memory.
pub fn run(args: &BuildArgs, reporter: &Reporter) -> Result<u8> {
    let request = request(args)?;
    if let Some(packing) = args.compress {
        build::check_packing(&request.root, &request.kernel, packing)?;
    }
    let made = build::build(&request)?;
    made.warnings.iter().for_each(|warning| reporter.warn(warning));
    let packing = build::packing(&request, args.compress);
    let budget = made.write(&args.output, packing, |budget| within(args.max_ram, budget))?;
    Reporter::result(&if args.json {
        serde_json::to_string_pretty(&budget)?
    } else {
        format!("{}: kernel {}, {} modules, {packing}: {budget}", args.output.display(), request.kernel, made.modules)
    });
    Ok(0)
}

/// Compares the memory that is needed with the limit.
fn within(limit: Option<u64>, budget: &Budget) -> Result<()> {
    match limit {
        Some(limit) if budget.peak > limit => {
            bail!(
                "the initramfs needs {} bytes of memory at boot, {} more than --max-ram allows\n  {budget}",
                budget.peak,
                budget.peak - limit
            )
        }
        _ => Ok(()),
    }
}

fn request(args: &BuildArgs) -> Result<Request> {
    let mut specs: Vec<Spec> = if args.no_default { vec![] } else { vec![build::default_spec()] };
    specs.extend(args.spec.iter().map(|file| read_spec(file)).collect::<Result<Vec<_>>>()?);
    let machine = match &args.hostonly {
        Some(file) => Some(Profile::parse(file, &std::fs::read_to_string(file).with_context(|| on("reading", file))?)?),
        None => None,
    };
    Ok(Request {
        root: args.root.clone(),
        kernel: kernel(args)?,
        spec: Spec::merge(specs)?,
        machine,
        rescue: !args.no_rescue,
        time: source_date_epoch()?,
    })
}

/// Reads a description and checks that the files it names are there.
///
/// # Errors
/// All mistakes in it.
pub fn read_spec(file: &Path) -> Result<Spec> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Faults::from(Fault::at(Place::file(file), format!("reading it failed: {e}"))))?;
    let spec = Spec::parse(&text, file)?;
    spec.check_own_files(file)?;
    Ok(spec)
}

/// The kernel that is asked for, or the only one that there is.
fn kernel(args: &BuildArgs) -> Result<String> {
    if let Some(kernel) = &args.kernel {
        return Ok(kernel.clone());
    }
    let root = RootDir::new(&args.root).with_context(|| on("reading", &args.root))?;
    match modules::kernels(&root).as_slice() {
        [only] => Ok(only.clone()),
        [] => bail!(
            "{} has no kernel's modules in lib/modules\n  --root names the system that has them",
            args.root.display()
        ),
        several => Err(Faults::from(
            Fault::new("there are several kernels").hint(format!("say which with --kernel: {}", several.join(", "))),
        )
        .into()),
    }
}

/// The time of all entries: `SOURCE_DATE_EPOCH`, else 0, so that the same tree gives the same image.
///
/// # Errors
/// The variable is no number of seconds that fits.
pub fn source_date_epoch() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| {
            Faults::from(
                Fault::new(format!("SOURCE_DATE_EPOCH is '{text}'")).hint("it is a number of seconds since 1970"),
            )
            .into()
        }),
        _ => Ok(0),
    }
}
