//! Root tier: what the dnf family says when its repositories and packages are not as they should be.

mod support;

use support::{Sandbox, Standin};

#[test]
fn a_good_mirror_is_used() {
    let Some(standin) = Standin::get() else { return };
    let mut sandbox = Sandbox::new();
    standin.give_to(&mut sandbox);
    sandbox.env("DIB_ROCKY_PACKAGES", "basesystem bash coreutils");
    sandbox.run(["-n", "-t", "tar", "-o", "x", "rocky-minimal"]).succeeded();
    sandbox.assert_clean();
    let served = standin.serve();
    sandbox.env("DIB_ROCKY_MIRROR", served.url());
    sandbox.run(["-n", "-t", "tar", "-o", "y", "rocky-minimal"]).succeeded();
    sandbox.assert_clean();
}
