//! The partition table as sgdisk saved it, and the command lines that put it on a disk.
//!
//! The file is that of `sgdisk --backup` (gdisk's `GPTData::SaveGPTBackup`): the protective MBR, the main header and the
//! backup header in a sector each, then the entries of 128 bytes as UEFI describes them.

use anyhow::{Result, ensure};

use crate::manifest::Layout;

/// Bytes of a sector in the file, and on the disks that it can be loaded to.
pub const SECTOR: u64 = 512;

/// A partition of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u32,
    /// What kind it is, as a GUID.
    pub kind: String,
    /// Its own GUID.
    pub guid: String,
    /// Its first sector.
    pub first: u64,
    /// Its last sector.
    pub last: u64,
    /// Its name.
    pub name: String,
}

/// Reads the partitions from such a file.
///
/// # Errors
/// When it is none.
pub fn entries(file: &[u8]) -> Result<Vec<Entry>> {
    let broken = "the partition table of the bundle is not one that sgdisk saved";
    ensure!(file.len() >= 1536 + 128 && &file[512..520] == b"EFI PART", "{broken}");
    let count = u32::from_le_bytes([file[592], file[593], file[594], file[595]]);
    let size = u32::from_le_bytes([file[596], file[597], file[598], file[599]]);
    ensure!(size == 128 && (1..=1024).contains(&count), "{broken}");
    let entries = file[1536..].chunks_exact(128).take(count as usize).zip(1..);
    Ok(entries.filter(|(e, _)| e[..16].iter().any(|b| *b != 0)).map(|(e, number)| entry(number, e)).collect())
}

fn entry(number: u32, bytes: &[u8]) -> Entry {
    let number_at = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |sum: u64, b| sum << 8 | u64::from(*b));
    let letters = bytes[56..128].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]]));
    let name: Vec<u16> = letters.take_while(|c| *c != 0).collect();
    Entry {
        number,
        kind: guid(&bytes[..16]),
        guid: guid(&bytes[16..32]),
        first: number_at(32),
        last: number_at(40),
        name: String::from_utf16_lossy(&name),
    }
}

/// The first three groups are little-endian, the others are bytes in order.
fn guid(b: &[u8]) -> String {
    let order: [&[usize]; 5] = [&[3, 2, 1, 0], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]];
    let group = |places: &&[usize]| places.iter().map(|&i| format!("{:02X}", b[i])).collect::<String>();
    order.iter().map(group).collect::<Vec<_>>().join("-")
}

/// That the table is the one that the manifest describes.
///
/// # Errors
/// The partition that differs.
pub fn agrees(entries: &[Entry], layout: &Layout) -> Result<()> {
    let numbers = |what: &mut dyn Iterator<Item = u32>| what.map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let table = numbers(&mut entries.iter().map(|e| e.number));
    let wanted = numbers(&mut layout.partitions.iter().map(|p| p.number));
    ensure!(table == wanted, "the table has the partitions {table} and the manifest {wanted}: the bundle is broken");
    let last = entries.iter().max_by_key(|e| e.first).map(|e| e.number);
    for (entry, partition) in entries.iter().zip(&layout.partitions) {
        let bytes = (entry.last + 1).saturating_sub(entry.first) * SECTOR;
        ensure!(
            bytes == partition.bytes || Some(entry.number) == last,
            "partition {} has {bytes} bytes in the table and {} in the manifest: the bundle is broken",
            entry.number,
            partition.bytes
        );
    }
    let grown = layout.partitions.last().map(|p| p.number);
    ensure!(last == grown, "the manifest's last partition is not the last one on the disk: the bundle is broken");
    Ok(())
}

/// The calls of sgdisk that put the table on a disk and let its last partition grow to the disk's end.
#[must_use]
pub fn commands(file: &str, disk: &str, last: &Entry) -> Vec<Vec<String>> {
    let Entry { number, kind, guid, first, name, .. } = last;
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let grow = vec![
        // Its start stays where it is, whatever alignment sgdisk would choose on this disk.
        "--set-alignment=1".to_owned(),
        format!("--delete={number}"),
        format!("--new={number}:{first}:0"),
        format!("--typecode={number}:{kind}"),
        format!("--partition-guid={number}:{guid}"),
        format!("--change-name={number}:{name}"),
        disk.to_owned(),
    ];
    vec![
        words(&[&format!("--load-backup={file}"), disk]),
        words(&["--move-second-header", disk]),
        grow,
        words(&["--verify", disk]),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::manifest::tests::example;
    use crate::steps::command::{Cmd, tool};
    use crate::steps::report::Report;

    /// A table as the element makes it, on a sparse file of 10 GiB.
    fn backup(dir: &Path, report: &mut Report) -> Vec<u8> {
        let disk = dir.join("built");
        fs::File::create(&disk).unwrap().set_len(10 << 30).unwrap();
        let file = dir.join("va.sgdisk");
        let words = [
            "-n",
            "1:2048:6143",
            "-t",
            "1:ef02",
            "-n",
            "2:6144:2103295",
            "-c",
            "2:boot",
            "-n",
            "3:2103296:0",
            "-t",
            "3:8e00",
            "-c",
            "3:system disk",
        ];
        Cmd::tool("sgdisk").unwrap().args(words).arg(&disk).run(report).unwrap();
        Cmd::tool("sgdisk").unwrap().arg(format!("--backup={}", file.display())).arg(&disk).run(report).unwrap();
        fs::read(file).unwrap()
    }

    #[test]
    fn a_saved_table_is_read_and_grows_on_a_larger_disk() {
        if tool("sgdisk").is_err() {
            return eprintln!("SKIPPED: no sgdisk here");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::new(&dir.path().join("log"), Vec::new());
        let file = backup(dir.path(), &mut report);
        let table = entries(&file).unwrap();
        assert_eq!(
            table.iter().map(|e| (e.number, e.first)).collect::<Vec<_>>(),
            [(1, 2048), (2, 6144), (3, 2_103_296)]
        );
        assert_eq!(table[0].kind, "21686148-6449-6E6F-744E-656564454649");
        assert_eq!((table[1].name.as_str(), table[2].name.as_str()), ("boot", "system disk"));
        agrees(&table, &example().layout).unwrap();

        let disk = dir.path().join("larger");
        fs::File::create(&disk).unwrap().set_len(24 << 30).unwrap();
        let path = dir.path().join("va.sgdisk").display().to_string();
        let mut said = String::new();
        for words in commands(&path, &disk.display().to_string(), &table[2]) {
            said = Cmd::tool("sgdisk").unwrap().args(words).run(&mut report).unwrap();
        }
        assert!(said.contains("No problems found"), "{said}");
        Cmd::tool("sgdisk").unwrap().arg("--backup=".to_owned() + &path).arg(&disk).run(&mut report).unwrap();
        let grown = entries(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(grown[..2], table[..2]);
        assert_eq!(grown[2], Entry { last: (24 << 30) / 512 - 34, ..table[2].clone() });
    }

    #[test]
    fn other_files_and_tables_are_refused() {
        assert!(entries(&[0; 17920]).unwrap_err().to_string().contains("sgdisk"));
        assert!(entries(b"EFI PART").is_err());
        let entry = |number, first, last| Entry {
            number,
            kind: String::new(),
            guid: String::new(),
            first,
            last,
            name: String::new(),
        };
        let mut table = vec![entry(1, 2048, 6143), entry(2, 6144, 2_103_295), entry(3, 2_103_296, 20_971_486)];
        agrees(&table, &example().layout).unwrap();
        table[1].last = 2_000_000;
        assert!(agrees(&table, &example().layout).unwrap_err().to_string().contains("partition 2"));
        table.pop();
        assert!(agrees(&table, &example().layout).unwrap_err().to_string().contains("1, 2 and the manifest 1, 2, 3"));
    }
}
