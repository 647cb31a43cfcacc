//! `image-create plan`.

use anyhow::{Context, Result};

use crate::cli::build::{PlanArgs, PlanFormat};
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
