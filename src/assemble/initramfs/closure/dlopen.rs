//! Libraries that a file opens at run time, as far as it says so.
//!
//! Source of the format: "ELF Dlopen Metadata" of the UAPI group: notes of the owner `FDO` with a JSON array.

use serde::Deserialize;

/// The owner of the notes, without the final zero.
pub const OWNER: &[u8] = b"FDO";
/// The type of the notes.
pub const TYPE: u32 = 0x407c_0c0a;

/// One feature, and the libraries any one of which it needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dlopen {
    /// What the library is for: `zstd`.
    #[serde(default)]
    pub feature: String,
    /// What a person would read about it.
    #[serde(default)]
    pub description: String,
    /// How much it is needed.
    #[serde(default)]
    pub priority: Priority,
    /// Names of the same library, the best first.
    pub soname: Vec<String>,
}

/// How much a library is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The file does not work without it.
    Required,
    /// Taken if it is there. What the format says for entries without a priority.
    #[default]
    Recommended,
    /// Left out.
    #[serde(other)]
    Suggested,
}

/// The entries of one note. What cannot be read is no entry: no loader looks at notes.
pub fn parse(description: &[u8]) -> Vec<Dlopen> {
    let end = description.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    serde_json::from_slice(&description[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_systemd_writes_them() {
        let note = br#"[{"feature":"bpf","description":"Support firewalling and sandboxing with BPF","priority":"suggested","soname":["libbpf.so.1","libbpf.so.0"]},{"soname":["liba.so.1"]}]"#;
        let entries = parse(&[note.as_slice(), b"\0\0"].concat());
        assert_eq!(entries[0].priority, Priority::Suggested);
        assert_eq!(entries[0].soname, ["libbpf.so.1", "libbpf.so.0"]);
        assert_eq!(entries[1].priority, Priority::Recommended);
        assert!(parse(b"[{\"soname\":").is_empty());
    }
}
