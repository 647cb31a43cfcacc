//! FAT, written in user space: no tool, no mount, no kernel support needed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use fatfs::{Date, DateTime, Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use fscommon::{BufStream, StreamSlice};

use super::filesystem::{Job, TooSmall};
use super::identity::volume_id;
use crate::error::on;

/// Fewer clusters than this make a FAT16 (Microsoft's FAT specification); a margin for the tables is included.
const FAT32_CLUSTERS: u64 = 66_000;
/// Up to here a FAT32 has clusters of one 512-byte sector (mkfs.fat does the same).
const SMALL_FAT32: u64 = 260 << 20;
/// Copied at a time.
const CHUNK: usize = 1 << 20;

type Disk = BufStream<StreamSlice<File>>;

/// Makes and fills it; see [`super::filesystem::fill`]. Owners and modes are lost, links and devices refused.
///
/// # Errors
/// As there.
pub fn fill(job: &Job, source: Option<&Path>) -> Result<()> {
    let file = File::options().read(true).write(true).open(job.image).with_context(|| on("opening", job.image))?;
    let end = job.extent.start + job.extent.length;
    let slice = StreamSlice::new(file, job.extent.start, end).context("seeking in the image")?;
    let mut disk = BufStream::new(slice);
    let options = format_options(job)?;
    NOW.set(dos_time(0));
    if let Err(err) = fatfs::format_volume(&mut disk, options) {
        let small = ["too small", "unfortunate disk size", "FAT type"].iter().any(|w| err.to_string().contains(w));
        let error = anyhow::Error::from(err).context("formatting");
        return Err(if small { TooSmall::new(job, source, format!("{error:#}")).into() } else { error });
    }
    disk.seek(SeekFrom::Start(0)).context("seeking in the image")?;
    let fs = FileSystem::new(disk, FsOptions::new().time_provider(&CLOCK)).context("opening what was formatted")?;
    // Counts the free clusters, which are stored on unmount.
    fs.stats().context("counting free clusters")?;
    if let Some(source) = source {
        let mut buffer = vec![0; CHUNK];
        copy_dir(source, &fs.root_dir(), job.epoch, &mut buffer).map_err(|error| no_room(error, job, source))?;
    }
    fs.unmount().context("finishing the filesystem")
}

/// The crate reports a full filesystem in words, a full host disk with its errno.
fn no_room(error: anyhow::Error, job: &Job, source: &Path) -> anyhow::Error {
    let full = |e: &io::Error| e.raw_os_error().is_none() && e.to_string().contains("No space left on device");
    if error.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(full)) {
        return TooSmall::new(job, Some(source), error.to_string()).into();
    }
    error
}

fn format_options(job: &Job) -> Result<FormatVolumeOptions> {
    let label = job.filesystem.label.to_uppercase();
    ensure!(label.is_ascii() && label.len() <= 11, "the FAT label '{label}' is not up to 11 ASCII letters");
    let mut padded = [b' '; 11];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    let sector = u64::from(job.sector_size);
    let asked = Asked::read(&job.filesystem.options)?;
    let mut options = FormatVolumeOptions::new()
        .bytes_per_sector(u16::try_from(sector).context("a sector is at most 4096 bytes")?)
        .volume_id(asked.volume_id.unwrap_or_else(|| volume_id(job.uuid)));
    if !label.is_empty() {
        options = options.volume_label(padded);
    }
    // Firmware expects FAT32 on a disk; smaller ones only where there are not enough clusters for it.
    let kind = asked.kind.unwrap_or(match job.extent.length / sector >= FAT32_CLUSTERS {
        true => FatType::Fat32,
        false if job.extent.length < 4 << 20 => FatType::Fat12,
        false => FatType::Fat16,
    });
    options = options.fat_type(kind);
    let cluster = match (asked.sectors_per_cluster, kind) {
        (Some(sectors), _) => Some(sectors * sector),
        (None, FatType::Fat32) if job.extent.length <= SMALL_FAT32 => Some(sector),
        _ => None,
    };
    if let Some(cluster) = cluster {
        let cluster = u32::try_from(cluster).ok().filter(|c| c.is_power_of_two() && *c <= 65536);
        options = options.bytes_per_cluster(cluster.context("a FAT cluster is a power of two up to 64 KiB")?);
    }
    Ok(options)
}

/// Those options of mkfs.vfat that have a meaning here.
#[derive(Default)]
struct Asked {
    kind: Option<FatType>,
    sectors_per_cluster: Option<u64>,
    volume_id: Option<u32>,
}

impl Asked {
    fn read(options: &[String]) -> Result<Self> {
        let mut asked = Self::default();
        let mut words = options.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (flag, joined) = word.split_at_checked(2).unwrap_or((word, ""));
            let mut value = || if joined.is_empty() { words.next().unwrap_or("") } else { joined };
            match flag {
                "-F" => {
                    asked.kind = Some(match value() {
                        "12" => FatType::Fat12,
                        "16" => FatType::Fat16,
                        "32" => FatType::Fat32,
                        other => bail!("-F takes 12, 16 or 32, not '{other}'"),
                    });
                }
                "-s" => {
                    let text = value();
                    let count = text.parse().with_context(|| format!("-s takes a number, not '{text}'"))?;
                    asked.sectors_per_cluster = Some(count);
                }
                "-i" => {
                    let text = value();
                    let id = u32::from_str_radix(text, 16);
                    asked.volume_id = Some(id.with_context(|| format!("-i takes a hexadecimal number, not '{text}'"))?);
                }
                _ => bail!("the vfat option '{word}' is not supported; -F, -s and -i are"),
            }
        }
        Ok(asked)
    }
}

fn copy_dir(source: &Path, target: &Dir<Disk>, epoch: Option<i64>, buffer: &mut [u8]) -> Result<()> {
    let mut children = BTreeMap::new();
    for child in std::fs::read_dir(source).with_context(|| on("listing", source))? {
        let path = child.with_context(|| on("listing", source))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
        let name = name.with_context(|| format!("FAT cannot store the name of {}", path.display()))?;
        // FAT does not tell upper from lower case.
        if let Some((other, _)) = children.insert(name.to_lowercase(), (name.clone(), path)) {
            bail!("{} and {other} in {} have the same name on FAT", name, source.display());
        }
    }
    for (name, path) in children.values() {
        let meta = path.symlink_metadata().with_context(|| on("looking at", path))?;
        let storing = || on("storing", path);
        NOW.set(dos_time(meta.mtime().min(epoch.unwrap_or(i64::MAX))));
        if meta.is_dir() {
            let dir = target.create_dir(name).with_context(storing)?;
            copy_dir(path, &dir, epoch, buffer)?;
        } else if meta.is_file() {
            let mut from = File::open(path).with_context(|| on("opening", path))?;
            let mut to = target.create_file(name).with_context(storing)?;
            loop {
                let n = from.read(buffer).with_context(|| on("reading", path))?;
                if n == 0 {
                    break;
                }
                to.write_all(&buffer[..n]).with_context(storing)?;
            }
            to.flush().with_context(storing)?;
        } else {
            bail!("FAT holds files and directories only, and {} is neither", path.display());
        }
    }
    Ok(())
}

thread_local! {
    /// The time that the FAT crate stamps entries with: that of the file being copied.
    static NOW: Cell<DateTime> = const { Cell::new(DateTime {
        date: Date { year: 1980, month: 1, day: 1 },
        time: Time { hour: 0, min: 0, sec: 0, millis: 0 },
    }) };
}

#[derive(Debug)]
struct Clock;
static CLOCK: Clock = Clock;

impl TimeProvider for Clock {
    fn get_current_date(&self) -> Date {
        NOW.get().date
    }
    fn get_current_date_time(&self) -> DateTime {
        NOW.get()
    }
}

/// Seconds since 1970 as FAT's date and time, in UTC, within the years that it knows (1980 to 2107).
fn dos_time(seconds: i64) -> DateTime {
    let seconds = seconds.clamp(315_532_800, 4_354_819_199);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let rest = seconds.rem_euclid(86_400);
    let time = Time { hour: (rest / 3600) as u16, min: (rest / 60 % 60) as u16, sec: (rest % 60) as u16, millis: 0 };
    DateTime { date: Date { year, month, day }, time }
}

/// Year, month and day of a day number since 1970, in the Gregorian calendar (Hinnant's algorithm).
fn civil(days: i64) -> (u16, u16, u16) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u16, month as u16, day as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_within_what_fat_can_say() {
        let show = |s| {
            let t = dos_time(s);
            let (d, c) = (t.date, t.time);
            format!("{}-{:02}-{:02} {:02}:{:02}:{:02}", d.year, d.month, d.day, c.hour, c.min, c.sec)
        };
        assert_eq!(show(1_700_000_000), "2023-11-14 22:13:20");
        assert_eq!(show(1_709_210_096), "2024-02-29 12:34:56");
        assert_eq!(show(0), "1980-01-01 00:00:00");
        assert_eq!(show(i64::MAX), "2107-12-31 23:59:59");
    }

    #[test]
    fn options_that_mean_nothing_here_are_refused() {
        let words = |t: &str| t.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let asked = Asked::read(&words("-F 32 -s8 -i ABCD1234")).unwrap();
        assert_eq!(asked.sectors_per_cluster, Some(8));
        assert_eq!(asked.volume_id, Some(0xabcd_1234));
        assert!(Asked::read(&words("-c")).is_err());
    }
}
