//! Whether this machine's clock is wrong, as far as keys, repository data and servers tell.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::exec::command::Cmd;
use crate::package::openpgp;

/// Seconds that a signature may be ahead: clocks are never quite the same.
const SLACK: i64 = 600;
/// Seconds that a server's clock may differ; certificates are valid for months.
const A_DAY: i64 = 86400;

/// A sentence (without its full stop) about how this machine's clock differs: from when one of `keys` was made, from
/// the data of the repositories in the cache below `root`, or from what the server of `url` says. `None` when
/// it does not, or nothing is known.
pub(super) fn difference(keys: &[PathBuf], root: &Path, url: Option<&str>) -> Option<String> {
    let key = keys.iter().find_map(|file| made_in_future(file, openpgp::created(&fs::read(file).ok()?).iter().max()));
    key.or_else(|| future_data(root)).or_else(|| url.and_then(server))
}

/// About a file all of whose keys are from the future.
pub(super) fn future_key(file: &Path) -> Option<String> {
    made_in_future(file, openpgp::created(&fs::read(file).ok()?).iter().min())
}

fn made_in_future(file: &Path, created: Option<&u64>) -> Option<String> {
    let created = i64::try_from(*created?).ok()?;
    sentence(created, &format!("the key {} was made", file.display()))
}

/// About repository data from the future: what `repomd.xml` says of its files.
fn future_data(root: &Path) -> Option<String> {
    let caches = ["dnf", "libdnf5"].map(|name| root.join("var/cache").join(name));
    let dirs = caches.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    dirs.map(|dir| dir.path().join("repodata/repomd.xml")).find_map(|file| {
        let text = fs::read_to_string(&file).ok()?;
        let stamps = text.split("<timestamp>").skip(1).filter_map(|rest| rest.split(['<', '.']).next());
        let newest: i64 = stamps.filter_map(|stamp| stamp.trim().parse().ok()).max()?;
        let id = file.parent()?.parent()?.file_name()?.to_string_lossy().into_owned();
        // The cache's folder is called ID-HASH.
        let id = id.rsplit_once('-').map_or(id.as_str(), |(id, _)| id).to_owned();
        sentence(newest, &format!("the data of repository '{id}' was made"))
    })
}

/// About a server with another time. Its certificate is not looked at: nothing but a clock is read.
fn server(url: &str) -> Option<String> {
    let head = Cmd::new("curl").args(["-skI", "--max-time", "10", url]).read().ok()?;
    let date = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| DateTime::parse_from_rfc2822(value.trim()).ok())?
    })?;
    let away = (date.timestamp() - Utc::now().timestamp()).abs() > A_DAY;
    away.then(|| format!("this machine's clock says {}, the server's {}", shown(Utc::now()), shown(date.to_utc())))
}

fn sentence(then: i64, what: &str) -> Option<String> {
    let now = Utc::now();
    let then = DateTime::from_timestamp(then, 0)?;
    (then.timestamp() > now.timestamp() + SLACK)
        .then(|| format!("this machine's clock says {}, {what} {}", shown(now), shown(then)))
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_from_the_future_is_found_in_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("var/cache/dnf/my-repo-0123456789abcdef/repodata");
        fs::create_dir_all(&dir).unwrap();
        let write = |stamp: &str| fs::write(dir.join("repomd.xml"), format!("<a><timestamp>{stamp}</timestamp></a>"));
        write("1700000000").unwrap();
        assert_eq!(difference(&[], root.path(), None), None);
        write("4102444800.5").unwrap();
        let told = difference(&[], root.path(), None).unwrap();
        assert!(told.ends_with("the data of repository 'my-repo' was made 2100-01-01 00:00 UTC"), "{told}");
    }
}
