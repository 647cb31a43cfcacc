//! The numbers of a FAT filesystem: which kind, how large its clusters, where its parts lie.

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::plan::disk::Extent;

/// FAT12, 16 or 32: how many bits an entry of the table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up to 4084 clusters.
    Fat12,
    /// Up to 65524.
    Fat16,
    /// At least 65525.
    Fat32,
}

impl Kind {
    /// The numbers of clusters that make it this kind: readers decide by them alone.
    fn clusters(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Fat12 => 1..=4084,
            Self::Fat16 => 4085..=65_524,
            Self::Fat32 => 65_525..=0x0fff_fff4,
        }
    }

    fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// Table entries as they are stored.
    pub fn encode(self, entries: &[u32]) -> Vec<u8> {
        match self {
            Self::Fat32 => entries.iter().flat_map(|e| e.to_le_bytes()).collect(),
            Self::Fat16 => entries.iter().flat_map(|e| (*e as u16).to_le_bytes()).collect(),
            Self::Fat12 => {
                // Two entries share three bytes.
                let pair = |p: &[u32]| {
                    let (a, b) = (p[0] & 0xfff, p.get(1).map_or(0, |b| b & 0xfff));
                    [a as u8, (a >> 8 | b << 4) as u8, (b >> 4) as u8]
                };
                entries.chunks(2).flat_map(pair).collect()
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAT{}", self.bits())
    }
}

/// Those options of mkfs.vfat that have a meaning here.
#[derive(Debug, Default)]
pub struct Request {
    /// `-F`.
    pub kind: Option<Kind>,
    /// `-s`.
    pub sectors_per_cluster: Option<u32>,
    /// `-i`.
    pub volume_id: Option<u32>,
}

impl Request {
    /// Reads the layout's options.
    ///
    /// # Errors
    /// On an option without a meaning here, or a bad value.
    pub fn read(options: &[String]) -> Result<Self> {
        let mut request = Self::default();
        let mut words = options.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (flag, joined) = word.split_at_checked(2).unwrap_or((word, ""));
            let mut value = || if joined.is_empty() { words.next().unwrap_or("") } else { joined };
            match flag {
                "-F" => {
                    request.kind = Some(match value() {
                        "12" => Kind::Fat12,
                        "16" => Kind::Fat16,
                        "32" => Kind::Fat32,
                        other => bail!("-F takes 12, 16 or 32, not '{other}'"),
                    });
                }
                "-s" => {
                    let text = value();
                    let count = text.parse().ok().filter(|n: &u32| n.is_power_of_two() && *n <= 128);
                    let count = count.with_context(|| format!("-s takes a power of two up to 128, not '{text}'"))?;
                    request.sectors_per_cluster = Some(count);
                }
                "-i" => {
                    let text = value();
                    let id = u32::from_str_radix(text, 16);
                    let id = id.with_context(|| format!("-i takes a hexadecimal number, not '{text}'"))?;
                    request.volume_id = Some(id);
                }
                _ => bail!("the vfat option '{word}' is not supported; -F, -s and -i are"),
            }
        }
        Ok(request)
    }
}

/// A FAT filesystem's numbers.
#[derive(Debug)]
pub struct Geometry {
    /// Its kind.
    pub kind: Kind,
    /// Bytes per sector.
    pub sector: u32,
    /// Entries of the root directory; 0 for FAT32, whose root is like any other directory.
    pub root_entries: u32,
    /// Clusters that there are.
    pub clusters: u32,
    sectors: u32,
    reserved: u32,
    sectors_per_cluster: u32,
    sectors_per_table: u32,
}

impl Geometry {
    /// The media descriptor of a disk that cannot be taken out.
    pub const MEDIA: u8 = 0xf8;

    /// Chooses the kind by size unless one is asked for: FAT32 from 66000 clusters on, because firmware expects it on
    /// a disk, and the smallest clusters that do.
    ///
    /// # Errors
    /// A sentence, when nothing fits.
    pub fn choose(extent: Extent, sector: u32, request: &Request) -> Result<Self, String> {
        let sectors = u32::try_from(extent.length / u64::from(sector)).map_err(|_| "FAT ends at 2^32 sectors")?;
        let kinds = match request.kind {
            Some(kind) => vec![kind],
            None => vec![Kind::Fat32, Kind::Fat16, Kind::Fat12],
        };
        let fits = kinds.into_iter().find_map(|kind| match request.sectors_per_cluster {
            Some(count) => Self::with(kind, sector, sectors, count),
            None => {
                let first = default_cluster(kind, extent.length).max(sector) / sector;
                let counts = (0..).map(|i| first << i).take_while(|n| *n <= 128);
                counts.into_iter().find_map(|count| Self::with(kind, sector, sectors, count))
            }
        });
        fits.ok_or_else(|| match request.kind {
            Some(kind) => format!("{} sectors cannot be divided into the clusters of a {kind}", sectors),
            None => format!("{} sectors cannot be divided into clusters", sectors),
        })
    }

    fn with(kind: Kind, sector: u32, sectors: u32, sectors_per_cluster: u32) -> Option<Self> {
        let (reserved, root_entries) = if kind == Kind::Fat32 { (32, 0) } else { (1, 512) };
        let root = (root_entries * 32u32).div_ceil(sector);
        let space = sectors.checked_sub(reserved + root)?;
        // The tables are sized as if they took no room themselves: a little too large is allowed.
        let most = u64::from(space / sectors_per_cluster) + 2;
        let sectors_per_table = u32::try_from((most * kind.bits()).div_ceil(8 * u64::from(sector))).ok()?;
        let clusters = space.checked_sub(2 * sectors_per_table)? / sectors_per_cluster;
        let found =
            Self { kind, sector, root_entries, clusters, sectors, reserved, sectors_per_cluster, sectors_per_table };
        kind.clusters().contains(&u64::from(clusters)).then_some(found)
    }

    /// Bytes per cluster.
    pub fn cluster_bytes(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * u64::from(self.sector)
    }

    /// Clusters that `bytes` take.
    pub fn clusters_of(&self, bytes: u32) -> u32 {
        u32::try_from(u64::from(bytes).div_ceil(self.cluster_bytes())).expect("not more clusters than bytes")
    }

    fn bytes(&self, sectors: u32) -> u64 {
        u64::from(sectors) * u64::from(self.sector)
    }

    /// Where a copy of the table starts.
    pub fn table_at(&self, copy: u32) -> u64 {
        self.bytes(self.reserved) + u64::from(copy) * self.bytes(self.sectors_per_table)
    }

    /// Where the root directory of a FAT12 or FAT16 starts.
    pub fn root_at(&self) -> u64 {
        self.table_at(2)
    }

    /// Where a cluster starts; the first has the number 2.
    pub fn cluster_at(&self, number: u32) -> u64 {
        self.root_at() + u64::from(self.root_entries) * 32 + u64::from(number - 2) * self.cluster_bytes()
    }

    /// The first sector (its first 512 bytes) of a partition that starts at sector `hidden` of its disk.
    pub fn boot_sector(&self, volume_id: u32, label: &Option<[u8; 11]>, hidden: u64) -> [u8; 512] {
        let wide = self.kind == Kind::Fat32;
        let mut s = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| s[at..at + bytes.len()].copy_from_slice(bytes);
        let code = if wide { 0x5a } else { 0x3e };
        put(0, &[0xeb, code - 2, 0x90]);
        put(3, b"MSWIN4.1");
        put(11, &(self.sector as u16).to_le_bytes());
        put(13, &[self.sectors_per_cluster as u8]);
        put(14, &(self.reserved as u16).to_le_bytes());
        put(16, &[2]);
        put(17, &(self.root_entries as u16).to_le_bytes());
        let short = u16::try_from(self.sectors).ok().filter(|_| !wide);
        put(19, &short.unwrap_or(0).to_le_bytes());
        put(21, &[Self::MEDIA]);
        let table = if wide { 0 } else { self.sectors_per_table as u16 };
        put(22, &table.to_le_bytes());
        // Sectors per track and heads, as every BIOS assumes.
        put(24, &[63, 0, 255, 0]);
        put(28, &u32::try_from(hidden).unwrap_or(0).to_le_bytes());
        put(32, &if short.is_some() { 0 } else { self.sectors }.to_le_bytes());
        let tail = if wide {
            put(36, &self.sectors_per_table.to_le_bytes());
            // Root directory's cluster, information sector, copy of the boot sector.
            put(44, &[2, 0, 0, 0, 1, 0, 6, 0]);
            64
        } else {
            36
        };
        put(tail, &[0x80, 0, 0x29]);
        put(tail + 3, &volume_id.to_le_bytes());
        put(tail + 7, label.as_ref().unwrap_or(b"NO NAME    "));
        put(tail + 18, format!("{:<8}", self.kind.to_string()).as_bytes());
        // hlt; jmp to it: there is nothing to boot here.
        put(usize::from(code), &[0xf4, 0xeb, 0xfd]);
        put(510, &[0x55, 0xaa]);
        s
    }

    /// FAT32's sector with the number of free clusters and the first of them.
    pub fn info_sector(&self, used: u32) -> [u8; 512] {
        let mut s = [0u8; 512];
        s[0..4].copy_from_slice(b"RRaA");
        s[484..488].copy_from_slice(b"rrAa");
        s[488..492].copy_from_slice(&(self.clusters - used).to_le_bytes());
        s[492..496].copy_from_slice(&(used + 2).to_le_bytes());
        s[508..512].copy_from_slice(&[0, 0, 0x55, 0xaa]);
        s
    }
}

/// The cluster size to try first, in bytes: what mkfs.fat and Windows choose.
fn default_cluster(kind: Kind, length: u64) -> u32 {
    const MIB: u64 = 1 << 20;
    match kind {
        Kind::Fat12 => 512,
        Kind::Fat16 => 2048,
        Kind::Fat32 if length <= 260 * MIB => 512,
        Kind::Fat32 if length <= 8192 * MIB => 4096,
        Kind::Fat32 if length <= 16_384 * MIB => 8192,
        Kind::Fat32 if length <= 32_768 * MIB => 16_384,
        Kind::Fat32 => 32_768,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(mib: u64, sector: u32) -> Geometry {
        let extent = Extent { start: 0, length: mib << 20 };
        Geometry::choose(extent, sector, &Request::default()).unwrap()
    }

    #[test]
    fn the_kind_follows_from_the_size() {
        assert_eq!(choose(1, 512).kind, Kind::Fat12);
        assert_eq!(choose(20, 512).kind, Kind::Fat16);
        for mib in [40, 260, 261, 550, 40_000] {
            assert_eq!(choose(mib, 512).kind, Kind::Fat32, "{mib} MiB");
        }
        assert_eq!(choose(550, 512).cluster_bytes(), 4096);
        assert_eq!(choose(500, 4096).kind, Kind::Fat32);
        assert_eq!(choose(100, 4096).kind, Kind::Fat16);
    }

    #[test]
    fn the_table_covers_all_clusters() {
        for (mib, sector) in [(1, 512), (3, 512), (33, 512), (550, 512), (300, 4096)] {
            let g = choose(mib, sector);
            let room = u64::from(g.sectors_per_table) * u64::from(sector) * 8 / g.kind.bits();
            assert!(room >= u64::from(g.clusters) + 2);
            assert!(g.cluster_at(g.clusters + 1) + g.cluster_bytes() <= mib << 20);
        }
    }

    #[test]
    fn twelve_bits_are_packed() {
        assert_eq!(Kind::Fat12.encode(&[0x123, 0x456, 0x789]), [0x23, 0x61, 0x45, 0x89, 0x07, 0x00]);
    }

    #[test]
    fn options_that_mean_nothing_here_are_refused() {
        let words = |t: &str| t.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let request = Request::read(&words("-F 32 -s8 -i ABCD1234")).unwrap();
        assert_eq!((request.kind, request.sectors_per_cluster), (Some(Kind::Fat32), Some(8)));
        assert_eq!(request.volume_id, Some(0xabcd_1234));
        assert!(Request::read(&words("-c")).is_err());
        assert!(Request::read(&words("-s 3")).is_err());
    }
}
