//! Keeps cloud-init in the new system, if it is there, from setting anew what was restored.

use anyhow::Result;

use super::Teller;
use super::tree::{Owner, Tree};

const SETTINGS: &str = "# This machine was configured before; its settings were carried over.\n\
                        network:\n  config: disabled\npreserve_hostname: true\nssh_deletekeys: false\nssh_genkeytypes: []\n\
                        manage_etc_hosts: false\n";

pub(super) fn restore(tree: &Tree, teller: &mut Teller) -> Result<()> {
    if tree.has_directory("etc/cloud") {
        let path = "etc/cloud/cloud.cfg.d/99-from-old-system.cfg";
        tree.write(path, SETTINGS.as_bytes(), Owner::root(0o644))?;
        teller.say("cloud-init leaves network, host name and host keys as they are");
    }
    Ok(())
}
