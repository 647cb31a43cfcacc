//! `image-create plan`.

use anyhow::{Context, Result};

use crate::cli::build::{BuildArgs, PlanArgs, PlanFormat};
use crate::cli::doctor::DoctorArgs;
use crate::host::Need;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::request::{BuildRequest, Surroundings};

/// Prints what a build would do; changes nothing and needs no privilege.
///
/// # Errors
/// All mistakes in the request and its elements.
pub fn run(args: &PlanArgs) -> Result<u8> {
    let surroundings = Surroundings::read().context("reading the working directory")?;
    let plan = Plan::new(BuildRequest::new(&args.build, surroundings)?)?;
    let text = match args.format {
        PlanFormat::Text => plan.to_text(),
        PlanFormat::Json => serde_json::to_string_pretty(&plan.to_json()).context("writing JSON")?,
        PlanFormat::Dot => plan.to_dot(),
    };
    Reporter::result(text.trim_end());
    Ok(0)
}

/// What building these elements needs of the host; nothing if no element is named.
///
/// # Errors
/// All mistakes in the request and its elements.
pub fn needs(args: &DoctorArgs) -> Result<Vec<Need>> {
    if args.elements.is_empty() {
        return Ok(vec![]);
    }
    let surroundings = Surroundings::read().context("reading the working directory")?;
    let types = (!args.formats.is_empty()).then(|| args.formats.join(","));
    let build = BuildArgs { elements: args.elements.clone(), types, ..Default::default() };
    Ok(Plan::new(BuildRequest::new(&build, surroundings)?)?.needs)
}
