//! Thin volumes: what was written to them goes to their pool, chunk by chunk, and the pool's metadata says where.
//!
//! The metadata are made by thin_restore of thin-provisioning-tools, from its XML form (thin_dump(8)).

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use crate::assemble::disk::Assembly;
use crate::assemble::{host, sparse};
use crate::error::{EXIT_BUILD, ExitWith, on};
use crate::plan::disk::Extent;
use crate::plan::disk::lvm::{LogicalVolume, VolumeGroup, VolumeKind};
use crate::plan::disk::place::PlacedGroup;
use crate::plan::disk::place::lvm::PlacedVolume;
use crate::plan::output::Tool;
use crate::report::Reporter;

/// The thin volumes of a pool, in order.
pub(super) fn volumes<'a>(group: &'a VolumeGroup, pool: &'a str) -> impl Iterator<Item = &'a LogicalVolume> {
    group.logical.iter().filter(move |volume| matches!(&volume.kind, VolumeKind::Thin { pool: own } if own == pool))
}

/// The number of a thin volume within its pool, from 1.
pub(super) fn device(group: &VolumeGroup, pool: &str, name: &str) -> usize {
    volumes(group, pool).take_while(|volume| volume.name != name).count() + 1
}

/// Fills the pools of a group from the files of their volumes. A pool without volumes is left empty: the kernel makes
/// its metadata.
pub(super) fn settle(asm: &Assembly, group: &VolumeGroup, placed: &PlacedGroup, reporter: &Reporter) -> Result<()> {
    for place in &placed.logical {
        let Some(pool) = &place.pool else { continue };
        if volumes(group, &place.name).next().is_none() {
            continue;
        }
        reporter.info(format!("Filling the thin pool {}", place.name));
        let data = asm.work.join(format!("{}.pool", place.name));
        let xml = fill(asm, group, place, &data, pool.chunk)?;
        asm.put(group, placed, &place.segments, &data)?;
        let tables = restore(
            asm,
            place,
            &xml,
            pool.metadata.iter().map(|s| s.count).sum::<u64>() * group.extent_size,
            reporter,
        )?;
        asm.put(group, placed, &pool.metadata, &tables)?;
        for file in [data, tables] {
            std::fs::remove_file(&file).with_context(|| on("removing", &file))?;
        }
    }
    Ok(())
}

/// Copies the chunks that hold something to `data`, one after the other; returns where each is, as XML.
fn fill(asm: &Assembly, group: &VolumeGroup, place: &PlacedVolume, data: &Path, chunk: u64) -> Result<String> {
    let size = place.extents * group.extent_size;
    sparse::create(data, size)?;
    let target = File::options().write(true).open(data).with_context(|| on("opening", data))?;
    let (mut next, blocks, count) = (0, size / chunk, volumes(group, &place.name).count());
    let mut xml = format!(
        "<superblock uuid=\"\" time=\"0\" transaction=\"{count}\" flags=\"0\" version=\"2\" data_block_size=\"{}\" nr_data_blocks=\"{blocks}\">\n",
        chunk / 512
    );
    for (index, volume) in volumes(group, &place.name).enumerate() {
        let file = asm.volumes.staged.get(&volume.name).context("a thin volume has no file")?;
        let source = File::open(file).with_context(|| on("opening", file))?;
        let length = source.metadata().with_context(|| on("looking at", file))?.len();
        let ranges = chunks(&sparse::data_ranges(&source, length).with_context(|| on("reading", file))?, chunk);
        let mapped: u64 = ranges.iter().map(|(_, count)| count).sum();
        writeln!(xml, "<device dev_id=\"{}\" mapped_blocks=\"{mapped}\" transaction=\"{index}\" creation_time=\"0\" snap_time=\"0\">", index + 1).ok();
        for (first, count) in ranges {
            if next + count > blocks {
                return Err(full(&place.name, size));
            }
            let bytes = (count * chunk).min(length - first * chunk);
            sparse::copy_range(&source, first * chunk, &target, Extent { start: next * chunk, length: bytes })
                .with_context(|| format!("copying {} to {}", file.display(), data.display()))?;
            writeln!(
                xml,
                "<range_mapping origin_begin=\"{first}\" data_begin=\"{next}\" length=\"{count}\" time=\"0\"/>"
            )
            .ok();
            next += count;
        }
        xml.push_str("</device>\n");
    }
    xml.push_str("</superblock>\n");
    Ok(xml)
}

/// The chunks that ranges of bytes touch: the first, and how many. Ranges are in order.
fn chunks(ranges: &[Extent], chunk: u64) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for range in ranges {
        let (mut first, end) = (range.start / chunk, (range.start + range.length).div_ceil(chunk));
        if let Some((before, count)) = found.last_mut() {
            first = first.max(*before + *count);
            if first == *before + *count {
                *count += end.saturating_sub(first);
                continue;
            }
        }
        found.push((first, end - first));
    }
    found
}

/// Makes the metadata's bytes from XML, in a file of its size.
fn restore(
    asm: &Assembly,
    place: &PlacedVolume,
    xml: &str,
    size: u64,
    reporter: &Reporter,
) -> Result<std::path::PathBuf> {
    let (text, tables) = (asm.work.join(format!("{}.xml", place.name)), asm.work.join(format!("{}.meta", place.name)));
    std::fs::write(&text, xml).with_context(|| on("writing", &text))?;
    sparse::create(&tables, size)?;
    host::command(Tool::THIN_RESTORE)?.arg("-i").arg(&text).arg("-o").arg(&tables).run(reporter)?;
    std::fs::remove_file(&text).with_context(|| on("removing", &text))?;
    Ok(tables)
}

fn full(pool: &str, size: u64) -> anyhow::Error {
    let message = format!(
        "the thin pool {pool} ({}) is too small for what is in its volumes",
        crate::assemble::filesystem::human(size)
    );
    ExitWith {
        message,
        code: EXIT_BUILD,
        hints: vec!["give the pool a larger size in the block-device layout".to_owned()],
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_chunks_once() {
        let range = |start, length| Extent { start, length };
        assert_eq!(chunks(&[range(0, 1), range(5, 10), range(31, 2), range(90, 10)], 10), [(0, 2), (3, 1), (9, 1)]);
        assert_eq!(chunks(&[range(5, 10), range(12, 1), range(19, 2)], 10), [(0, 3)]);
        assert_eq!(chunks(&[], 10), []);
    }
}
