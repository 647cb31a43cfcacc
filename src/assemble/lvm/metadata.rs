//! The description of a volume group, as text: the same on each of its physical volumes.
//!
//! Format: lib/format_text/export.c and import_vsn1.c of LVM2. GRUB reads it too (grub-core/disk/lvm.c), and looks
//! for keys as LVM writes them: one a line, with one blank on each side of the "=".

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::SPARE;
use crate::assemble::identity::Identities;
use crate::plan::disk::lvm::{LogicalVolume, VolumeGroup, VolumeKind};
use crate::plan::disk::place::PlacedGroup;
use crate::plan::disk::place::lvm::{PlacedVolume, Segment, count};

/// Who made a volume; LVM shows it as the host.
const HOST: &str = "image-create";
/// LVM counts in sectors of 512 bytes, whatever those of the disk are.
const SECTOR: u64 = 512;

/// The whole text. The volumes were made at `epoch`, or now.
pub(super) fn text(group: &VolumeGroup, placed: &PlacedGroup, identities: &Identities, epoch: Option<i64>) -> String {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let time = epoch.unwrap_or_else(now);
    let mut writer = Writer { text: String::new(), group, placed, identities, time };
    writer.open(&group.name);
    writer.head();
    writer.open("physical_volumes");
    (0..group.physical.len()).for_each(|index| writer.physical(index));
    writer.close();
    if !group.logical.is_empty() {
        writer.open("logical_volumes");
        group.logical.iter().zip(&placed.logical).for_each(|(volume, place)| writer.logical(volume, place));
        if !placed.spare.is_empty() {
            let id = identities.lvm(&format!("{}/{SPARE}", group.name)).to_owned();
            writer.hidden(SPARE, &id, &placed.spare);
        }
        writer.close();
    }
    writer.close();
    writer.line("contents = \"Text Format Volume Group\"");
    writer.line("version = 1");
    writer.line("description = \"Write from image-create.\"");
    writer.line(format!("creation_host = \"{HOST}\""));
    writer.line(format!("creation_time = {time}"));
    // pvck looks for this empty line.
    writer.line("");
    writer.text
}

struct Writer<'a> {
    text: String,
    group: &'a VolumeGroup,
    placed: &'a PlacedGroup,
    identities: &'a Identities,
    time: i64,
}

impl Writer<'_> {
    fn line(&mut self, line: impl AsRef<str>) {
        // Writing into a String cannot fail.
        writeln!(self.text, "{}", line.as_ref()).ok();
    }

    fn open(&mut self, name: &str) {
        self.line(format!("{name} {{"));
    }

    fn close(&mut self) {
        self.line("}");
    }

    fn state(&mut self, id: &str, flags: &str, tags: &[String]) {
        self.line(format!("id = \"{id}\""));
        self.line(format!("status = [{flags}]"));
        self.line("flags = []");
        if !tags.is_empty() {
            let tags: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            self.line(format!("tags = [{}]", tags.join(", ")));
        }
    }

    fn head(&mut self) {
        let group = self.group;
        self.line(format!("id = \"{}\"", self.identities.lvm(&group.name)));
        self.line("seqno = 1");
        self.line("format = \"lvm2\"");
        self.line("status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]");
        self.line("flags = []");
        if !group.tags.is_empty() {
            let tags: Vec<String> = group.tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            self.line(format!("tags = [{}]", tags.join(", ")));
        }
        self.line(format!("extent_size = {}", group.extent_size / SECTOR));
        self.line(format!("max_lv = {}", group.max_logical));
        self.line(format!("max_pv = {}", group.max_physical));
        self.line("metadata_copies = 0");
    }

    fn physical(&mut self, index: usize) {
        let place = &self.placed.physical[index];
        let id = self.identities.lvm(&self.group.physical[index].name).to_owned();
        self.open(&format!("pv{index}"));
        self.state(&id, "\"ALLOCATABLE\"", &[]);
        self.line(format!("dev_size = {}", place.place.length / SECTOR));
        self.line(format!("pe_start = {}", place.start / SECTOR));
        self.line(format!("pe_count = {}", place.extents));
        self.close();
    }

    fn logical(&mut self, volume: &LogicalVolume, place: &PlacedVolume) {
        let name = &volume.name;
        let segments = match &volume.kind {
            VolumeKind::Linear => linear(&place.segments),
            VolumeKind::Thin { pool } => {
                let device = super::thin::device(self.group, pool, name);
                let own = format!(
                    "type = \"thin\"\nthin_pool = \"{pool}\"\ntransaction_id = {}\ndevice_id = {device}\n",
                    device - 1
                );
                vec![(place.extents, own)]
            }
            VolumeKind::Pool { .. } => vec![(place.extents, self.pool(name, place))],
        };
        let id = self.identities.lvm(name).to_owned();
        self.volume(name, &id, "\"READ\", \"WRITE\", \"VISIBLE\"", &volume.tags, &segments);
        if let Some(pool) = &place.pool {
            for (suffix, segments) in [("_tmeta", &pool.metadata), ("_tdata", &place.segments)] {
                let name = format!("{name}{suffix}");
                let id = self.identities.lvm(&name).to_owned();
                self.hidden(&name, &id, segments);
            }
        }
    }

    fn pool(&self, name: &str, place: &PlacedVolume) -> String {
        let chunk = place.pool.as_ref().map_or(0, |pool| pool.chunk / SECTOR);
        let volumes = super::thin::volumes(self.group, name).count();
        format!(
            "type = \"thin-pool\"\nmetadata = \"{name}_tmeta\"\npool = \"{name}_tdata\"\ntransaction_id = {volumes}\n\
             chunk_size = {chunk}\ndiscards = \"passdown\"\nzero_new_blocks = 1\n"
        )
    }

    /// A volume that only LVM itself uses.
    fn hidden(&mut self, name: &str, id: &str, segments: &[Segment]) {
        self.volume(name, id, "\"READ\", \"WRITE\"", &[], &linear(segments));
    }

    /// `segments`: the extents of each, and the lines about it.
    fn volume(&mut self, name: &str, id: &str, flags: &str, tags: &[String], segments: &[(u64, String)]) {
        self.text.push('\n');
        self.open(name);
        self.state(id, flags, tags);
        self.line(format!("creation_time = {}", self.time));
        self.line(format!("creation_host = \"{HOST}\""));
        self.line(format!("segment_count = {}", segments.len()));
        let mut first = 0;
        for (index, (extents, own)) in segments.iter().enumerate() {
            self.open(&format!("segment{}", index + 1));
            self.line(format!("start_extent = {first}"));
            self.line(format!("extent_count = {extents}"));
            self.text.push_str(own);
            self.close();
            first += extents;
        }
        self.close();
    }
}

/// A stripe alone is what LVM calls linear.
fn linear(segments: &[Segment]) -> Vec<(u64, String)> {
    let one = |segment: &Segment| {
        let (physical, first) = (segment.physical, segment.first);
        let text = format!("type = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv{physical}\", {first}\n]\n");
        (count(&[*segment]), text)
    };
    segments.iter().map(one).collect()
}
