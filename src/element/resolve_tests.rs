//! Tests of the expansion, by the ids of diskimage-builder's own cases.

use std::fmt::Write;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::*;
use crate::element::fixture::Elements;

/// The fixture of the upstream cases.
fn fixture() -> Elements {
    let elements = Elements::new();
    elements
        .element("foo", "", "operating-system")
        .element("requires-foo", "foo", "")
        .element("requires-requires-foo", "requires-foo", "")
        .element("self", "self", "")
        .element("provides_virtual", "", "virtual")
        .element("also_provides_virtual", "", "virtual")
        .element("requires_virtual", "virtual", "operating-system")
        .element("virtual", "extra_dependency", "")
        .element("extra_dependency", "", "")
        .element("circular1", "circular2", "operating-system")
        .element("circular2", "circular1", "")
        .element("provides_new_virtual", "", "new_virtual operating-system")
        .element("requires_new_virtual", "new_virtual", "")
        .element("vm", "block-device bootloader", "")
        .element("bootloader", "", "")
        .element("block-device-mbr", "", "block-device")
        .element("block-device-efi", "", "block-device")
        .element("disk-of-mine", "", "block-device")
        .element("wants-vm", "vm", "");
    elements
}

fn expand_in(elements: &Elements, names: &[&str], arch: &str) -> Result<Resolution, Faults> {
    let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
    let request = Request { implicit: vec![], ..Request::build(names, arch) };
    resolve(&catalog, &request)
}

fn expand(names: &[&str]) -> Result<Vec<String>, Vec<String>> {
    expand_in(&fixture(), names, "amd64")
        .map(|r| r.names().map(str::to_owned).collect())
        .map_err(|f| f.0.into_iter().map(|f| f.message).collect())
}

#[test]
fn e1_e2_dependencies_come_before_dependents() {
    assert_eq!(expand(&["requires-foo"]).unwrap(), ["foo", "requires-foo"]);
    assert_eq!(expand(&["requires-requires-foo"]).unwrap(), ["foo", "requires-foo", "requires-requires-foo"]);
    let elements = fixture();
    let resolution = expand_in(&elements, &["requires-foo"], "amd64").unwrap();
    let foo = resolution.get("foo").unwrap();
    assert_eq!(foo.dir, elements.path().join("foo"));
    assert_eq!((foo.requested, foo.required_by.as_slice()), (false, &["requires-foo".to_owned()][..]));
}

#[test]
fn e3_unknown_elements_are_all_named() {
    assert_eq!(
        expand(&["fake", "fake2", "foo"]).unwrap_err(),
        ["Element 'fake' not found", "Element 'fake2' not found"]
    );
}

#[test]
fn e5_e6_circles_are_fine() {
    assert_eq!(expand(&["self", "foo"]).unwrap(), ["foo", "self"]);
    assert_eq!(expand(&["circular1"]).unwrap(), ["circular1", "circular2"]);
}

#[test]
fn e7_a_provider_named_by_the_user_replaces_the_element() {
    assert_eq!(expand(&["provides_virtual", "requires_virtual"]).unwrap(), ["provides_virtual", "requires_virtual"]);
}

#[test]
fn e8_e12_a_named_element_that_is_provided_is_a_fault() {
    assert_eq!(
        expand(&["virtual", "provides_virtual", "foo"]).unwrap_err(),
        ["virtual : already provided by ['provides_virtual']"]
    );
    assert_eq!(
        expand(&["circular1", "operating-system"]).unwrap_err(),
        ["operating-system : already provided by ['circular1']"]
    );
}

#[test]
fn e9_a_virtual_name_needs_no_element_of_its_own() {
    let names = expand(&["requires_new_virtual", "provides_new_virtual"]).unwrap();
    assert_eq!(names, ["provides_new_virtual", "requires_new_virtual"]);
}

#[test]
fn a_provider_may_come_after_the_name() {
    let elements = Elements::new();
    elements.element("a", "virtual far", "operating-system").element("far", "farther", "");
    elements.element("farther", "", "virtual");
    let resolution = expand_in(&elements, &["a"], "amd64").unwrap();
    assert_eq!(resolution.names().collect::<Vec<_>>(), ["farther", "far", "a"]);
    assert_eq!(resolution.get("farther").unwrap().required_by, ["a", "far"]);
    assert_eq!(resolution.provided["virtual"], "farther");
}

#[test]
fn e10_two_providers_are_named_with_their_files() {
    let elements = fixture();
    let faults =
        expand_in(&elements, &["provides_virtual", "also_provides_virtual", "foo", "circular1"], "amd64").unwrap_err();
    let messages: Vec<_> = faults.0.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(
        messages,
        ["virtual: already provided by ['provides_virtual']", "operating-system: already provided by ['foo']"]
    );
    let first = &faults.0[0];
    let second_file = elements.path().join("also_provides_virtual/element-provides");
    assert_eq!(first.place, Some(Place::line(&second_file, 1)));
    let hint = first.hint.as_deref().unwrap();
    for file in [second_file, elements.path().join("provides_virtual/element-provides")] {
        assert!(hint.contains(&format!("{}:1", file.display())), "{hint}");
    }
}

#[test]
fn e11_without_operating_system_nothing_is_built_and_the_known_ones_are_named() {
    let faults = expand_in(&fixture(), &["provides_virtual"], "amd64").unwrap_err();
    assert_eq!(faults.0[0].message, "Please include an operating system element");
    assert!(faults.0[0].hint.as_deref().unwrap().contains("circular1, foo, "));
}

#[test]
fn a_look_at_elements_needs_no_operating_system() {
    let elements = fixture();
    let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
    let mut request = Request { implicit: vec![], ..Request::build(&["provides_virtual"], "amd64") };
    request.needs_operating_system = false;
    assert!(resolve(&catalog, &request).is_ok());
}

#[test]
fn e15_a_comment_in_element_deps_is_a_name_that_is_not_found() {
    let elements = fixture();
    elements.file("commented/element-deps", "foo\n\n# why bar\nvmm\n", 0o644);
    let faults = expand_in(&elements, &["commented"], "amd64").unwrap_err();
    let file = elements.path().join("commented/element-deps");
    assert_eq!(faults.0[0].message, "Element '# why bar' not found");
    assert_eq!(faults.0[0].place, Some(Place::line(&file, 3)));
    assert!(faults.0[0].hint.as_deref().unwrap().contains("cannot have comments"));
    assert_eq!(faults.0[1].message, "Element 'vmm' not found");
    assert_eq!(faults.0[1].hint.as_deref(), Some("did you mean 'vm'?"));
}

#[test]
fn e17_vm_gets_the_layout_of_its_architecture() {
    let names = |arch| {
        let resolution = expand_in(&fixture(), &["vm", "foo"], arch).unwrap();
        resolution.names().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("amd64"), ["block-device-mbr", "bootloader", "foo", "vm"]);
    assert_eq!(names("arm64"), ["block-device-efi", "bootloader", "foo", "vm"]);
    assert_eq!(names("aarch64"), names("arm64"));
}

#[test]
fn e17_a_named_layout_wins_whatever_it_is_called() {
    for layout in ["block-device-efi", "disk-of-mine"] {
        let resolution = expand_in(&fixture(), &["vm", "foo", layout], "amd64").unwrap();
        assert_eq!(resolution.provided["block-device"], layout);
        assert!(resolution.get("block-device-mbr").is_none());
    }
}

#[test]
fn e17_a_vm_that_is_only_needed_by_another_gets_the_layout_too() {
    let resolution = expand_in(&fixture(), &["wants-vm", "foo"], "amd64").unwrap();
    assert_eq!(resolution.get("block-device-mbr").unwrap().required_by, ["vm"]);
}

#[test]
fn a_layout_that_does_not_provide_the_name_is_told_apart() {
    let elements = fixture();
    elements.element("block-device-odd", "", "");
    let faults = expand_in(&elements, &["vm", "foo", "block-device-odd"], "amd64").unwrap_err();
    assert_eq!(faults.0[0].message, "Element 'block-device' not found");
    assert!(faults.0[0].hint.as_deref().unwrap().contains("'block-device-mbr'"));
}

#[test]
fn base_comes_along_unless_it_is_left_out() {
    let elements = fixture();
    elements.element("base", "", "");
    let (catalog, _) = ElementCatalog::load(&[elements.path()], None).unwrap();
    let resolution = resolve(&catalog, &Request::build(&["foo", "foo"], "amd64")).unwrap();
    assert_eq!(resolution.names().collect::<Vec<_>>(), ["base", "foo"]);
    let requested: Vec<_> = resolution.elements.iter().map(|e| e.requested).collect();
    assert_eq!(requested, [false, true]);
}

#[test]
fn a_name_that_shell_text_cannot_carry_is_refused() {
    let elements = fixture();
    elements.element("two words", "", "");
    let faults = expand_in(&elements, &["two words", "foo"], "amd64").unwrap_err();
    assert!(faults.0[0].message.contains("'two words'"));
}

#[test]
fn the_graph_has_the_numbers_of_the_list_and_says_why() {
    let resolution = expand_in(&fixture(), &["vm", "foo"], "amd64").unwrap();
    for (node, element) in resolution.graph.node_indices().zip(&resolution.elements) {
        assert_eq!(resolution.graph[node], element.name);
    }
    let via: Vec<_> = resolution.graph.edge_weights().filter_map(|l| l.virtual_name.as_deref()).collect();
    assert_eq!(via, ["block-device"]);
}

#[test]
fn a_thousand_elements_resolve_quickly() {
    let elements = Elements::new();
    for i in 0..1000_usize {
        // A chain with cross links, and a circle every hundred elements.
        let mut deps = String::new();
        for back in [1, 7, 50].into_iter().filter(|back| *back <= i) {
            write!(deps, "e{:03} ", i - back).unwrap();
        }
        if i % 100 == 0 {
            write!(deps, "e{:03}", (i + 1) % 1000).unwrap();
        }
        elements.element(&format!("e{i:03}"), deps.trim(), if i == 0 { "operating-system" } else { "" });
    }
    // The thread's own time: other tests and builds run at the same time.
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let start = now();
    let resolution = expand_in(&elements, &["e999"], "amd64").unwrap();
    let took = now() - start;
    assert_eq!(resolution.elements.len(), 1000);
    assert!(took < Duration::from_millis(200), "{took:?}");
}
