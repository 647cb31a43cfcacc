//! The partition types of a GPT: the four-digit codes that descriptions use, and their GUIDs.
//!
//! The codes are those of gdisk (the MBR type byte and a counter); the GUIDs are from the UEFI
//! specification (5.3.3) and the Discoverable Partitions Specification
//! (<https://uapi-group.org/specifications/specs/discoverable_partitions_specification/>).

use uuid::{Uuid, uuid};

/// The EFI system partition (`EF00`).
pub const EFI_SYSTEM: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Where GRUB's core image lies on a BIOS machine (`EF02`).
pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
/// An ordinary Linux filesystem (`8300`).
pub const LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// Code, GUID.
const TYPES: &[(u16, Uuid)] = &[
    // Microsoft basic data
    (0x0700, uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")),
    // Microsoft reserved
    (0x0C01, uuid!("e3c9e316-0b5c-4db8-817d-f92df00215ae")),
    // Windows RE
    (0x2700, uuid!("de94bba4-06d1-4d40-a16a-bfd50179d6ac")),
    // ONIE boot
    (0x3000, uuid!("7412f7d5-a156-4b13-81dc-867174929325")),
    // ONIE config
    (0x3001, uuid!("d4e6e2cd-4469-46f3-b5cb-1bff57afc149")),
    // PowerPC PReP boot
    (0x4100, uuid!("9e1a2d38-c612-4316-aa26-8b49521e5a8b")),
    // IBM GPFS
    (0x7501, uuid!("37affc90-ef7d-4e96-91c3-2d7ae055b174")),
    // Linux swap
    (0x8200, uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")),
    // Linux filesystem
    (0x8300, LINUX),
    // Linux reserved
    (0x8301, uuid!("8da63339-0007-60c0-c436-083ac8230908")),
    // Linux /home
    (0x8302, uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915")),
    // Linux x86 root (/)
    (0x8303, uuid!("44479540-f297-41b2-9af7-d131d5f0458a")),
    // Linux x86-64 root (/)
    (0x8304, uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")),
    // Linux ARM64 root (/)
    (0x8305, uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae")),
    // Linux /srv
    (0x8306, uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8")),
    // Linux ARM32 root (/)
    (0x8307, uuid!("69dad710-2ce4-4e3c-b16c-21a1d49abed3")),
    // Linux dm-crypt
    (0x8308, uuid!("7ffec5c9-2d00-49b7-8941-3ea10a5586b7")),
    // Linux LUKS
    (0x8309, uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc")),
    // Linux IA-64 root (/)
    (0x830A, uuid!("993d8d3d-f80e-4225-855a-9daf8ed7ea97")),
    // Linux x86 root verity
    (0x830B, uuid!("d13c5d3b-b5d1-422a-b29f-9454fdc89d76")),
    // Linux x86-64 root verity
    (0x830C, uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")),
    // Linux ARM32 root verity
    (0x830D, uuid!("7386cdf2-203c-47a9-a498-f2ecce45a2d6")),
    // Linux ARM64 root verity
    (0x830E, uuid!("df3300ce-d69f-4c92-978c-9bfb0f38d820")),
    // Linux IA-64 root verity
    (0x830F, uuid!("86ed10d5-b607-45bb-8957-d350f23d0571")),
    // Linux /var
    (0x8310, uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d")),
    // Linux /var/tmp
    (0x8311, uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1")),
    // Linux user's home
    (0x8312, uuid!("773f91ef-66d4-49b5-bd83-d683bf40ad16")),
    // Linux x86 /usr
    (0x8313, uuid!("75250d76-8cc6-458e-bd66-bd47cc81a812")),
    // Linux x86-64 /usr
    (0x8314, uuid!("8484680c-9521-48c6-9c11-b0720656f69e")),
    // Linux ARM32 /usr
    (0x8315, uuid!("7d0359a3-02b3-4f0a-865c-654403e70625")),
    // Linux ARM64 /usr
    (0x8316, uuid!("b0e01050-ee5f-4390-949a-9101b17104e9")),
    // Linux IA-64 /usr
    (0x8317, uuid!("4301d2a6-4e3b-4b2a-bb94-9e0b2c4225ea")),
    // Linux x86 /usr verity
    (0x8318, uuid!("8f461b0d-14ee-4e81-9aa9-049b6fb97abd")),
    // Linux x86-64 /usr verity
    (0x8319, uuid!("77ff5f63-e7b6-4633-acf4-1565b864c0e6")),
    // Linux ARM32 /usr verity
    (0x831A, uuid!("c215d751-7bcd-4649-be90-6627490a4c05")),
    // Linux ARM64 /usr verity
    (0x831B, uuid!("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e")),
    // Linux IA-64 /usr verity
    (0x831C, uuid!("6a491e03-3be7-4545-8e38-83320e0ea880")),
    // Linux LVM
    (0x8E00, uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928")),
    // Apple HFS/HFS+
    (0xAF00, uuid!("48465300-0000-11aa-aa11-00306543ecac")),
    // U-Boot boot loader
    (0xB000, uuid!("3de21764-95bd-54bd-a5c3-4abe786f38a8")),
    // Barebox boot loader
    (0xBB00, uuid!("4778ed65-bf42-45fa-9c5b-287a1dc4aab1")),
    // EFI system partition
    (0xEF00, EFI_SYSTEM),
    // MBR partition scheme
    (0xEF01, uuid!("024dee41-33e7-11d3-9d69-0008c781f39f")),
    // BIOS boot partition
    (0xEF02, BIOS_BOOT),
    // Linux RAID
    (0xFD00, uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e")),
];

/// The GUID of a type written as a code (`EF00`, `0x4100`, any case) or as a GUID; `None` if it is
/// neither or not known.
pub fn guid(text: &str) -> Option<Uuid> {
    if text.len() > 6 {
        return Uuid::try_parse(text).ok();
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let code = u16::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 4 && !digits.starts_with('+'))?;
    TYPES.iter().find(|(known, _)| *known == code).map(|(_, guid)| *guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_guids_are_understood() {
        assert_eq!(guid("EF00"), Some(EFI_SYSTEM));
        assert_eq!(guid("ef02"), Some(BIOS_BOOT));
        assert_eq!(guid("8300"), Some(LINUX));
        assert_eq!(guid("0x4100"), guid("4100"));
        assert!(guid("4100").is_some());
        assert_eq!(guid("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), Some(EFI_SYSTEM));
        for bad in ["", "83", "abcd", "+EF0", "linux", "c12a7328-f81f-11d2-ba4b"] {
            assert_eq!(guid(bad), None, "{bad}");
        }
    }
}
