//! The payload: an archive that is read by the tiny system's own decompressor and GNU tar.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::manifest::{Firmware, InitramfsPolicy, Manifest};

use super::command::{Cmd, last_lines};
use super::report::{Progress, Report};

/// The program that unpacks a payload, by the payload's name.
///
/// # Errors
/// When no program is known for it.
pub fn decompressor(payload: &str) -> Result<&'static str> {
    match payload.rsplit('.').next() {
        Some("xz") => Ok("xz"),
        Some("zst") => Ok("zstd"),
        _ => bail!("the payload {payload} is neither .tar.xz nor .tar.zst: the bundle is not made for this program"),
    }
}

/// What tar is told to look through the archive.
pub const LIST: [&str; 3] = ["--list", "--quoting-style=literal", "--file=-"];

/// What tar is told to unpack it with all that the files have.
pub const EXTRACT: [&str; 8] = [
    "--extract",
    "--file=-",
    "--numeric-owner",
    "--same-owner",
    "--preserve-permissions",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
];

/// [`EXTRACT`], into `root`.
#[must_use]
pub fn extract_words(root: &Path) -> Vec<String> {
    // The clock of a machine may be behind that of the builder.
    let fixed = EXTRACT.iter().chain(&["--warning=no-timestamp"]);
    let place = format!("--directory={}", root.display());
    fixed.map(|w| (*w).to_owned()).chain([place]).collect()
}

/// Sends a payload through its decompressor and tar to the end, and gives the names that tar tells if `keep` wants them.
///
/// # Errors
/// When either program fails, with what it said; also when tar ends before the archive does.
pub fn stream(
    payload: &Path,
    tar: &[String],
    what: &str,
    keep: fn(&str) -> bool,
    report: &mut Report,
) -> Result<BTreeSet<String>> {
    let name = payload.display().to_string();
    let unpack = Cmd::tool(decompressor(&name)?)?.arg("-dc");
    let tar = Cmd::tool("tar")?.args(tar);
    report.note(&format!("$ {} < {name} | {}", unpack.text(), tar.text()));
    let mut first = unpack.process();
    first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut first = first.spawn().with_context(|| format!("running {}", unpack.text()))?;
    let pipe = first.stdout.take().context("the decompressor has no output")?;
    // A larger pipe lets both run longer at a stretch; the usual one does as well.
    let _ = nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
    let mut second = tar.process();
    second.stdin(Stdio::from(pipe)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut second = second.spawn().with_context(|| format!("running {}", tar.text()))?;
    let names = second.stdout.take().map(|out| thread::spawn(move || names(out, keep)));
    let said = [listen(&mut first), listen(&mut second)];
    let fed = first.stdin.take().map_or(Ok(()), |stdin| feed(payload, stdin, what, report));
    let statuses = [first.wait()?, second.wait()?];
    let texts = said.map(|thread| thread.join().unwrap_or_default());
    texts.iter().for_each(|text| report.note(text));
    for ((status, text), cmd) in statuses.iter().zip(&texts).zip([&unpack, &tar]) {
        // A decompressor whose reader went away dies of that; tar tells why then.
        if !status.success() && (cmd.text() == tar.text() || statuses[1].success()) {
            bail!("{} of {name}: {status}\n{}", cmd.text(), last_lines(text));
        }
    }
    fed.with_context(|| format!("reading {name}"))?;
    Ok(names.map(|thread| thread.join().unwrap_or_default()).unwrap_or_default())
}

/// Feeds the decompressor. That it takes no more is no failure here: its exit status tells.
fn feed(payload: &Path, mut to: ChildStdin, what: &str, report: &mut Report) -> Result<()> {
    let mut file = File::open(payload)?;
    let mut progress = Progress::new(what, file.metadata()?.len());
    let mut buffer = vec![0; 1 << 18];
    let mut done = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            return Ok(());
        }
        done += count as u64;
        if let Some(line) = progress.line(done) {
            report.say(&line);
        }
    }
}

fn listen(child: &mut Child) -> thread::JoinHandle<String> {
    let stream = child.stderr.take();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut stream) = stream {
            // More than that is repetition; the pipe has to be emptied all the same.
            let _ = stream.by_ref().take(1 << 16).read_to_end(&mut said);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        String::from_utf8_lossy(&said).into_owned()
    })
}

fn names(out: impl Read, keep: fn(&str) -> bool) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let name = line.strip_prefix("./").unwrap_or(&line);
        if keep(name) {
            kept.insert(name.to_owned());
        }
    }
    kept
}

/// Whether a file of the payload is one that the steps after the wipe count on.
#[must_use]
pub fn counts(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let programs = ["grub2-install", "grub-install", "dracut", "update-initramfs", "init", "systemd", "fstab"];
    name.starts_with("boot/") || programs.contains(&base)
}

/// What the payload lacks that the steps after the wipe count on. `names` are those that [`counts`] keeps.
#[must_use]
pub fn missing(names: &BTreeSet<String>, manifest: &Manifest) -> Vec<String> {
    let program = |wanted: &[&str]| {
        names.iter().any(|name| name.split_once("bin/").is_some_and(|(_, base)| wanted.contains(&base)))
    };
    let mut lacks = Vec::new();
    let mut want = |there: bool, what: &str| {
        if !there {
            lacks.push(what.to_owned());
        }
    };
    want(names.contains(&format!("boot/vmlinuz-{}", manifest.kernel)), &format!("boot/vmlinuz-{}", manifest.kernel));
    want(names.contains("etc/fstab"), "etc/fstab");
    let configs = ["boot/grub2/grub.cfg", "boot/grub/grub.cfg"];
    want(configs.iter().any(|name| names.contains(*name)), "boot/grub2/grub.cfg");
    match manifest.firmware {
        Firmware::Bios => want(program(&["grub2-install", "grub-install"]), "grub2-install"),
        Firmware::Uefi => {
            let efi = |name: &String| name.starts_with("boot/efi/EFI/") && name.to_lowercase().ends_with(".efi");
            want(names.iter().any(efi), "an EFI program below boot/efi/EFI");
        }
    }
    if manifest.initramfs == InitramfsPolicy::Keep {
        let image = |name: &String| super::entries::is_initramfs(name.trim_start_matches("boot/"), &manifest.kernel);
        want(names.iter().any(image), "an initramfs in boot/, which the manifest says to keep");
    } else {
        want(program(&["dracut", "update-initramfs"]), "dracut or update-initramfs");
    }
    lacks
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::manifest::tests::example;

    fn list() -> Vec<String> {
        LIST.map(str::to_owned).to_vec()
    }

    /// A tree packed as the element packs it.
    fn pack(dir: &Path, name: &str) -> std::path::PathBuf {
        let tree = dir.join("tree");
        fs::create_dir_all(tree.join("boot")).unwrap();
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("boot/vmlinuz-1"), vec![7; 300_000]).unwrap();
        fs::write(tree.join("etc/motd"), "hello\n").unwrap();
        let file = dir.join(name);
        let status = Command::new("tar").arg("-caf").arg(&file).arg("-C").arg(&tree).arg(".").status().unwrap();
        assert!(status.success());
        file
    }

    #[test]
    fn archives_of_both_kinds_are_looked_through_and_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::new(&dir.path().join("log"), Vec::new());
        for name in ["va.tar.xz", "va.tar.zst"] {
            let file = pack(dir.path(), name);
            let names = stream(&file, &list(), "looking", counts, &mut report).unwrap();
            assert_eq!(names.into_iter().collect::<Vec<_>>(), ["boot/", "boot/vmlinuz-1"]);
            let root = dir.path().join(format!("root-{name}"));
            fs::create_dir(&root).unwrap();
            // Attributes of the file system are root's to set.
            let words: Vec<String> =
                extract_words(&root).into_iter().filter(|w| !w.contains("attrs") && w != "--acls").collect();
            stream(&file, &words, "unpacking", |_| false, &mut report).unwrap();
            assert_eq!(fs::read_to_string(root.join("etc/motd")).unwrap(), "hello\n");
        }
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.contains("zstd -dc < ") && log.contains("| "), "{log}");
    }

    #[test]
    fn a_cut_archive_and_one_of_another_kind_fail() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::new(&dir.path().join("log"), Vec::new());
        for name in ["va.tar.xz", "va.tar.zst"] {
            let file = pack(dir.path(), name);
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() - 20]).unwrap();
            let why = stream(&file, &list(), "looking", counts, &mut report).unwrap_err().to_string();
            assert!(why.contains(&name[7..]) && why.contains("exit status"), "{why}");
        }
        let file = dir.path().join("va.tar.xz");
        fs::write(&file, "this is no archive").unwrap();
        assert!(stream(&file, &list(), "looking", counts, &mut report).is_err());
        assert!(decompressor("va.tar.gz").unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn a_payload_that_could_not_boot_is_told() {
        let manifest = example();
        let kernel = format!("boot/vmlinuz-{}", manifest.kernel);
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let full = names(&[&kernel, "etc/fstab", "boot/grub2/grub.cfg", "usr/sbin/grub2-install", "usr/bin/dracut"]);
        assert!(full.iter().all(|name| counts(name)));
        assert_eq!(missing(&full, &manifest), Vec::<String>::new());
        let uefi = Manifest { firmware: Firmware::Uefi, initramfs: InitramfsPolicy::Keep, ..manifest.clone() };
        assert_eq!(missing(&full, &uefi).len(), 2);
        assert_eq!(missing(&names(&["boot/"]), &manifest).len(), 5);
    }
}
