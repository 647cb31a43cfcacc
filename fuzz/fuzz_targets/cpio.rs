//! One archive: what is read is written, and read again as the same.
#![no_main]

use std::io::Read;

use image_create::assemble::initramfs::cpio::{Item, Reader, Writer};
use image_create::assemble::initramfs::entry::{Content, Entry, REGULAR};
use libfuzzer_sys::fuzz_target;

fn entries(archive: &[u8]) -> Option<Vec<Entry>> {
    let mut reader = Reader::new(archive);
    let mut entries = Vec::new();
    loop {
        match reader.item().ok()? {
            Item::Entry(mut entry) => {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).ok()?;
                if entry.kind() == REGULAR {
                    entry.content = if content.is_empty() { Content::Empty } else { Content::Bytes(content.into()) };
                }
                entries.push(entry);
            }
            Item::Trailer | Item::End | Item::Other => return Some(entries),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(first) = entries(data) else { return };
    // A name that ends archives can be read with `./` before it, and is not written.
    if first.iter().any(|entry| entry.name == b"TRAILER!!!") {
        return;
    }
    let mut writer = Writer::new(Vec::new(), None);
    for entry in &first {
        writer.write(entry).expect("what was read can be written");
    }
    let (archive, len) = writer.finish().expect("memory takes everything");
    assert_eq!(archive.len() as u64, len);
    let second = entries(&archive).expect("what was written can be read");
    // Numbers of inodes and devices are new.
    let same = |a: &Entry, b: &Entry| {
        (&a.name, a.mode, a.uid, a.gid, a.mtime, a.rdev, &a.content)
            == (&b.name, b.mode, b.uid, b.gid, b.mtime, b.rdev, &b.content)
    };
    assert!(second.len() == first.len() && first.iter().zip(&second).all(|(a, b)| same(a, b)));
});
