//! cpio archives in the formats that the kernel unpacks: newc (magic 070701) and crc (070702).
//!
//! A header of 110 bytes, 13 numbers of eight hexadecimal digits; then the name with a NUL, then the content,
//! both padded to four bytes (`buffer-format.rst` of Linux, `init/initramfs.c`).

mod reader;
mod writer;

use serde::Serialize;

pub use reader::{Damage, Item, Reader};
pub use writer::Writer;

/// Bytes of a header.
const HEADER: usize = 110;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The longest name and the longest link target that the kernel takes, with its NUL (`PATH_MAX`).
const PATH_MAX: u32 = 4096;

/// The two formats. They differ in their magic number and in whether contents have a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 070701
    Newc,
    /// 070702: newc with a sum of each file's bytes
    Crc,
}

/// Bytes that fill up to a multiple of four.
fn padding(offset: u64) -> u64 {
    offset.wrapping_neg() & 3
}
