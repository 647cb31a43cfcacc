use super::*;

fn around() -> Surroundings {
    Surroundings {
        packages: ["bash", "bash-completion", "kernel-core"].map(str::to_owned).to_vec(),
        groups: ["core", "minimal-environment"].map(str::to_owned).to_vec(),
        repositories: super::super::repositories::parse(
            "[baseos]\nbaseurl=https://m/rocky/$releasever/BaseOS/$basearch/os/\n",
        ),
        release: "8.1".into(),
        ..Surroundings::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn names_that_are_not_found_come_with_near_ones() {
    let failure = Failure::NotFound { packages: names(&["bsh", "cor", "xyzzyplugh"]), groups: vec![] };
    let told = failure.explain(&Surroundings { asked: names(&["bsh", "@cor", "xyzzyplugh"]), ..around() });
    assert_eq!(told.what, "no repository has the packages 'bsh' and 'xyzzyplugh' and the group 'cor'");
    assert_eq!(
        told.hints,
        [
            "for 'bsh' did you mean 'bash'?",
            "no package is called nearly like 'xyzzyplugh'; is its repository enabled?",
            "for the group 'cor' did you mean 'core'?"
        ]
    );
    assert_eq!(told.code, EXIT_DEFINITION);
}

#[test]
fn a_release_that_the_mirror_lacks() {
    let url = "https://m/rocky/8.1/BaseOS/x86_64/os/repodata/repomd.xml".to_owned();
    let failure = Failure::Metadata { repository: "baseos".into(), reason: Reason::Status { code: 404, url } };
    let told = failure.explain(&Surroundings { releases: names(&["9", "9.4"]), ..around() });
    assert_eq!(told.what, "reading repository 'baseos': the mirror https://m/rocky has no release 8.1, it has 9, 9.4");
    assert_eq!(told.code, EXIT_DEFINITION);
    // A mirror that shows no list: the address is named.
    let told = failure.explain(&around());
    assert!(told.what.contains("https://m/rocky/8.1/BaseOS/x86_64/os/repodata/repomd.xml answered with status 404"));
    assert!(told.hints[0].contains("does the mirror have release 8.1?"), "{told:?}");
    // It has the release, and lacks something else.
    let told = failure.explain(&Surroundings { releases: names(&["8.1"]), ..around() });
    assert_eq!(told.code, EXIT_BUILD);
}

#[test]
fn a_wrong_clock_is_the_message_where_it_can_be_the_reason() {
    let clock = Some("this machine's clock says 2026, the key was made in 2040".to_owned());
    let around = Surroundings { clock, ..around() };
    let key = Failure::Signature { package: "p".into(), fault: SignatureFault::NoUsableKey, keys: vec![] };
    let told = key.explain(&around);
    assert!(key.may_be_the_clock() && told.details[0].contains("2040"));
    assert_eq!((told.code, told.hints.len()), (EXIT_HOST, 1));
    let unsigned = Failure::Signature { package: "p".into(), fault: SignatureFault::Missing, keys: vec![] };
    assert!(!unsigned.may_be_the_clock());
}

#[test]
fn long_explanations_are_cut() {
    let reasons: Vec<String> = (0..30).map(|n| format!("reason {n}")).collect();
    let told = Failure::Dependencies(reasons).explain(&around());
    assert_eq!((told.details.len(), told.details.last().unwrap().as_str()), (DETAILS + 1, "and 22 more"));
    let output: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
    let failed =
        Scriptlet { package: "p-1-1.noarch".into(), kind: "%post".into(), end: "exit status 1".into(), output };
    let told = scriptlets(&[failed]);
    assert_eq!((told.details.len(), told.details.last().unwrap().as_str()), (DETAILS, "| line 29"));
    assert!(told.hints[0].ends_with("IMAGE_RPM_SCRIPTS_MAY_FAIL=\"p\""), "{told:?}");
}
