//! A writer of newc archives (kernel, Documentation/driver-api/early-userspace/buffer-format.rst), for initramfs
//! images that tests boot.

/// An archive that is being written.
#[derive(Default)]
pub struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    /// Adds a directory.
    pub fn dir(self, name: &str) -> Self {
        self.entry(name, 0o040_755, b"")
    }

    /// Adds a program.
    pub fn program(self, name: &str, data: &[u8]) -> Self {
        self.entry(name, 0o100_755, data)
    }

    /// The finished archive.
    pub fn finish(self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"").bytes
    }

    fn entry(mut self, name: &str, mode: u32, data: &[u8]) -> Self {
        self.inode += 1;
        let size = u32::try_from(data.len()).unwrap();
        let name_size = u32::try_from(name.len() + 1).unwrap();
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        self.bytes.extend(fields.iter().flat_map(|field| format!("{field:08X}").into_bytes()));
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        self.bytes.extend(data);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
