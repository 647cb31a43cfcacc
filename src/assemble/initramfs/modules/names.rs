//! Names of modules: `-` and `_` are the same letter in them.

use std::path::Path;

pub use image_init::alias::plain;

/// Endings that module files can have behind `.ko`.
pub const COMPRESSED: [&str; 3] = [".xz", ".zst", ".gz"];

/// The module that a file holds, if its name is that of one: `kernel/fs/nls/nls_cp437.ko.xz` is `nls_cp437`.
pub fn of_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let name = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    name.strip_suffix(".ko").filter(|name| !name.is_empty()).map(|name| name.replace('-', "_"))
}

/// The name that was asked for, without the ending of a file.
pub fn asked(name: &str) -> String {
    of_file(Path::new(name)).unwrap_or_else(|| plain(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files_and_dashes_are_underscores() {
        assert_eq!(of_file(Path::new("kernel/arch/x86/crypto/crc32c-intel.ko.zst")).as_deref(), Some("crc32c_intel"));
        assert_eq!(of_file(Path::new("modules.dep")), None);
        assert_eq!(of_file(Path::new("x/.ko")), None);
        assert_eq!(plain("of:N*T*Cnxp,imx-[0-9]-*"), "of:N*T*Cnxp,imx_[0-9]_*");
        assert_eq!(asked("virtio-net.ko"), "virtio_net");
    }
}
