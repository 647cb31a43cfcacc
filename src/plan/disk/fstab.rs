//! The text of /etc/fstab.

use super::DiskLayout;

impl DiskLayout {
    /// The whole of /etc/fstab: a line for each filesystem that asks for one, in mount order
    /// (fstab(5); filesystems are named by their labels, which are unique).
    pub fn fstab_text(&self) -> String {
        let mut text = String::new();
        for fs in &self.filesystems {
            let Some(line) = &fs.fstab else { continue };
            let point = fs.mount_point.as_deref().unwrap_or("none");
            text.push_str(&format!(
                "LABEL={} {} {} {} {} {}\n",
                escaped(&fs.label),
                escaped(point),
                fs.kind,
                line.options,
                line.dump,
                line.pass
            ));
        }
        text
    }
}

/// A field with blanks and backslashes in octal, as getmntent(3) reads them.
fn escaped(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}
