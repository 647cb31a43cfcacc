//! Descriptions (`initramfs.json`): what is taken stays in its folder, and mistakes have a place.
#![no_main]

use std::path::{Component, Path};

use image_create::plan::initramfs::Spec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let folder = Path::new("/elements/x");
    let spec = match Spec::parse(text, &folder.join("initramfs.json")) {
        Ok(spec) => spec,
        Err(faults) => {
            assert!(!faults.0.is_empty());
            faults.0.iter().for_each(|fault| drop(fault.sentence()));
            return;
        }
    };
    for file in spec.own_files() {
        assert!(file.starts_with(folder) && !file.components().any(|c| c == Component::ParentDir), "{file:?}");
    }
    for place in spec.files.keys() {
        assert!(place.starts_with('/') && !place.split('/').any(|part| part == ".."), "{place}");
    }
    let twice = Spec::merge([spec.clone(), spec.clone()]).expect("a description does not contradict itself");
    assert_eq!(twice.files, spec.files);
    assert!(twice.programs.len() <= spec.programs.len());
});
