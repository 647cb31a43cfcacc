//! GRUB's environment blocks: 1024 bytes with variables, which GRUB itself can write before any system runs.
//!
//! The format is that of `grub-core/lib/envblk.c`: a line that signs it, then lines `name=value` in which a backslash stands
//! before each backslash and each end of line of a value, then `#` up to the end. Lines that begin with `#` are comments.

use anyhow::{Result, bail, ensure};

/// The line that every block begins with.
pub const SIGNATURE: &str = "# GRUB Environment Block\n";

/// How long a new block is. GRUB writes over the blocks of the file and so can never make it longer.
pub const LENGTH: usize = 1024;

/// The variables of a block, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvBlock {
    variables: Vec<(String, String)>,
    length: usize,
}

impl Default for EnvBlock {
    fn default() -> Self {
        Self { variables: Vec::new(), length: LENGTH }
    }
}

impl EnvBlock {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are no block.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(mut rest) = bytes.strip_prefix(SIGNATURE.as_bytes()) else {
            bail!("it does not begin with '{}'", SIGNATURE.trim_end());
        };
        ensure!(bytes.len() >= LENGTH, "it has {} bytes, and GRUB wants {LENGTH}", bytes.len());
        let mut variables = Vec::new();
        while let Some(first) = rest.first() {
            let (line, after) = line(rest);
            rest = after;
            let text = String::from_utf8_lossy(&line).into_owned();
            if let (false, Some((name, value))) = (*first == b'#', text.split_once('=')) {
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Self { variables, length: bytes.len() })
    }

    /// The value of a variable; none if it is not there or empty, which GRUB does not tell apart either.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// Gives a variable a value. An empty one stays in the block: GRUB then needs no more room to fill it.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The file's bytes, as many as were read.
    ///
    /// # Errors
    /// When the variables do not fit.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut text = String::from(SIGNATURE);
        for (name, value) in &self.variables {
            let value = value.replace('\\', "\\\\").replace('\n', "\\\n");
            text.push_str(&format!("{name}={value}\n"));
        }
        let mut bytes = text.into_bytes();
        ensure!(bytes.len() <= self.length, "the variables take {} bytes, and there are {}", bytes.len(), self.length);
        bytes.resize(self.length, b'#');
        Ok(bytes)
    }
}

/// The first line without its end and without escapes, and what follows.
fn line(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut line = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => return (line, &bytes[at + 1..]),
            b'\\' if at + 1 < bytes.len() => {
                line.push(bytes[at + 1]);
                at += 1;
            }
            byte => line.push(byte),
        }
        at += 1;
    }
    (line, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_block_has_the_length_that_grub_wants() {
        let mut block = EnvBlock::default();
        block.set("slots_good", "root");
        block.set("slots_next", "");
        let bytes = block.to_bytes().unwrap();
        assert_eq!(bytes.len(), 1024);
        assert!(bytes.starts_with(b"# GRUB Environment Block\nslots_good=root\nslots_next=\n####"));
        assert!(bytes.ends_with(b"####"));
        assert_eq!(EnvBlock::parse(&bytes).unwrap(), block);
    }

    #[test]
    fn values_are_escaped_as_grub_does() {
        let mut block = EnvBlock::default();
        block.set("odd", "a\\b\nc=d");
        let bytes = block.to_bytes().unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains("odd=a\\\\b\\\nc=d\n#"));
        assert_eq!(EnvBlock::parse(&bytes).unwrap().get("odd"), Some("a\\b\nc=d"));
    }

    #[test]
    fn comments_are_skipped_and_empty_values_count_as_none() {
        let mut bytes = b"# GRUB Environment Block\n# WARNING: Do not edit\nslots_next=\nslots_good=back\n".to_vec();
        bytes.resize(1024, b'#');
        let block = EnvBlock::parse(&bytes).unwrap();
        assert_eq!((block.get("slots_good"), block.get("slots_next"), block.get("x")), (Some("back"), None, None));
    }

    #[test]
    fn a_longer_block_keeps_its_length_and_a_full_one_says_so() {
        let mut bytes = EnvBlock::default().to_bytes().unwrap();
        bytes.resize(2048, b'#');
        let mut block = EnvBlock::parse(&bytes).unwrap();
        assert_eq!(block.to_bytes().unwrap().len(), 2048);
        block.set("long", &"x".repeat(2048));
        assert!(block.to_bytes().unwrap_err().to_string().contains("take 2079 bytes"), "{:?}", block.to_bytes());
    }

    #[test]
    fn other_files_are_no_blocks() {
        assert!(EnvBlock::parse(b"slots_good=root\n").is_err());
        assert!(
            EnvBlock::parse(b"# GRUB Environment Block\nslots_good=root\n").unwrap_err().to_string().contains("1024")
        );
    }
}
