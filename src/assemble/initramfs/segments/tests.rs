//! What the kernel takes as an image, and what is no image.

use std::io::Write;

use super::*;
use crate::assemble::initramfs::compression::Encoder;
use crate::assemble::initramfs::cpio::Writer;
use crate::assemble::initramfs::entry::{Content, REGULAR};
use crate::assemble::initramfs::tree::{Keep, Tree};

fn archive(name: &str, content: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), None);
    let content = Content::Bytes(content.as_bytes().into());
    writer.write(&Entry::new(name, REGULAR | 0o644).with(content)).unwrap();
    writer.finish().unwrap().0
}

/// Without the end mark.
fn open_archive(name: &str, content: &str) -> Vec<u8> {
    let whole = archive(name, content);
    let end = whole.windows(10).position(|w| w == b"TRAILER!!!").unwrap() - 110;
    whole[..end].to_vec()
}

fn packed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression.into()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn image(parts: &[&[u8]]) -> Image {
    Image::from_bytes("x.img", parts.concat(), Limits::default())
}

fn segments(parts: &[&[u8]]) -> Vec<(u64, Compression, u64)> {
    let (_, segments) = Tree::read(&image(parts), Keep::Contents).unwrap();
    segments.iter().map(|s| (s.offset, s.compression, s.entries)).collect()
}

fn error(parts: &[&[u8]]) -> String {
    let error = Tree::read(&image(parts), Keep::Contents).unwrap_err();
    assert_eq!(crate::error::exit_code(&error), crate::error::EXIT_DEFINITION);
    crate::error::render(&error)
}

#[test]
fn segments_are_told_apart_with_and_without_padding() {
    let (a, b) = (archive("a", "1"), archive("b", "2"));
    let (xz, gzip) = (packed(Compression::Xz, &a), packed(Compression::Gzip, &b));
    let offset = |len: usize| len as u64;
    assert_eq!(segments(&[&a]), [(0, Compression::None, 1)]);
    assert_eq!(
        segments(&[&a, &[0; 512], &b, &gzip, &[0; 7], &xz, &[0; 3]]),
        [
            (0, Compression::None, 1),
            (offset(a.len() + 512), Compression::None, 1),
            (offset(a.len() + 512 + b.len()), Compression::Gzip, 1),
            (offset(a.len() + 512 + b.len() + gzip.len() + 7), Compression::Xz, 1),
        ]
    );
    // The kernel does not need the end mark, not even before something compressed.
    assert_eq!(segments(&[&open_archive("a", "1"), &gzip]).len(), 2);
    // Several archives in one member.
    assert_eq!(segments(&[&packed(Compression::Zstd, &[&a[..], &[0; 8], &b].concat())]), [(0, Compression::Zstd, 2)]);
}

#[test]
fn lz4_frames_one_after_another_are_one_segment() {
    let (a, b) = (packed(Compression::Lz4, &archive("a", "1")), packed(Compression::Lz4, &archive("b", "2")));
    assert_eq!(segments(&[&a, &b]), [(0, Compression::Lz4, 2)]);
    assert_eq!(segments(&[&a, &[0; 4], &b]).len(), 2);
    assert!(error(&[&a, &archive("b", "2")]).contains("without zeros between"));
}

#[test]
fn what_the_kernel_would_not_boot_is_refused() {
    let a = archive("a", "1");
    assert!(error(&[]).contains("empty or has only zeros"));
    assert!(error(&[&[0; 9]]).contains("empty or has only zeros"));
    assert!(error(&[b"\x7fELF"]).contains("segment 1: no initramfs: it begins with"));
    assert!(error(&[&a, b"\0\0", &a]).contains("no multiple of four"));
    assert!(error(&[&a, b"junk"]).contains(&format!("segment 2: at byte {} stands 'junk'", a.len())));
    let inside = packed(Compression::Gzip, &[&a[..], b"junk"].concat());
    assert!(
        error(&[&inside]).contains(&format!("segment 1 (gzip, from byte 0 of the file), unpacked byte {}", a.len()))
    );
    assert!(error(&[b"070707", &[b'0'; 104]]).contains("old format odc"));
    // An archive that goes over the end of a member.
    let half = packed(Compression::Gzip, &a[..100]);
    assert!(error(&[&half, &half]).contains("the header is cut off after 100 of 110 bytes"));
}

#[test]
fn sizes_are_not_believed() {
    // A file of 4 GiB in an image of 1 KiB.
    let mut absurd = archive("absurd", "x");
    absurd[54..62].copy_from_slice(b"FFFFFFFF");
    assert!(error(&[&absurd]).contains("of its 4294967295 bytes"));
    absurd[94..102].copy_from_slice(b"FFFFFFFF");
    assert!(error(&[&absurd]).contains("a name of 4294967295 bytes"));
    let bomb = packed(Compression::Zstd, &vec![b'0'; 5 << 20]);
    let small = Image::from_bytes("x.img", bomb, Limits { unpacked: 1 << 20, entries: 9 });
    assert!(small.walk(&mut |_| Ok(())).is_err());
    let many = (0..10).flat_map(|n| archive(&n.to_string(), "x")).collect::<Vec<u8>>();
    let few = Image::from_bytes("x.img", packed(Compression::Xz, &many), Limits { unpacked: 1 << 20, entries: 9 });
    let error = few.walk(&mut |_| Ok(())).unwrap_err();
    assert!(crate::error::render(&error).contains("more than 9 entries"));
    let big = packed(Compression::Xz, &archive("big", &"x".repeat(2 << 20)));
    let error =
        Image::from_bytes("x.img", big, Limits { unpacked: 1 << 20, entries: 9 }).walk(&mut |_| Ok(())).unwrap_err();
    assert!(crate::error::render(&error).contains("unpacks to more than 1048576 bytes"));
}

#[test]
fn a_check_that_the_kernel_lacks_is_known() {
    let xz = packed(Compression::Xz, &archive("a", "1"));
    let walk = |bytes: Vec<u8>| Image::from_bytes("x", bytes, Limits::default()).walk(&mut |_| Ok(())).unwrap();
    assert_eq!(walk(xz)[0].warning, None);
    let mut crc64 = liblzma::write::XzEncoder::new(Vec::new(), 1);
    crc64.write_all(&archive("a", "1")).unwrap();
    assert!(walk(crc64.finish().unwrap())[0].warning.as_ref().unwrap().contains("CRC32"));
}

#[test]
fn one_segment_is_read_again() {
    let (a, b) = (archive("a", "1"), packed(Compression::Gzip, &archive("b", "2")));
    let image = image(&[&a, &b]);
    let segments = image.walk(&mut |_| Ok(())).unwrap();
    let mut names = Vec::new();
    let walked = image.walk_segment(&segments[1], &mut |step| {
        if let Step::Entry { at, entry, .. } = step {
            names.push((at.segment, entry.name));
        }
        Ok(())
    });
    walked.unwrap();
    assert_eq!(names, [(2, b"b".to_vec())]);
    assert!(known_segment(image.path(), &segments, 3).is_err() && known_segment(image.path(), &segments, 2).is_ok());
}
