//! What a module says about itself: the section `.modinfo`, strings of the form `key=value`.

use std::path::Path;

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, FileKind};

use super::compressed;

/// The fields of a module, in order; a key can come more than once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modinfo(Vec<(String, String)>);

impl Modinfo {
    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Names in the lists of a key: `depends=a,b`.
    pub fn list<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(key).flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
    }
}

/// Reads a module file, compressed or not.
///
/// # Errors
/// A sentence that names the file.
pub fn read(path: &Path, bytes: Vec<u8>) -> Result<Modinfo, String> {
    let damaged = |why: String| format!("{} is a damaged module: {why}", path.display());
    let bytes = compressed::unpacked(bytes).map_err(|error| damaged(error.to_string()))?;
    match FileKind::parse(bytes.as_slice()) {
        Ok(FileKind::Elf32) => section::<FileHeader32<Endianness>>(&bytes).map_err(|e| damaged(e.to_string())),
        Ok(FileKind::Elf64) => section::<FileHeader64<Endianness>>(&bytes).map_err(|e| damaged(e.to_string())),
        Ok(_) => Err(damaged("no ELF file".into())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn section<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> object::read::Result<Modinfo> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    match header.sections(endian, bytes)?.section_by_name(endian, b".modinfo") {
        Some((_, section)) => Ok(Modinfo(fields(section.data(endian, bytes)?).collect())),
        None => Ok(Modinfo::default()),
    }
}

/// `key=value` strings, each with a zero at its end.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (String, String)> {
    bytes.split(|&b| b == 0).filter_map(|field| {
        let field = String::from_utf8_lossy(field);
        field.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    })
}

/// The aliases of what is built in, as pairs of alias and module, from `modules.builtin.modinfo`.
pub fn builtin_aliases(bytes: &[u8]) -> Vec<(String, String)> {
    let aliases = fields(bytes).filter_map(|(key, alias)| {
        let (module, key) = key.split_once('.')?;
        (key == "alias").then(|| (alias, module.to_owned()))
    });
    aliases.collect()
}
