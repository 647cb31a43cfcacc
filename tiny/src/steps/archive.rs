//! The payload: an archive that is read by the tiny system's own decompressor and GNU tar.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::manifest::{Firmware, InitramfsPolicy, Manifest};

use super::command::{Cmd, last_lines, shown};
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

/// What tar is told to unpack it into `root`, with all that the files have.
#[must_use]
pub fn extract_words(root: &Path) -> Vec<String> {
    let place = format!("--directory={}", root.display());
    // No timestamps: the clock of a machine may be behind that of the builder.
    let words = [
        "--extract",
        "--file=-",
        "--numeric-owner",
        "--same-owner",
        "--preserve-permissions",
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
        "--warning=no-timestamp",
        &place,
    ];
    words.map(str::to_owned).to_vec()
}

/// Who hears of an archive that is read.
pub trait Listener {
    /// How far it is.
    fn say(&mut self, text: &str);
    /// What programs are run, and what they say.
    fn note(&mut self, _text: &str) {}
}

impl Listener for Report {
    fn say(&mut self, text: &str) {
        Self::say(self, text);
    }

    fn note(&mut self, text: &str) {
        Self::note(self, text);
    }
}

/// [`pour`] through the tiny system's decompressor and tar.
///
/// # Errors
/// Those of [`pour`], and a program that is not there.
pub fn stream(
    payload: &Path,
    tar: &[String],
    what: &str,
    keep: fn(&str) -> bool,
    report: &mut Report,
) -> Result<BTreeSet<String>> {
    let unpack = Cmd::tool(decompressor(&payload.display().to_string())?)?.arg("-dc");
    pour(payload, [unpack.process(), Cmd::tool("tar")?.args(tar).process()], what, keep, report)
}

/// Sends a payload through two programs to the end: its decompressor and tar. Gives the names that tar tells, if `keep`
/// wants them. `what` is what is done, for the lines that tell how far it is.
///
/// # Errors
/// When either program fails, with what it said; also when tar ends before the archive does.
pub fn pour(
    payload: &Path,
    [mut unpack, mut tar]: [Command; 2],
    what: &str,
    keep: fn(&str) -> bool,
    listener: &mut dyn Listener,
) -> Result<BTreeSet<String>> {
    let name = payload.display().to_string();
    let texts = [shown(&unpack), shown(&tar)];
    listener.note(&format!("$ {} < {name} | {}", texts[0], texts[1]));
    unpack.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut first = unpack.spawn().with_context(|| format!("running {}", texts[0]))?;
    let pipe = first.stdout.take().context("the decompressor has no output")?;
    // A larger pipe lets both run longer at a stretch; the usual one does as well.
    let _ = nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
    tar.stdin(Stdio::from(pipe)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut second = tar.spawn().with_context(|| format!("running {}", texts[1]))?;
    // Its end of the pipe is still held here, and tar would not see that the decompressor has gone.
    drop(tar);
    let names = second.stdout.take().map(|out| thread::spawn(move || names(out, keep)));
    let said = [listen(&mut first), listen(&mut second)];
    let fed = first.stdin.take().map_or(Ok(()), |stdin| feed(payload, stdin, what, listener));
    let statuses = [first.wait()?, second.wait()?];
    let said = said.map(|thread| thread.join().unwrap_or_default());
    said.iter().for_each(|text| listener.note(text));
    for at in 0..2 {
        // A decompressor whose reader went away dies of that; tar tells why then.
        if !statuses[at].success() && (at == 1 || statuses[1].success()) {
            bail!("{} of {name}: {}\n{}", texts[at], statuses[at], last_lines(&said[at]));
        }
    }
    fed.with_context(|| format!("reading {name}"))?;
    Ok(names.map(|thread| thread.join().unwrap_or_default()).unwrap_or_default())
}

/// Feeds the decompressor. That it takes no more is no failure here: its exit status tells.
fn feed(payload: &Path, mut to: ChildStdin, what: &str, listener: &mut dyn Listener) -> Result<()> {
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
            listener.say(&line);
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
    fn a_tar_that_ends_early_ends_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("va.tar.zst");
        // More than the pipes hold, and nothing that could be packed.
        let made = Command::new("sh").arg("-c").arg("head -c 8M /dev/urandom | zstd -qo \"$0\"").arg(&file).status();
        assert!(made.unwrap().success());
        let mut report = Report::new(&dir.path().join("log"), Vec::new());
        let why = stream(&file, &["--no-such-option".to_owned()], "looking", counts, &mut report);
        assert!(why.unwrap_err().to_string().contains("unrecognized option"));
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
