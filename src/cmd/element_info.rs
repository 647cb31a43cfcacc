//! `element-info`: what elements expand to, in the forms that callers of diskimage-builder read.

use anyhow::{Context, Result};

use crate::cli::build::BuildArgs;
use crate::cli::old_names::ElementInfoArgs;
use crate::element::catalog::ElementCatalog;
use crate::element::{export, resolve};
use crate::error::Fault;
use crate::report::Reporter;
use crate::request::{BuildRequest, Surroundings};

/// Prints the expanded elements. Nothing is added to them: no `base`.
///
/// # Errors
/// Without `ELEMENTS_PATH`, and all mistakes that [`resolve::resolve`] finds.
pub fn run(args: &ElementInfoArgs) -> Result<u8> {
    let surroundings = Surroundings::read().context("reading the working directory")?;
    let variables = &surroundings.variables;
    if variables.get("ELEMENTS_PATH").is_none_or(String::is_empty) {
        let hint = "set it to directories of elements, separated by colons";
        return Err(crate::error::Faults::from(Fault::new("$ELEMENTS_PATH must be set.").hint(hint)).into());
    }
    let build = BuildArgs { elements: args.elements.clone(), ..Default::default() };
    let request = BuildRequest::new(&build, surroundings)?;
    let builtin = request.builtin()?;
    let (catalog, warnings) = ElementCatalog::load(&request.elements_path, Some(&builtin.elements))?;
    let reporter = Reporter::plain();
    warnings.iter().for_each(|w| reporter.warn(w.sentence()));
    let asked = resolve::Request { implicit: vec![], ..resolve::Request::build(&args.elements, &request.arch) };
    let resolution = resolve::resolve(&catalog, &asked)?;
    let text = if args.env { export::element_info_env(&resolution) } else { export::image_element(&resolution) };
    Reporter::result(text.trim_end());
    Ok(0)
}
