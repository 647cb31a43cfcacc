//! Whole images: segments, compressions, archives, and the tree that they unpack to.
#![no_main]

use image_create::assemble::initramfs::segments::{Image, Limits};
use image_create::assemble::initramfs::tree::{Keep, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { unpacked: 32 << 20, entries: 10_000 };
    let image = Image::from_bytes("image", data, limits);
    let Ok((tree, segments)) = Tree::read(&image, Keep::Contents) else { return };
    assert!(segments.iter().all(|s| s.offset + s.len <= data.len() as u64));
    for entry in tree.entries() {
        assert!(tree.get(&entry.name).is_some(), "{} is listed, but not there", entry.shown());
        tree.follow(&entry.name);
    }
    // A second look sees the same.
    for segment in &segments {
        assert!(image.walk_segment(segment, &mut |_| Ok(())).is_ok());
    }
});
