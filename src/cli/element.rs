//! `image-create element`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::old_names::LintFormat;

/// Look at elements.
#[derive(Debug, Args)]
pub struct ElementArgs {
    /// What to look at.
    #[command(subcommand)]
    pub what: ElementVerb,
    /// Directory of elements, searched before ELEMENTS_PATH; repeatable
    #[arg(long, value_name = "DIR", global = true)]
    pub elements: Vec<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum ElementVerb {
    /// List the elements that can be named, with their first sentence
    List,
    /// Show one element: purpose, dependencies, hooks, packages, variables
    Show {
        /// The element
        name: String,
    },
    /// Tell what is wrong in elements: dib-lint's checks, hooks that never run, variables that nothing sets, ...
    Lint(LintArgs),
    /// Print the expanded names, one per line, in build order
    Deps {
        /// Elements, as a build would name them
        #[arg(required = true)]
        names: Vec<String>,
        /// Architecture that decides on default elements
        #[arg(short, long)]
        arch: Option<String>,
    },
}

/// What to check.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// Elements (default: all in --elements and ELEMENTS_PATH)
    #[arg(value_name = "ELEMENT")]
    pub names: Vec<String>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    pub format: LintFormat,
}
