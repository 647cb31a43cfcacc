//! `image-create initramfs list`.

use anyhow::{Context, Result};
use chrono::DateTime;
use serde::Serialize;

use super::{unmatched, wanted};
use crate::assemble::initramfs::entry::{BLOCK, CHARACTER, DIRECTORY, Entry, FIFO, LINK, REGULAR, SOCKET, escaped};
use crate::assemble::initramfs::segments::{Image, Step, known_segment};
use crate::cli::initramfs::ListArgs;
use crate::report::Reporter;

/// Prints the entries in the order in which they stand in the image.
pub fn run(args: &ListArgs, image: &Image) -> Result<()> {
    let mut entries: Vec<(usize, Entry)> = Vec::new();
    let segments = image.walk(&mut |step| {
        if let Step::Entry { at, entry, .. } = step
            && args.segment.is_none_or(|only| only == at.segment)
        {
            entries.push((at.segment, entry));
        }
        Ok(())
    })?;
    if let Some(segment) = args.segment {
        known_segment(image.path(), &segments, segment)?;
    }
    unmatched(image.path(), &args.patterns, entries.iter().map(|(_, e)| &e.name[..]))?;
    entries.retain(|(_, entry)| wanted(&args.patterns, &entry.name));
    let text = if args.json {
        let rows: Vec<Row<'_>> = entries.iter().map(|(segment, entry)| Row::new(*segment, entry)).collect();
        serde_json::to_string_pretty(&rows).context("writing JSON")? + "\n"
    } else if args.null {
        let names: Vec<u8> = entries.iter().flat_map(|(_, e)| e.name.iter().copied().chain([0])).collect();
        return Reporter::result_bytes(&names).context("writing the list");
    } else if args.long {
        entries.iter().map(|(_, entry)| long(entry)).collect()
    } else {
        entries.iter().map(|(_, entry)| escaped(&entry.name) + "\n").collect()
    };
    Reporter::result_bytes(text.as_bytes()).context("writing the list")
}

/// One line as `ls -l` has it, with numbers for owner and group.
fn long(entry: &Entry) -> String {
    let size = match (entry.is_special(), entry.rdev) {
        (true, (major, minor)) if matches!(entry.kind(), BLOCK | CHARACTER) => format!("{major}, {minor}"),
        _ => size(entry).to_string(),
    };
    let time = DateTime::from_timestamp(entry.mtime.into(), 0).unwrap_or_default().format("%Y-%m-%d %H:%M:%S");
    let target = entry.target().map_or_else(String::new, |target| format!(" -> {}", escaped(target)));
    let (mode, nlink, uid, gid) = (mode(entry), entry.nlink, entry.uid, entry.gid);
    format!("{mode} {nlink:>3} {uid:>5} {gid:>5} {size:>10} {time} {}{target}\n", escaped(&entry.name))
}

fn size(entry: &Entry) -> u64 {
    entry.content.size().unwrap_or(0)
}

/// `-rwxr-xr-x`, as `ls` writes it.
fn mode(entry: &Entry) -> String {
    let mode = entry.mode;
    let kind = match entry.kind() {
        DIRECTORY => 'd',
        REGULAR => '-',
        LINK => 'l',
        CHARACTER => 'c',
        BLOCK => 'b',
        FIFO => 'p',
        SOCKET => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// An entry as JSON.
#[derive(Serialize)]
struct Row<'a> {
    segment: usize,
    name: String,
    kind: &'a str,
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u32,
    nlink: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Row<'_> {
    fn new(segment: usize, entry: &Entry) -> Self {
        let kind = match entry.kind() {
            DIRECTORY => "directory",
            REGULAR => "file",
            LINK => "link",
            CHARACTER => "character-device",
            BLOCK => "block-device",
            FIFO => "pipe",
            SOCKET => "socket",
            _ => "unknown",
        };
        Self {
            segment,
            name: escaped(&entry.name),
            kind,
            mode: format!("{:04o}", entry.mode & 0o7777),
            uid: entry.uid,
            gid: entry.gid,
            size: size(entry),
            mtime: entry.mtime,
            nlink: entry.nlink,
            device: matches!(entry.kind(), BLOCK | CHARACTER).then_some(entry.rdev),
            target: entry.target().map(escaped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_like_that_of_ls() {
        let mut device = Entry::new("dev/x", CHARACTER | 0o1644);
        (device.rdev, device.mtime, device.uid) = ((5, 1), 86_400, 1000);
        assert_eq!(long(&device), "crw-r--r-T   1  1000     0       5, 1 1970-01-02 00:00:00 dev/x\n");
        assert!(long(&Entry::new("su", REGULAR | 0o4755)).starts_with("-rwsr-xr-x "));
    }
}
