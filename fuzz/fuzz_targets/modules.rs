//! Kernel modules, their indexes, settings of modprobe and hardware profiles: `/profile` is one.
#![no_main]

mod files;

use std::path::Path;

use files::Files;
use image_create::assemble::initramfs::check::check;
use image_create::assemble::initramfs::modules::{Index, Profile, Selection, Tables, kernels};
use image_create::assemble::initramfs::view::{View, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut files = Files::new(data);
    let profile = read(&files, Path::new("/profile")).unwrap_or_default();
    let profile = Profile::parse(Path::new("/profile"), &String::from_utf8_lossy(&profile)).unwrap_or_default();
    for kernel in kernels(&files) {
        let Ok(index) = Index::load(&files, &kernel) else { continue };
        let mut selection = Selection::new(&files, &index);
        selection.add_hardware(&profile);
        for module in &index.modules {
            selection.add(&module.name);
        }
        for (pattern, _) in index.aliases.pairs().iter().take(50) {
            selection.add_if_there(pattern);
        }
        let (picked, missing) = selection.search();
        for item in &picked.items {
            assert!(files.get(&item.path).is_ok_and(|node| node.is_some()), "{item:?} is not there");
        }
        missing.iter().for_each(|miss| drop(miss.to_string()));
        // The tables say the same to the next reader: no module comes or goes.
        let names = picked.names();
        for (name, bytes) in Tables::of(&index, &names).files() {
            files.add(&index.dir.join(name), bytes);
        }
        if let Ok(again) = Index::load(&files, &kernel) {
            Tables::all(&again).over(&index);
            assert!(again.scanned || again.modules.len() <= index.modules.len());
        }
    }
    check(&files, Some(&profile), None).expect("the tree can be read");
});
