//! Programs and libraries with dlopen notes, scripts, `ld.so.conf` and `ld.so.cache`: what comes along with them.
#![no_main]

mod files;

use std::path::Path;

use files::Files;
use image_create::assemble::initramfs::check::check;
use image_create::assemble::initramfs::closure::{Cache, Closure};
use image_create::assemble::initramfs::view::{View, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let files = Files::new(data);
    let mut closure = Closure::new(&files);
    for path in files.paths() {
        closure.kind(&path);
        closure.add_program(&path.to_string_lossy()).add_file(&path);
    }
    closure.add_program("sh").add_library("libc.so.6").add_library("lib*.so.?");
    let (found, missing) = closure.search();
    for item in &found.items {
        assert!(files.get(&item.path).is_ok_and(|node| node.as_ref() == Some(&item.node)), "{item:?} is not there");
    }
    missing.iter().for_each(|miss| drop(miss.to_string()));
    let cache = Cache::parse(&read(&files, Path::new("/etc/ld.so.cache")).unwrap_or_default());
    for cache in [cache].into_iter().chain(found.cache) {
        let written = cache.write();
        assert!(written.len() <= 10_000 + 200 * data.len(), "a small cache holds {} bytes", written.len());
        assert!(Cache::parse(&written).write() == written, "what was written is read as something else");
    }
    // The same tree as an image of its own.
    check(&files, None, None).expect("the tree can be read");
});
