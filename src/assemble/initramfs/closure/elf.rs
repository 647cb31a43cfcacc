//! What an ELF file says about the files it needs (`elf(5)`; System V gABI, "Dynamic Linking").
//!
//! Only what the loader reads is looked at: program headers and the dynamic section. Section headers may be stripped.

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Sym};
use object::{Endianness, FileKind};

use super::dlopen::{self, Dlopen};

/// What files have to have in common to be loaded into one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Abi {
    /// 64 bits and not 32.
    pub is_64: bool,
    /// Least significant byte first.
    pub little: bool,
    /// `EM_*`.
    pub machine: u16,
}

/// A program or library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which process it fits into.
    pub abi: Abi,
    /// `PT_INTERP`: the loader of a program.
    pub interpreter: Option<String>,
    /// `DT_SONAME`
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// `DT_RPATH`, unless there is a `DT_RUNPATH`, which disables it.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`
    pub runpath: Option<String>,
    /// `DF_1_NODEFLIB`: default directories are not searched.
    pub no_default_dirs: bool,
    /// Is loaded at the place that it names (`ET_EXEC`), as only programs are.
    pub is_program: bool,
    /// Has a dynamic section: is not a plain static program.
    pub dynamic: bool,
    /// Libraries that are opened at run time, if the file says so.
    pub dlopens: Vec<Dlopen>,
    /// Takes functions from elsewhere for which glibc opens libgcc_s at run time.
    pub cancels_threads: bool,
}

/// No path is longer (`PATH_MAX` of Linux).
const LONGEST_NAME: usize = 4096;
/// The names of all libraries that one file needs are not longer than this; in a damaged file each of many entries can
/// name the same long text.
const LONGEST_NAMES: usize = 1 << 20;
/// Files have few segments with notes; in a damaged one, thousands can be the same.
const MOST_NOTE_SEGMENTS: usize = 64;

/// Whether the bytes begin as an ELF file does.
#[must_use]
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&elf::ELFMAG)
}

/// Reads an ELF program or library.
///
/// # Errors
/// A sentence about what is damaged.
pub fn parse(bytes: &[u8]) -> Result<Object, String> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf32) => parse_class::<FileHeader32<Endianness>>(bytes),
        Ok(FileKind::Elf64) => parse_class::<FileHeader64<Endianness>>(bytes),
        Ok(_) => Err("not an ELF file".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_class<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Object, String> {
    let said = |error: object::read::Error| error.to_string();
    let header = Elf::parse(bytes).map_err(said)?;
    let endian = header.endian().map_err(said)?;
    let segments = header.program_headers(endian, bytes).map_err(said)?;
    let abi =
        Abi { is_64: header.is_class_64(), little: header.is_little_endian(), machine: header.e_machine(endian).0 };
    let mut object = Object { is_program: header.e_type(endian) == elf::ET_EXEC, ..Object::nothing(abi) };
    // Of several, the kernel takes the first loader, and the loader the last dynamic section.
    if let Some(segment) = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        object.interpreter = segment.interpreter(endian, bytes).map_err(said)?.map(text);
    }
    if let Some(segment) = segments.iter().rfind(|segment| segment.p_type(endian) == elf::PT_DYNAMIC)
        && let Some(entries) = segment.dynamic(endian, bytes).map_err(said)?
    {
        object.dynamic = true;
        Dynamic::<Elf>::read(endian, bytes, segments, entries).fill(&mut object)?;
    }
    for segment in segments.iter().filter(|s| s.p_type(endian) == elf::PT_NOTE).take(MOST_NOTE_SEGMENTS) {
        // A damaged note hinders no loader.
        if let Ok(Some(mut notes)) = segment.notes(endian, bytes) {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == dlopen::OWNER && note.n_type(endian).0 == dlopen::TYPE {
                    object.dlopens.extend(dlopen::parse(note.desc()));
                }
            }
        }
    }
    Ok(object)
}

impl Object {
    fn nothing(abi: Abi) -> Self {
        Self {
            abi,
            interpreter: None,
            soname: None,
            needed: vec![],
            rpath: None,
            runpath: None,
            no_default_dirs: false,
            is_program: false,
            dynamic: false,
            dlopens: vec![],
            cancels_threads: false,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The dynamic section, with the tables that it points at.
struct Dynamic<'data, Elf: FileHeader> {
    endian: Elf::Endian,
    bytes: &'data [u8],
    segments: &'data [Elf::ProgramHeader],
    entries: Vec<(elf::DynamicTag, u64)>,
}

impl<'data, Elf: FileHeader<Endian = Endianness>> Dynamic<'data, Elf> {
    fn read(
        endian: Elf::Endian,
        bytes: &'data [u8],
        segments: &'data [Elf::ProgramHeader],
        entries: &'data [Elf::Dyn],
    ) -> Self {
        let entries = entries.iter().map(|e| (e.tag(endian), e.val(endian)));
        let entries = entries.take_while(|(tag, _)| *tag != elf::DT_NULL).collect();
        Self { endian, bytes, segments, entries }
    }

    fn value(&self, wanted: elf::DynamicTag) -> Option<u64> {
        self.entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value)
    }

    /// All bytes of the file from the one that is loaded at `address` to the end of its segment.
    fn at(&self, address: u64) -> Option<&'data [u8]> {
        self.segments.iter().filter(|s| s.p_type(self.endian) == elf::PT_LOAD).find_map(|segment| {
            let into = address.checked_sub(segment.p_vaddr(self.endian).into())?;
            // Cut short is read as far as it goes: what is needed from it is checked by whoever reads.
            let start: u64 = segment.p_offset(self.endian).into();
            let end = start.saturating_add(segment.p_filesz(self.endian).into()).min(self.bytes.len() as u64);
            let from = start.checked_add(into)?;
            if from >= end {
                return None;
            }
            self.bytes.get(usize::try_from(from).ok()?..usize::try_from(end).ok()?)
        })
    }

    /// The text at a place of the string table, if it is not longer than `most`.
    fn string(strings: &[u8], offset: u64, most: usize) -> Result<String, String> {
        let rest = usize::try_from(offset).ok().and_then(|o| strings.get(o..));
        let rest = rest.ok_or("a name in the dynamic section lies outside of the string table")?;
        match rest.iter().take(most.saturating_add(1)).position(|&b| b == 0) {
            Some(end) => Ok(text(&rest[..end])),
            None if rest.len() > most => Err(format!("a name in the dynamic section is longer than {most} bytes")),
            None => Err("a name in the dynamic section lies outside of the string table".into()),
        }
    }

    /// The text that the last entry of this kind names.
    fn last(&self, strings: &[u8], wanted: elf::DynamicTag) -> Result<Option<String>, String> {
        let entry = self.entries.iter().rfind(|(tag, _)| *tag == wanted);
        entry.map(|(_, value)| Self::string(strings, *value, usize::MAX)).transpose()
    }

    fn fill(&self, object: &mut Object) -> Result<(), String> {
        let strings = self.value(elf::DT_STRTAB).and_then(|address| self.at(address)).unwrap_or_default();
        let size = self.value(elf::DT_STRSZ).and_then(|size| usize::try_from(size).ok());
        let strings = size.and_then(|size| strings.get(..size)).unwrap_or(strings);
        let mut len = 0;
        for (_, value) in self.entries.iter().filter(|(tag, _)| *tag == elf::DT_NEEDED) {
            let name = Self::string(strings, *value, LONGEST_NAME)?;
            len += name.len() + 1;
            if len > LONGEST_NAMES {
                return Err(format!("the names of the libraries it needs are longer than {LONGEST_NAMES} bytes"));
            }
            object.needed.push(name);
        }
        object.soname = self.last(strings, elf::DT_SONAME)?;
        object.rpath = self.last(strings, elf::DT_RPATH)?;
        object.runpath = self.last(strings, elf::DT_RUNPATH)?;
        let flags = self.entries.iter().rfind(|(tag, _)| *tag == elf::DT_FLAGS_1);
        object.no_default_dirs = flags.is_some_and(|(_, value)| value & elf::DF_1_NODEFLIB.0 != 0);
        if object.runpath.is_some() {
            object.rpath = None;
        }
        object.cancels_threads = self.takes(strings, &[b"pthread_cancel", b"pthread_exit"]);
        Ok(())
    }

    /// Whether a symbol of one of these names is taken from another file.
    fn takes(&self, strings: &[u8], names: &[&[u8]]) -> bool {
        let Some(table) = self.value(elf::DT_SYMTAB).and_then(|address| self.at(address)) else { return false };
        let count = self.symbols_that_may_be_undefined().unwrap_or(0).min(table.len() / size_of::<Elf::Sym>());
        let Ok((symbols, _)) = object::pod::slice_from_bytes::<Elf::Sym>(table, count) else { return false };
        symbols.iter().filter(|symbol| symbol.is_undefined(self.endian)).any(|symbol| {
            let name = strings.get(symbol.st_name(self.endian) as usize..).unwrap_or_default();
            names.iter().any(|n| name.strip_prefix(*n).is_some_and(|rest| rest.first() == Some(&0)))
        })
    }

    /// The number of symbols at the beginning of the table among which all the undefined ones are. The table's length is
    /// written nowhere; but both kinds of hash table tell it, the GNU one by leaving out what is undefined.
    fn symbols_that_may_be_undefined(&self) -> Option<usize> {
        let second_word = |table: elf::DynamicTag| {
            let word: [u8; 4] = self.at(self.value(table)?)?.get(4..8)?.try_into().ok()?;
            Some(if self.endian == Endianness::Little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
        };
        second_word(elf::DT_GNU_HASH).or_else(|| second_word(elf::DT_HASH)).map(|count| count as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library of 64 bits: program headers of these kinds (all from byte 0 on, except the last, a dynamic section with
    /// `entries`), and a string table that is `strings`.
    fn library(kinds: &[elf::ProgramType], entries: &[(elf::DynamicTag, u64)], strings: &[u8]) -> Vec<u8> {
        let dynamic = 64 + 56 * kinds.len() as u64;
        let table = dynamic + 16 * (entries.len() as u64 + 2);
        let end = table + strings.len() as u64;
        let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
        for word in [0, 64, 0] {
            out.extend(u64::to_le_bytes(word));
        }
        out.extend([0, 0, 0, 0, 64, 0, 56, 0]);
        out.extend((kinds.len() as u16).to_le_bytes());
        out.extend([0; 6]);
        for kind in kinds {
            let start = if *kind == elf::PT_DYNAMIC { dynamic } else { 0 };
            let len = if *kind == elf::PT_DYNAMIC { table - dynamic } else { end };
            out.extend(kind.0.to_le_bytes());
            out.extend([0; 4]);
            [start, start, start, len, len, 4].iter().for_each(|word| out.extend(word.to_le_bytes()));
        }
        for (tag, value) in entries.iter().chain(&[(elf::DT_STRTAB, table), (elf::DT_NULL, 0)]) {
            out.extend(tag.0.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out.extend(strings);
        out
    }

    #[test]
    fn small_files_stay_small() {
        let kinds = [elf::PT_LOAD, elf::PT_DYNAMIC];
        let object = parse(&library(&kinds, &[(elf::DT_NEEDED, 0), (elf::DT_SONAME, 2)], b"a\0b\0")).unwrap();
        assert_eq!((object.needed, object.soname.as_deref()), (vec!["a".to_owned()], Some("b")));
        // Ten thousand times the same long name.
        let long = [vec![b'x'; 100_000], vec![0]].concat();
        let why = parse(&library(&kinds, &[(elf::DT_NEEDED, 0); 10_000], &long)).err().unwrap();
        assert_eq!(why, "a name in the dynamic section is longer than 4096 bytes");
        let why = parse(&library(&kinds, &[(elf::DT_NEEDED, 97_000); 10_000], &long)).err().unwrap();
        assert_eq!(why, "the names of the libraries it needs are longer than 1048576 bytes");
        // A search path is a list, which can be longer.
        let object = parse(&library(&kinds, &[(elf::DT_RUNPATH, 0); 10_000], &long)).unwrap();
        assert_eq!(object.runpath.unwrap().len(), 100_000);
    }

    #[test]
    fn one_dynamic_section_counts() {
        let entries = [(elf::DT_NEEDED, 0); 3];
        let mut kinds = vec![elf::PT_DYNAMIC; 60_000];
        kinds.push(elf::PT_LOAD);
        assert_eq!(parse(&library(&kinds, &entries, b"a\0")).unwrap().needed.len(), 3);
    }
}
