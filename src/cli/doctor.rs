//! `image-create doctor`: what this host lacks.

use clap::Args;

use super::build::BuildArgs;

/// Say what this host lacks for a build, and the command that installs it
///
/// Takes what the build takes. Without elements: what every build needs, and what is good to have. Exit
/// code 3 when something is missing that is needed.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// Booting images is wanted as well (`image-create boot`)
    #[arg(long)]
    pub boot: bool,
    /// The build.
    #[command(flatten)]
    pub build: BuildArgs,
}
