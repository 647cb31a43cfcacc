//! Cases C3 to C5 of the contract's test plan; C6 needs processes and is in tests/frontends.rs.

use std::fs;
use std::path::PathBuf;

use super::*;

/// The builds of these texts, as files of one command line.
fn parsed(texts: &[&str]) -> Result<Vec<Build>, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let file = |(i, text): (usize, &&str)| {
        let path = dir.path().join(format!("{i}.yaml"));
        fs::write(&path, text).unwrap();
        path
    };
    let files: Vec<PathBuf> = texts.iter().enumerate().map(file).collect();
    builds(&files)
}

fn words(text: &str) -> Vec<&str> {
    text.split('|').collect()
}

#[test]
fn c3_every_key_becomes_its_argument_in_the_fixed_order() {
    let text = "
- elements: [element1, element2]
  skip-base: true
  packages: [package1, package2]
  docker-target: docker:here
  install-type: source
  ramdisk-element: dracut-ramdisk
  root-label: root label
  qemu-img-options:
    size: '10'
    compat: '0.10'
  offline: true
  no-tmpfs: true
  mkfs-options: -q -F
  mkfs-journal-size: 10
  min-tmpfs: 7
  max-online-resize: 1000
  image-cache: /cache dir
  image-extra-size: 1
  image-size: 3
  checksum: true
  logfile: ./logfile.log
  clear: true
  uncompressed: true
  debug-trace: 2
  ramdisk: false
  environment:
    DIB_RELEASE: '9'
    foo: bar baz
  types: [qcow2, raw]
  arch: amd64
  imagename: test-image
";
    let builds = parsed(&[text]).unwrap();
    let expected = "-o|test-image|-a|amd64|-t|qcow2,raw|-x|-x|-u|-c|--logfile|./logfile.log|--checksum|\
        --image-size|3|--image-extra-size|1|--image-cache|/cache dir|--max-online-resize|1000|--min-tmpfs|7|\
        --mkfs-journal-size|10|--mkfs-options|-q -F|--no-tmpfs|--offline|--qemu-img-options|size=10,compat=0.10|\
        --root-label|root label|--ramdisk-element|dracut-ramdisk|--install-type|source|--docker-target|docker:here|\
        -p|package1,package2|-n|element1|element2";
    assert_eq!(builds[0].arguments, words(expected));
    assert_eq!(builds[0].program, "disk-image-create");
    assert!(builds[0].command_line().starts_with("DIB_RELEASE=9 foo='bar baz' disk-image-create -o test-image -a"));
    assert_eq!(builds.len(), 1);
}

#[test]
fn c3_a_ramdisk_is_another_program_and_what_is_empty_or_false_is_no_argument() {
    let text = "
- ramdisk: true
  imagename: ''
  types: []
  packages: []
  checksum: false
  debug-trace: 0
  qemu-img-options: {}
  elements: [vm]
";
    let builds = parsed(&[text]).unwrap();
    assert_eq!((builds[0].program, builds[0].arguments.as_slice()), ("ramdisk-image-create", &["vm".to_owned()][..]));
}

#[test]
fn c4_images_of_one_name_are_one_build() {
    let one = "
- imagename: one
  elements: [a]
  image-size: 3
  environment: {X: '1', Y: '1'}
- imagename: two
  elements: [t]
";
    let two = "
- elements: [u]
- imagename: one
  elements: [b]
  image-size: 5
  environment: {Y: '2', Z: '2'}
- elements: [c]
";
    let builds = parsed(&[one, two]).unwrap();
    let lines: Vec<_> = builds.iter().map(Build::command_line).collect();
    assert_eq!(lines, ["X=1 Y=2 Z=2 disk-image-create -o one --image-size 5 a b c", "disk-image-create -o two t u"]);
    // Without any name there is no -o, and what follows belongs together.
    let builds = parsed(&["- elements: [a]\n", "- elements: [b]\n- imagename: c\n"]).unwrap();
    let lines: Vec<_> = builds.iter().map(Build::command_line).collect();
    assert_eq!(lines, ["disk-image-create a b", "disk-image-create -o c"]);
}

#[test]
fn c5_all_mistakes_of_all_files_are_told_with_their_places() {
    let one = "- imagename: x\n  image-size: -1\n  arch: amd46\n  checksm: true\n  types: [qcow3, raw, 5]\n";
    let two = "- environment: {A: 1, B: two}\n  checksum: maybe\n  debug-trace: 3\n  packages: curl\n- vm\n";
    let faults = parsed(&[one, two, "a: b\n", "- [", ""]).unwrap_err().0;
    let shown = |fault: &Fault| {
        let place = fault.place.as_ref().unwrap();
        let file = place.file.file_name().unwrap().to_string_lossy().into_owned();
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{file}:{}: {}{hint}", place.line.unwrap(), fault.message)
    };
    let shown: Vec<String> = faults.iter().map(shown).collect();
    assert_eq!(
        shown[..10],
        [
            "0.yaml:2: 'image-size' takes a whole number of at least 1, not '-1'",
            "0.yaml:3: 'amd46' is nothing that 'arch' can be (did you mean 'amd64'?)",
            "0.yaml:4: unknown key 'checksm' of an image (did you mean 'checksum'?)",
            "0.yaml:5: 'qcow3' is nothing that 'types' can be (did you mean 'qcow2'?)",
            "0.yaml:5: 'types' takes a string, not a whole number (put it in quotes: '5')",
            "1.yaml:1: 'environment: A' takes a string, not a whole number (put it in quotes: '1')",
            "1.yaml:2: 'checksum' takes true or false, not a string",
            "1.yaml:3: 'debug-trace' takes a whole number from 0 to 2, not '3'",
            "1.yaml:4: 'packages' takes a list, not a string (write 'packages: [curl]')",
            "1.yaml:5: an image is a map of keys, not a string (for example: elements: [vm, debian-minimal])",
        ]
    );
    assert_eq!(faults.len(), 13, "{shown:?}");
    assert!(shown[10].contains("a list of images is expected, not a map"));
    assert!(shown[12].contains("a list of images is expected, not nothing"));
    let missing = builds(&["/no/such.yaml".into()]).unwrap_err().0;
    assert!(missing[0].to_string().starts_with("/no/such.yaml: reading it failed"));
}
