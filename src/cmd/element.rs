//! `image-create element`.

use anyhow::{Context, Result};

use crate::cli::build::BuildArgs;
use crate::cli::element::{ElementArgs, ElementVerb};
use crate::element::catalog::ElementCatalog;
use crate::element::describe;
use crate::element::resolve::{self, Request};
use crate::report::Reporter;
use crate::request::{BuildRequest, Surroundings};

/// Prints what was asked about elements.
///
/// # Errors
/// Unknown elements and unreadable directories.
pub fn run(args: &ElementArgs) -> Result<u8> {
    if let ElementVerb::Lint(lint) = &args.what {
        return super::lint::run(lint, &args.elements, args.json);
    }
    let reporter = Reporter::plain();
    let surroundings = Surroundings::read().context("reading the working directory")?;
    let (names, arch) = match &args.what {
        ElementVerb::Deps { names, arch } => (names.clone(), arch.clone()),
        // Where elements are does not depend on which are asked for; a request has to name one, though.
        ElementVerb::List | ElementVerb::Show { .. } | ElementVerb::Lint(_) => (vec![resolve::BASE.to_owned()], None),
    };
    let build = BuildArgs { elements: names.clone(), arch, element_dirs: args.elements.clone(), ..Default::default() };
    let request = BuildRequest::new(&build, surroundings)?;
    let builtin = request.builtin()?;
    let (catalog, warnings) = ElementCatalog::load(&request.elements_path, Some(&builtin.elements))?;
    warnings.iter().for_each(|w| reporter.warn(w.sentence()));
    let text = match &args.what {
        ElementVerb::List if args.json => json(&describe::list(&catalog)?)?,
        ElementVerb::List => describe::list_text(&describe::list(&catalog)?),
        ElementVerb::Show { name } => {
            let (shown, warnings) = describe::show(&catalog, name)?;
            warnings.iter().for_each(|w| reporter.warn(w.sentence()));
            if args.json { json(&shown)? } else { describe::show_text(&shown) }
        }
        ElementVerb::Deps { .. } | ElementVerb::Lint(_) => {
            let request =
                Request { implicit: vec![], needs_operating_system: false, ..Request::build(&names, &request.arch) };
            let resolution = resolve::resolve(&catalog, &request)?;
            if args.json { json(&describe::deps(&resolution))? } else { describe::deps_text(&resolution) }
        }
    };
    Reporter::result(text.trim_end());
    Ok(0)
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).context("writing JSON")
}
