//! The printed forms of a plan: text for people, JSON for programs, DOT for Graphviz.

use std::fmt::Write;

use petgraph::dot;
use serde_json::{Value, json};

use crate::element::phase::{Phase, Side};
use crate::error::Fault;

use super::Plan;
use super::disk::lvm::{VolumeGroup, VolumeKind, VolumeSize};
use super::disk::{Filesystem, PartitionType, Size, size};

impl Plan {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.elements_text(&mut text);
        self.phases_text(&mut text);
        self.packages_text(&mut text);
        self.disk_text(&mut text);
        self.outputs_text(&mut text);
        if !self.warnings.is_empty() {
            text.push_str("\nWarnings\n");
            self.warnings.iter().for_each(|w| line(&mut text, format!("  {}", w.sentence())));
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn elements_text(&self, text: &mut String) {
        line(text, format!("Elements, in order ({})", self.resolution.elements.len()));
        for element in &self.resolution.elements {
            let why = match (element.requested, element.required_by.as_slice()) {
                (true, _) => "asked for".to_owned(),
                (false, []) => "comes along with every build".to_owned(),
                (false, by) => format!("needed by {}", by.join(", ")),
            };
            line(text, format!("  {:<24} {why}", element.name));
        }
    }

    fn phases_text(&self, text: &mut String) {
        text.push_str("\nPhases and hooks\n");
        for phase in Phase::ALL {
            let mut hooks = self.hooks_of(phase).peekable();
            if hooks.peek().is_none() {
                continue;
            }
            let side = if phase.side() == Side::Host { "on the host" } else { "in the chroot" };
            line(text, format!("  {phase} ({side})"));
            hooks.for_each(|hook| line(text, format!("    {:<38} {}", hook.name, hook.element)));
        }
    }

    fn packages_text(&self, text: &mut String) {
        text.push_str("\nPackages\n");
        let mut phase = "";
        for package in &self.packages.lines {
            if package.phase != phase {
                phase = &package.phase;
                line(text, format!("  {phase}"));
            }
            let sign = if package.remove { "-" } else { "+" };
            let names = if package.packages.is_empty() { "(nothing)".into() } else { package.packages.join(" ") };
            let name = if names == package.name { names } else { format!("{} = {names}", package.name) };
            let when = if package.conditions.is_empty() {
                String::new()
            } else {
                format!("  if {}", package.conditions.join(" and "))
            };
            line(text, format!("    {sign} {name:<44} {:<20} {}{when}", package.element, package.chosen_by));
        }
        let asked = &self.request.packages;
        if !asked.is_empty() {
            line(text, format!("  after install.d (-p)\n    + {}", asked.join(" ")));
        }
    }

    fn disk_text(&self, text: &mut String) {
        if !self.needs_disk() {
            return;
        }
        line(text, format!("\nDisk ({})", self.layout_source));
        for disk in &self.layout.disks {
            let table = disk.table.as_ref().map_or("no partition table", |_| self.table_name());
            line(
                text,
                format!(
                    "  {}: {table}, sectors of {} bytes, {}",
                    disk.name,
                    disk.sector_size,
                    self.size_text(disk.size)
                ),
            );
            for partition in disk.table.iter().flat_map(|t| &t.partitions) {
                let kind = match partition.kind {
                    PartitionType::Mbr(byte) => format!("type 0x{byte:02x}"),
                    PartitionType::Gpt(guid) => format!("type {guid}"),
                };
                let how_large = match partition.size {
                    Size::Bytes(bytes) => size::human(bytes),
                    Size::Percent(percent) => format!("{percent} %"),
                };
                let fs = self.layout.filesystems.iter().find(|f| f.base == partition.name);
                let group =
                    self.layout.group_on(&partition.name).map(|(group, _)| format!("of the group {}", group.name));
                let fs = fs.map(filesystem_text).or(group).unwrap_or_default();
                line(text, format!("    {:>2} {:<10} {how_large:>10}  {kind}  {fs}", partition.number, partition.name));
            }
            let whole = self.layout.filesystems.iter().filter(|f| f.base == disk.name);
            whole.for_each(|fs| line(text, format!("    {}", filesystem_text(fs))));
        }
        self.layout.volume_groups.iter().for_each(|group| self.group_text(group, text));
        match &self.attach {
            Some(why) => {
                line(text, format!("  attached to a loop device for pre-finalise, finalise and cleanup: {why}"))
            }
            None => line(text, "  written without a loop device".into()),
        }
    }

    fn group_text(&self, group: &VolumeGroup, text: &mut String) {
        let on: Vec<&str> = group.physical.iter().map(|volume| volume.base.as_str()).collect();
        let unit = size::human(group.extent_size);
        line(text, format!("  {}: volume group on {}, extents of {unit}", group.name, on.join(" and ")));
        for volume in &group.logical {
            let how_large = match volume.size {
                VolumeSize::Bytes(bytes) => size::human(bytes / group.extent_size * group.extent_size),
                VolumeSize::Extents(extents) => format!("{extents} extents"),
                VolumeSize::Group(percent) => format!("{percent} %VG"),
                VolumeSize::Free(percent) => format!("{percent} %FREE"),
                VolumeSize::Physical(percent) => format!("{percent} %PVS"),
            };
            let kind = match &volume.kind {
                VolumeKind::Linear => String::new(),
                VolumeKind::Pool { .. } => "thin pool  ".to_owned(),
                VolumeKind::Thin { pool } => format!("thin in {pool}  "),
            };
            let fs = self.layout.filesystems.iter().find(|f| f.base == volume.name);
            let fs = fs.map(filesystem_text).unwrap_or_default();
            line(text, format!("       {:<10} {how_large:>10}  {kind}{fs}", volume.name));
        }
    }

    fn size_text(&self, fixed: Option<u64>) -> String {
        match (fixed, self.request.disk.size_gib) {
            (Some(bytes), _) => size::human(bytes),
            (None, Some(gib)) => format!("{gib} GiB"),
            (None, None) => "as large as the tree needs".into(),
        }
    }

    fn outputs_text(&self, text: &mut String) {
        text.push_str("\nOutputs\n");
        for output in &self.outputs {
            line(text, format!("  {} ({})", output.path.display(), output.format.name()));
        }
        for file in self.ramdisk_files() {
            let element = self.request.ramdisk.as_deref().unwrap_or_default();
            line(text, format!("  {} (written by element {element})", file.display()));
        }
        text.push_str("\nThe host must have\n");
        self.needs.iter().for_each(|need| line(text, format!("  {:<32} for {}", need.what.to_string(), need.why)));
        let place = if self.in_memory { "in memory" } else { "on disk" };
        line(text, format!("\nBuilt {place}, below {}", self.request.run.tmp_dir.display()));
    }

    /// For programs; keys are only ever added.
    pub fn to_json(&self) -> Value {
        let elements: Vec<_> = self
            .resolution
            .elements
            .iter()
            .map(|e| json!({"name": e.name, "dir": e.dir, "requested": e.requested, "required_by": e.required_by}))
            .collect();
        let phases: Vec<_> = Phase::ALL
            .into_iter()
            .filter(|p| self.hooks_of(*p).next().is_some())
            .map(|phase| {
                let hooks: Vec<_> = self
                    .hooks_of(phase)
                    .map(|h| json!({"name": h.name, "element": h.element, "file": h.path}))
                    .collect();
                json!({"phase": phase, "side": phase.side(), "hooks": hooks})
            })
            .collect();
        let warnings: Vec<_> = self.warnings.iter().map(Fault::sentence).collect();
        let needs: Vec<_> = self.needs.iter().map(|n| json!({"what": n.what.to_string(), "for": n.why})).collect();
        json!({
            "arch": self.request.arch,
            "elements": elements,
            "provided": self.resolution.provided,
            "phases": phases,
            "packages": self.packages.lines,
            "extra_packages": self.request.packages,
            "disk": {"source": self.layout_source, "layout": self.layout, "attached": self.attach, "size_gib": self.request.disk.size_gib},
            "outputs": self.outputs,
            "output_options": self.output_options,
            "final_image": self.final_image,
            "ramdisk_files": self.ramdisk_files(),
            "host_needs": needs,
            "in_memory": self.in_memory,
            "warnings": warnings,
        })
    }

    /// The element graph: an arrow goes from an element to what it needs.
    pub fn to_dot(&self) -> String {
        let label = |_, edge: petgraph::graph::EdgeReference<'_, crate::element::resolve::Link>| {
            edge.weight().virtual_name.as_ref().map_or(String::new(), |n| format!("label=\"{n}\""))
        };
        let shape = |_, (_, name): (_, &String)| {
            let asked = self.resolution.get(name).is_some_and(|e| e.requested);
            format!("label=\"{name}\" shape=box{}", if asked { " style=bold" } else { "" })
        };
        let config = [dot::Config::EdgeNoLabel, dot::Config::NodeNoLabel];
        format!("{:?}", dot::Dot::with_attr_getters(&self.resolution.graph, &config, &label, &shape))
    }
}

fn filesystem_text(fs: &Filesystem) -> String {
    let at = fs.mount_point.as_deref().map_or(String::new(), |p| format!(" at {p}"));
    let options = if fs.options.is_empty() { String::new() } else { format!(" ({})", fs.options.join(" ")) };
    format!("{} '{}'{at}{options}", fs.kind, fs.label)
}

fn line(text: &mut String, line: String) {
    // Writing into a String cannot fail.
    writeln!(text, "{}", line.trim_end()).ok();
}
