//! Where a loader looks for libraries without being told: depends on the machine, the distribution and the libc.

use std::path::{Path, PathBuf};

use object::elf;

use super::elf::Abi;

/// Names that distributions have for a machine, and its 64-bit directory.
struct Machine {
    machine: u16,
    is_64: bool,
    little: bool,
    /// Debian's multi-arch names.
    triplets: &'static [&'static str],
    /// `$PLATFORM`
    platform: &'static str,
    /// Directory of RPM distributions.
    lib: &'static str,
}

const fn machine(
    machine: elf::Machine,
    is_64: bool,
    little: bool,
    triplets: &'static [&'static str],
    platform: &'static str,
    lib: &'static str,
) -> Machine {
    Machine { machine: machine.0, is_64, little, triplets, platform, lib }
}

const MACHINES: &[Machine] = &[
    machine(elf::EM_X86_64, true, true, &["x86_64-linux-gnu"], "x86_64", "lib64"),
    machine(elf::EM_X86_64, false, true, &["x86_64-linux-gnux32"], "x86_64", "libx32"),
    machine(elf::EM_386, false, true, &["i386-linux-gnu"], "i686", "lib"),
    machine(elf::EM_AARCH64, true, true, &["aarch64-linux-gnu"], "aarch64", "lib64"),
    machine(elf::EM_ARM, false, true, &["arm-linux-gnueabihf", "arm-linux-gnueabi"], "v7l", "lib"),
    machine(elf::EM_PPC64, true, true, &["powerpc64le-linux-gnu"], "powerpc64le", "lib64"),
    machine(elf::EM_PPC64, true, false, &["powerpc64-linux-gnu"], "powerpc64", "lib64"),
    machine(elf::EM_PPC, false, false, &["powerpc-linux-gnu"], "powerpc", "lib"),
    machine(elf::EM_S390, true, false, &["s390x-linux-gnu"], "s390x", "lib64"),
    machine(elf::EM_RISCV, true, true, &["riscv64-linux-gnu"], "riscv64", "lib64/lp64d"),
    machine(elf::EM_LOONGARCH, true, true, &["loongarch64-linux-gnu"], "loongarch64", "lib64"),
    machine(elf::EM_MIPS, true, true, &["mips64el-linux-gnuabi64"], "mips64", "lib64"),
    machine(elf::EM_MIPS, false, true, &["mipsel-linux-gnu"], "mips", "lib"),
];

fn find(abi: Abi) -> Option<&'static Machine> {
    MACHINES.iter().find(|m| m.machine == abi.machine && m.is_64 == abi.is_64 && m.little == abi.little)
}

/// The default directories of glibc's loader when the loader itself does not tell: those of Debian and of RPM
/// distributions. Libraries of another kind in them are passed over.
pub fn defaults(abi: Abi) -> Vec<PathBuf> {
    let known = find(abi);
    let triplets = known.map_or(&[][..], |m| m.triplets);
    let lib = known.map_or(if abi.is_64 { "lib64" } else { "lib" }, |m| m.lib);
    let mut names: Vec<String> = triplets.iter().map(|t| format!("lib/{t}")).collect();
    names.extend([lib.to_owned(), if abi.is_64 { "lib64" } else { "lib" }.to_owned(), "lib".to_owned()]);
    let mut dirs: Vec<PathBuf> = Vec::new();
    for name in &names {
        for prefix in ["/", "/usr/"] {
            let dir = PathBuf::from(format!("{prefix}{name}"));
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
    }
    dirs
}

/// What `$LIB` can stand for: it is compiled into each distribution's loader.
pub fn lib_names(abi: Abi) -> Vec<String> {
    let mut names: Vec<String> = find(abi)
        .into_iter()
        .flat_map(|m| m.triplets.iter().map(|t| format!("lib/{t}")).chain([m.lib.to_owned()]))
        .collect();
    for name in [if abi.is_64 { "lib64" } else { "lib" }, "lib"] {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// What `$PLATFORM` stands for.
pub fn platform(abi: Abi) -> &'static str {
    find(abi).map_or("", |m| m.platform)
}

/// The default directories that glibc's loader carries in itself (`SYSTEM_DIRS` of `elf/dl-load.c`): strings one behind
/// the other, each of which begins and ends with a slash.
pub fn of_loader(bytes: &[u8]) -> Option<Vec<PathBuf>> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.windows(5).position(|w| w == b"\0/lib" || w == b"\0/usr") {
        let start = from + at + 1;
        let dirs = row(&bytes[start..]);
        if dirs.len() >= 2 {
            return Some(dirs);
        }
        from = start;
    }
    None
}

fn row(bytes: &[u8]) -> Vec<PathBuf> {
    let is_dir = |s: &[u8]| s.len() > 2 && s[0] == b'/' && s[s.len() - 1] == b'/' && s.iter().all(u8::is_ascii_graphic);
    // No name here is longer; and a damaged file has no long row either.
    let strings = bytes.split(|&b| b == 0).take(16).take_while(|s| is_dir(s));
    strings.map(|s| PathBuf::from(String::from_utf8_lossy(&s[..s.len() - 1]).into_owned())).collect()
}

/// `x86_64` of musl's loader `/lib/ld-musl-x86_64.so.1`.
pub fn musl_arch(interpreter: &str) -> Option<&str> {
    let name = Path::new(interpreter).file_name()?.to_str()?;
    name.strip_prefix("ld-musl-")?.split(".so").next()
}

/// Whether a library is musl itself, under whatever name (`load_library` of `ldso/dynlink.c`).
pub fn is_musl_itself(name: &str) -> bool {
    const RESERVED: [&str; 7] = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
    name.strip_prefix("lib").is_some_and(|rest| RESERVED.iter().any(|r| rest.starts_with(r)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_tells_its_directories() {
        let loader =
            std::fs::read("/lib64/ld-linux-x86-64.so.2").or_else(|_| std::fs::read("/lib/ld-linux-aarch64.so.1"));
        let Ok(loader) = loader else { return };
        let dirs = of_loader(&loader).unwrap();
        assert!(dirs.contains(&PathBuf::from("/usr/lib")) || dirs.contains(&PathBuf::from("/usr/lib64")), "{dirs:?}");
        assert!(of_loader(b"\0/lib64/ is a place\0/usr\0").is_none());
        let rpm = of_loader(b"x\0/lib64/\0/usr/lib64/\0y").unwrap();
        assert_eq!(rpm, ["/lib64", "/usr/lib64"].map(PathBuf::from));
    }

    #[test]
    fn names_of_musl() {
        assert_eq!(musl_arch("/lib/ld-musl-x86_64.so.1"), Some("x86_64"));
        assert_eq!(musl_arch("/lib64/ld-linux-x86-64.so.2"), None);
        assert!(is_musl_itself("libc.musl-x86_64.so.1") && is_musl_itself("libpthread.so.0"));
        assert!(!is_musl_itself("libcrypt.so.1"));
    }
}
