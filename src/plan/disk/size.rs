//! How sizes are written: `8MiB`, `1.5 G`, `40%`.

use super::Size;

/// The units, in bytes. Case counts: `kB` and `k` are none.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("K", 1000),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("M", 1_000_000),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("G", 1_000_000_000),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("T", 1_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// The bytes of an absolute size: a number (none means 1), at most one space, a unit (none means
/// bytes). A fraction of a byte is dropped.
///
/// # Errors
/// What is wrong with it, as a message.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(split);
    let unit = rest.strip_prefix(' ').unwrap_or(rest);
    if text.is_empty() || !unit.chars().all(|c| c.is_ascii_alphabetic()) {
        return Err(format!("'{text}' is no size: write a number and a unit, as in 8MiB"));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("'{unit}' is no unit of size: use B, KiB, MiB, GiB, TiB or K, M, G, T (powers of 1000)"));
    };
    let too_large = || format!("the size '{text}' is too large");
    if number.is_empty() {
        return Ok(*factor);
    }
    // Whole numbers do not pass through floating point, which has only 53 bits.
    if number.chars().all(|c| c.is_ascii_digit()) {
        return number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or_else(too_large);
    }
    let number: f64 = number.parse().map_err(|_| format!("'{number}' is no number"))?;
    let bytes = number * *factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(too_large()) }
}

impl Size {
    /// The size that a text means: `40%` of what is left, or an absolute size ([`parse_bytes`]).
    ///
    /// # Errors
    /// What is wrong with it, as a message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            return parse_bytes(text).map(Size::Bytes);
        };
        let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        match number.parse::<f64>() {
            Ok(percent) if plain && percent <= 100.0 => Ok(Size::Percent(percent)),
            Ok(_) if plain => Err(format!("'{text}' is more than there is")),
            _ => Err(format!("'{text}' is no percentage")),
        }
    }

    /// The bytes that this takes of `free` bytes.
    pub fn of(self, free: u64) -> u64 {
        match self {
            Size::Bytes(bytes) => bytes,
            // All of it is exact, however large.
            Size::Percent(100.0) => free,
            Size::Percent(percent) => (free as f64 * percent / 100.0) as u64,
        }
    }
}

/// A number of bytes for people: `1.5 GiB`, `525 MiB`, `512 bytes`.
pub fn human(bytes: u64) -> String {
    for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor {
            let tenths = (bytes as f64 / factor as f64 * 10.0).round() as u64;
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b14_sizes() {
        assert_eq!(parse_bytes("198"), Ok(198));
        assert_eq!(Size::parse("154MiB"), Ok(Size::Bytes(161_480_704)));
        for bad in ["747InVaLiDUnIt", "_+!HuHi+-=", "-5", "1.2.3", "5kB", "5k", "5 %", "", "5  MiB", "5MiB ", ".", "%"]
        {
            assert!(Size::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn units_are_binary_with_an_i_and_decimal_without() {
        let cases = [
            ("1TiB", 1u64 << 40),
            ("1 GiB", 1 << 30),
            ("1.5MiB", 1_572_864),
            ("2KiB", 2048),
            ("1T", 1_000_000_000_000),
            ("40G", 40_000_000_000),
            ("1MB", 1_000_000),
            ("3K", 3000),
            ("7B", 7),
            ("GiB", 1 << 30),
            ("1.9", 1),
            ("9007199254740993", 9_007_199_254_740_993),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert!(parse_bytes("99999999TiB").unwrap_err().contains("too large"));
        assert!(parse_bytes("99999999.5TiB").unwrap_err().contains("too large"));
    }

    #[test]
    fn percentages_may_have_a_fraction() {
        assert_eq!(Size::parse("12.5%").map(|size| size.of(800)), Ok(100));
        assert_eq!(Size::parse("100%").map(|size| size.of(u64::MAX)), Ok(u64::MAX));
        assert!(Size::parse("101%").is_err());
        assert!(Size::parse("-1%").is_err());
    }

    #[test]
    fn people_read_short_numbers() {
        assert_eq!(human(525 << 20), "525 MiB");
        assert_eq!(human(3 << 29), "1.5 GiB");
        assert_eq!(human(512), "512 bytes");
    }
}
