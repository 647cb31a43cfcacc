use std::io::Cursor;
use std::process::{Command, Stdio};

use super::*;

/// A file that a program wrote a file system into; `None` where the program is not installed.
fn made(size: u64, program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let file = std::env::temp_dir().join(format!(
        "probe-{}-{program}-{}",
        std::process::id(),
        arguments.join("").replace('/', "_")
    ));
    std::fs::File::create(&file).unwrap().set_len(size).unwrap();
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let run = Command::new(program)
        .args(arguments)
        .arg(&file)
        .env("PATH", path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    match run {
        Ok(status) => {
            assert!(status.success(), "{program} {arguments:?}");
            Some(bytes)
        }
        Err(e) => {
            assert!(std::env::var_os("CI").is_none(), "{program}: {e}");
            None
        }
    }
}

const UUID: &str = "0f3bd5a1-6a6c-4c55-9a0e-0123456789ab";

#[test]
fn file_systems_of_the_reference_programs() {
    let cases: [(&str, u64, &str, &[&str]); 5] = [
        ("ext2", 4, "mke2fs", &["-q", "-t", "ext2", "-L", "root", "-U", UUID]),
        ("ext3", 8, "mke2fs", &["-q", "-t", "ext3", "-L", "root", "-U", UUID]),
        ("ext4", 8, "mke2fs", &["-q", "-t", "ext4", "-L", "root", "-U", UUID]),
        ("xfs", 320, "mkfs.xfs", &["-q", "-L", "root", "-m", "uuid=0f3bd5a1-6a6c-4c55-9a0e-0123456789ab"]),
        ("btrfs", 128, "mkfs.btrfs", &["-q", "-L", "root", "-U", UUID]),
    ];
    for (kind, mib, program, arguments) in cases {
        let Some(bytes) = made(mib << 20, program, arguments) else { continue };
        let found = identify(&mut Cursor::new(&bytes)).unwrap().unwrap();
        assert_eq!(found, Identity { kind: kind.to_owned(), uuid: UUID.to_owned(), label: "root".to_owned() });
    }
    let Some(bytes) = made(1 << 20, "mkswap", &["-q", "-L", "sw", "-U", UUID]) else { return };
    let found = identify(&mut Cursor::new(&bytes)).unwrap().unwrap();
    assert_eq!((&found.kind[..], &found.uuid[..], &found.label[..]), ("swap", UUID, "sw"));
}

#[test]
fn partitions_of_both_tables() {
    let script = |table: &str, lines: &str| format!("label: {table}\n{lines}");
    let write = |text: &str| -> Option<Vec<u8>> {
        let file = std::env::temp_dir().join(format!("probe-{}-table", std::process::id()));
        std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let mut child =
            Command::new("sfdisk").arg("-q").arg(&file).env("PATH", path).stdin(Stdio::piped()).spawn().ok()?;
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        Some(bytes)
    };
    let gpt = script(
        "gpt",
        "size=8MiB, name=\"EFI System\"\nsize=8MiB, uuid=0F3BD5A1-6A6C-4C55-9A0E-0123456789AB, name=root\n",
    );
    let Some(bytes) = write(&gpt) else { return };
    let found = partitions(&mut Cursor::new(&bytes), 512).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].label, "EFI System");
    assert_eq!(found[1], Partition { number: 2, uuid: UUID.to_owned(), label: "root".to_owned() });

    let mbr = script(
        "dos",
        "label-id: 0x12ab34cd\n1 : size=4MiB\n2 : size=16MiB, type=5\n5 : size=4MiB, type=83\n6 : size=4MiB, type=83\n",
    );
    let bytes = write(&mbr).unwrap();
    let found: Vec<String> = partitions(&mut Cursor::new(&bytes), 512).unwrap().into_iter().map(|p| p.uuid).collect();
    assert_eq!(found, ["12ab34cd-01", "12ab34cd-02", "12ab34cd-05", "12ab34cd-06"]);
}

#[test]
fn nothing_and_noise_are_no_file_system() {
    assert_eq!(identify(&mut Cursor::new(vec![0; 1 << 20])).unwrap(), None);
    assert_eq!(identify(&mut Cursor::new(b"short")).unwrap(), None);
    assert!(partitions(&mut Cursor::new(vec![0; 100]), 512).unwrap().is_empty());
    let mut state = 7_u32;
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..0x12000 / 64 * (round % 64 + 1))
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        if bytes.len() > 600 {
            bytes[510..520].copy_from_slice(b"\x55\xaaEFI PART");
        }
        let _ = (identify(&mut Cursor::new(&bytes)).unwrap(), partitions(&mut Cursor::new(&bytes), 512).unwrap());
    }
}
