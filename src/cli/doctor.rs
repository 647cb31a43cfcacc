//! `image-create doctor`: what this host lacks.

use clap::Args;

/// Say what this host lacks, and the command that installs it
///
/// Without elements: what every build needs, and what is good to have. Exit code 3 when something is
/// missing that is needed.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// Elements that are to be built
    #[arg(value_name = "ELEMENT")]
    pub elements: Vec<String>,

    /// Output formats that are wanted
    #[arg(short = 't', long = "type", value_name = "FORMATS", value_delimiter = ',')]
    pub formats: Vec<String>,

    /// Booting images is wanted as well (`image-create boot`)
    #[arg(long)]
    pub boot: bool,
}
