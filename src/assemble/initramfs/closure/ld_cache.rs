//! `/etc/ld.so.cache`: read for proving an image, written for one whose libraries are not all in default directories.
//!
//! Source of the format: `sysdeps/generic/dl-cache.h` of glibc (`struct cache_file_new`, `glibc-ld.so.cache1.1`).

use std::collections::HashMap;
use std::path::PathBuf;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// The older form that some caches begin with; the new one follows.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The libraries of a cache: the paths of each name, in order. A damaged cache is empty as far as it is damaged: the
/// loader ignores it likewise. Entries for special processors are left out.
pub fn parse(bytes: &[u8]) -> HashMap<String, Vec<PathBuf>> {
    let mut found: HashMap<String, Vec<PathBuf>> = HashMap::new();
    let Some(start) = new_format(bytes) else { return found };
    let cache = &bytes[start..];
    let word = |at: usize| cache.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    let text = |at: u32| {
        let rest = cache.get(at as usize..)?;
        let end = rest.iter().position(|&b| b == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let count = word(20).unwrap_or(0) as usize;
    for index in 0..count.min(cache.len() / ENTRY) {
        let at = HEADER + index * ENTRY;
        let (Some(key), Some(value), Some(low), Some(high)) =
            (word(at + 4), word(at + 8), word(at + 16), word(at + 20))
        else {
            break;
        };
        if low != 0 || high != 0 {
            continue;
        }
        if let (Some(key), Some(value)) = (text(key), text(value)) {
            found.entry(key).or_default().push(value.into());
        }
    }
    found
}

fn new_format(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(MAGIC) {
        return Some(0);
    }
    let count: [u8; 4] = bytes.strip_prefix(OLD_MAGIC)?.get(0..4)?.try_into().ok()?;
    let end = (u32::from_ne_bytes(count) as usize).checked_mul(12)?.checked_add(16)?.checked_next_multiple_of(8)?;
    bytes.get(end..)?.starts_with(MAGIC).then_some(end)
}
