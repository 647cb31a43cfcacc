//! Every case of the contract's test plan has a test that is called by its id.

mod support;

use regex::Regex;
use support::repository;
use walkdir::WalkDir;

/// The groups of the plan, with the number of their cases: expansion, run-parts and hooks, packages, block devices,
/// callers and outputs.
const GROUPS: [(&str, u32); 5] = [("e", 17), ("r", 14), ("p", 14), ("b", 16), ("c", 21)];

#[test]
fn each_case_has_a_test() {
    // More than one id may stand before a test's name: c8_c9_an_old_image_is_kept.
    let test = Regex::new(r"(?m)^ *#\[test\]\n(?: *#\[.*\n)* *fn ((?:[erpbc][0-9]+_)+)").unwrap();
    let mut found: Vec<String> = Vec::new();
    for dir in ["src", "tests"] {
        for file in WalkDir::new(repository().join(dir)).into_iter().flatten() {
            if file.path().extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                for captures in test.captures_iter(&text) {
                    found.extend(captures[1].split_terminator('_').map(str::to_owned));
                }
            }
        }
    }
    let cases = GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")));
    let missing: Vec<String> = cases.filter(|case| !found.contains(case)).collect();
    assert!(missing.is_empty(), "no test is called by {missing:?}");
}
