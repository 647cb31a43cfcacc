//! Files of public keys (OpenPGP, RFC 9580): whether they hold one, and since when it exists.
//!
//! Signatures are the package manager's business. This is for explaining why it refused one.

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// The packet type of a primary public key.
const PUBLIC_KEY: u8 = 6;

/// When each public key in a file was made, in seconds since 1970; empty when it holds no key.
/// Subkeys do not count. The file is in ASCII armour, several blocks maybe, or in binary.
pub fn created(file: &[u8]) -> Vec<u64> {
    let Ok(text) = std::str::from_utf8(file) else { return in_packets(file) };
    text.split(BEGIN)
        .skip(1)
        .filter_map(|block| block.split(END).next())
        .flat_map(|b| in_packets(&unarmour(b)))
        .collect()
}

/// The bytes of a block: base64 between an empty line, which ends the headers, and the checksum.
fn unarmour(block: &str) -> Vec<u8> {
    let lines = block.lines().skip(1).skip_while(|line| line.contains(": ")).map(str::trim);
    let digits = lines.take_while(|line| !line.starts_with('=')).flat_map(str::bytes);
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in digits.map_while(value) {
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn in_packets(mut bytes: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some((kind, body, rest)) = packet(bytes) {
        // Version, then four bytes of time, in every version of the format.
        if kind == PUBLIC_KEY && body.len() >= 5 && (3..=6).contains(&body[0]) {
            found.push(u64::from(u32::from_be_bytes([body[1], body[2], body[3], body[4]])));
        }
        bytes = rest;
    }
    found
}

/// The first packet: its type, its body, and what follows it. `None` at the end and where it is no packet.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let number = |bytes: &[u8]| bytes.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let (&first, rest) = bytes.split_first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let (kind, size_bytes, size) = if first & 0x40 == 0 {
        let size_bytes = [1, 2, 4].get(usize::from(first & 3)).copied()?;
        (first >> 2 & 15, size_bytes, number(rest.get(..size_bytes)?))
    } else {
        let lead = *rest.first()?;
        match lead {
            0..=191 => (first & 63, 1, usize::from(lead)),
            192..=223 => (first & 63, 2, ((usize::from(lead) - 192) << 8) + usize::from(*rest.get(1)?) + 192),
            255 => (first & 63, 5, number(rest.get(1..5)?)),
            _ => return None,
        }
    };
    let body = rest.get(size_bytes..)?;
    Some((kind, body.get(..size)?, &body[size..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `gpg --quick-gen-key x ed25519`, made with --faked-system-time 20400101T000000.
    const KEY: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEg6p+gBYJKwYBBAHaRw8BAQdAwxvP9roFB9rDpAcRDiVnBo4yeaH3vgf409sS
ToQSlau0AXiIkAQTFggAOBYhBCsX5rPTz2zQRAwW4pyZbjbk3tsqBQKDqn6AAhsD
BQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEJyZbjbk3tsq18ABALRdH/7zETao
W1CW1V3MMtiER6npFwaDhLTHKa2HJKBPAQC/pDmz7KBbIwWHzwIsN84yg16yMJFW
hh24pw9mvjXZDw==
=BlQW
-----END PGP PUBLIC KEY BLOCK-----";

    #[test]
    fn a_key_tells_when_it_was_made() {
        assert_eq!(created(KEY.as_bytes()), [2_208_988_800]);
        assert_eq!(created(format!("a comment\n{KEY}\n{KEY}").as_bytes()).len(), 2);
        let body = KEY.trim_start_matches(BEGIN);
        assert_eq!(created(&unarmour(body)), [2_208_988_800]);
    }

    #[test]
    fn other_files_hold_none() {
        for file in ["", "notakey\n", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "<html></html>"] {
            assert!(created(file.as_bytes()).is_empty(), "{file}");
        }
        assert!(created(b"\xed\xab\xee\xdb\x03\x00\x00\x00").is_empty());
    }
}
