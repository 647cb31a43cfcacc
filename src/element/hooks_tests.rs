//! Tests of the merged hook tree.

use super::*;
use crate::element::fixture::Elements;

/// Merges the named elements in the order given.
fn merged(elements: &Elements, names: &[&str]) -> Result<(HookTree, Vec<Warning>), Faults> {
    let resolved: Vec<_> = names
        .iter()
        .map(|name| ResolvedElement {
            name: (*name).to_owned(),
            dir: elements.path().join(name),
            requested: true,
            required_by: vec![],
        })
        .collect();
    merge(&resolved, &run_order::pattern(None).unwrap())
}

fn names(tree: &HookTree, phase: Phase) -> Vec<&str> {
    tree.running(phase).map(|h| h.name.as_str()).collect()
}

#[test]
fn r1_hooks_of_all_elements_run_in_one_order() {
    let elements = Elements::new();
    elements
        .file("a/install.d/100-hun", "#!/bin/sh\n", 0o755)
        .file("a/install.d/9-nine", "#!/bin/sh\n", 0o755)
        .link("a/install.d/30-link", "9-nine")
        .file("b/install.d/foo", "#!/bin/sh\n", 0o755)
        .file("b/install.d/10-ten", "#!/bin/sh\n", 0o755)
        .file("b/install.d/deb-source-install/10-inner", "#!/bin/sh\n", 0o755)
        .link("b/install.d/40-dir", "deb-source-install");
    let (tree, warnings) = merged(&elements, &["a", "b"]).unwrap();
    assert_eq!(names(&tree, Phase::Install), ["foo", "9-nine", "10-ten", "30-link", "100-hun"]);
    assert_eq!(warnings, []);
    assert!(tree.phases[&Phase::Install].iter().any(|h| h.name == "10-ten" && h.element == "b"));
}

#[test]
fn r1_scripts_that_will_not_run_are_reported_and_data_is_not() {
    let elements = Elements::new();
    elements
        .file("a/install.d/10-bar.sh", "echo", 0o755)
        .file("a/install.d/20-noexec", "echo", 0o644)
        .file("a/install.d/setup", "#!/bin/sh\n", 0o644)
        .file("a/install.d/30-x~", "echo", 0o755)
        .file("a/install.d/package-installs-a", "vim\n", 0o644)
        .file("a/install.d/key.gpg", "data", 0o644)
        .file("a/other.d/40-z.sh", "#!/bin/sh\n", 0o644);
    let (tree, warnings) = merged(&elements, &["a"]).unwrap();
    assert_eq!(names(&tree, Phase::Install), Vec::<&str>::new());
    let mut told: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "'install.d/10-bar.sh' of element 'a' will not run: its name has a character other than letters, digits, '_' and '-'",
            "'install.d/20-noexec' of element 'a' will not run: it is not executable",
            "'install.d/30-x~' of element 'a' will not run: its name has a character other than letters, digits, '_' and '-'",
            "'install.d/setup' of element 'a' will not run: it is not executable",
        ]
    );
    let noexec = warnings.iter().find(|w| w.message.contains("20-noexec")).unwrap();
    let file = elements.path().join("a/install.d/20-noexec");
    assert_eq!(noexec.place, Some(Place::file(&file)));
    assert_eq!(noexec.hint, Some(format!("chmod +x {}", file.display())));
    let skips: Vec<_> = tree.phases[&Phase::Install].iter().map(|h| h.skip.is_some()).collect();
    assert_eq!(skips, [true; 6]);
}

#[test]
fn r2_environment_files_are_in_byte_order() {
    let elements = Elements::new();
    for name in ["10-a.bash", "100-b", "9-c", "10-x~"] {
        elements.file(&format!("a/environment.d/{name}"), "", 0o644);
    }
    let (tree, warnings) = merged(&elements, &["a"]).unwrap();
    assert_eq!(tree.environment.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["10-a.bash", "100-b", "9-c"]);
    assert!(warnings[0].message.starts_with("'environment.d/10-x~' of element 'a' will not run"));
}

#[test]
fn r8_one_hook_in_two_elements_is_a_fault_that_names_both() {
    let elements = Elements::new();
    elements.file("a/install.d/50-x", "a", 0o755).file("b/install.d/50-x", "b", 0o755);
    elements.file("a/bin/tool", "a", 0o755).file("b/bin/tool", "b", 0o755);
    let faults = merged(&elements, &["a", "b"]).unwrap_err();
    let messages: Vec<_> = faults.0.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "There is a duplicated hook in your elements: bin/tool",
            "There is a duplicated hook in your elements: install.d/50-x"
        ]
    );
    let hint = faults.0[1].hint.as_deref().unwrap();
    for part in ["'a'", "'b'", "a/install.d/50-x", "b/install.d/50-x"] {
        assert!(hint.contains(part), "{hint}");
    }
}

#[test]
fn r9_nested_directories_merge() {
    let elements = Elements::new();
    elements.file("a/static/etc/a", "", 0o644).file("b/static/etc/b", "", 0o644);
    let (tree, warnings) = merged(&elements, &["a", "b"]).unwrap();
    let below: Vec<_> = tree.below("static").map(|(path, e)| (path.to_str().unwrap(), e.element.as_str())).collect();
    assert_eq!(below, [("static/etc", "b"), ("static/etc/a", "a"), ("static/etc/b", "b")]);
    assert_eq!(warnings, []);
}

#[test]
fn nested_and_top_level_files_are_replaced_with_a_warning_unless_nothing_is_lost() {
    let elements = Elements::new();
    for (element, text) in [("a", "one"), ("b", "two")] {
        elements
            .file(&format!("{element}/static/etc/conf"), text, 0o644)
            .file(&format!("{element}/static/etc/same"), "same", 0o644)
            .file(&format!("{element}/source-repository-x"), text, 0o644)
            .file(&format!("{element}/README.rst"), text, 0o644)
            .file(&format!("{element}/package-installs.yaml"), text, 0o644);
    }
    let (tree, warnings) = merged(&elements, &["a", "b"]).unwrap();
    assert_eq!(tree.entries[Path::new("static/etc/conf")].element, "b");
    let told: Vec<_> = warnings.iter().map(|w| w.message.split(" (").next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "'source-repository-x' of element 'b' replaces that of element 'a'",
            "'static/etc/conf' of element 'b' replaces that of element 'a'"
        ]
    );
}

#[test]
fn a_file_cannot_take_the_place_of_a_directory() {
    let elements = Elements::new();
    elements.file("a/static/etc/x/y", "", 0o644).file("b/static/etc/x", "", 0o644);
    let faults = merged(&elements, &["a", "b"]).unwrap_err();
    assert!(faults.0[0].message.ends_with("static/etc/x"));
}

#[test]
fn tests_caches_hidden_entries_and_compiled_files_stay_out() {
    let elements = Elements::new();
    elements
        .file("a/tests/test_x", "", 0o755)
        .file("a/test-elements/t/README.rst", "", 0o644)
        .file("a/__pycache__/x", "", 0o644)
        .file("a/.git/HEAD", "", 0o644)
        .file("a/x.pyc", "", 0o644)
        .file("a/install.d/.swp", "", 0o644)
        .file("a/data/x", "", 0o644);
    let (tree, _) = merged(&elements, &["a"]).unwrap();
    let paths: Vec<_> = tree.entries.keys().map(|p| p.to_str().unwrap()).collect();
    assert_eq!(paths, ["data", "data/x", "install.d"]);
}

#[test]
fn a_link_that_leads_nowhere_in_the_merged_tree_is_reported() {
    let elements = Elements::new();
    elements
        .file("a/bin/tool", "#!/bin/sh\n", 0o755)
        .link("a/install.d/10-tool", "../bin/tool")
        .link("a/install.d/20-gone", "../../b/install.d/x")
        .link("a/install.d/30-circle", "30-circle")
        .link("a/root.d/10-host", "/bin/sh");
    let (tree, warnings) = merged(&elements, &["a"]).unwrap();
    assert_eq!(names(&tree, Phase::Install), ["10-tool"]);
    assert_eq!(names(&tree, Phase::Root), ["10-host"]);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].message.contains("20-gone") && warnings[1].message.contains("30-circle"));
}

#[test]
fn a_directory_behind_a_link_is_merged() {
    let elements = Elements::new();
    elements.file("shared/10-x", "#!/bin/sh\n", 0o755).file("a/README.rst", "", 0o644);
    elements.link("a/install.d", "../shared");
    let (tree, _) = merged(&elements, &["a"]).unwrap();
    assert_eq!(names(&tree, Phase::Install), ["10-x"]);
}

#[test]
fn a_misspelt_phase_is_reported() {
    let elements = Elements::new();
    for dir in ["finalize.d", "post_install.d", "install", "init.d", "modprobe.d"] {
        elements.file(&format!("a/{dir}/10-x"), "#!/bin/sh\n", 0o755);
    }
    let (_, warnings) = merged(&elements, &["a"]).unwrap();
    let told: Vec<_> = warnings.iter().map(|w| w.hint.as_deref().unwrap()).collect();
    assert_eq!(told, ["did you mean 'finalise.d'?", "did you mean 'install.d'?", "did you mean 'post-install.d'?"]);
}
