//! What the new system's GRUB will start: entries of `grub.cfg` and of the Boot Loader Specification.
//!
//! `grub.cfg` is a program; what grub-mkconfig writes is regular enough to be read: `menuentry 'TITLE' ... --id`, and
//! within it `linux` and `initrd` lines. Red Hat's has `blscfg` instead, and files in `/loader/entries`.

use std::collections::BTreeMap;

/// A boot entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// How it is called.
    pub title: String,
    /// What the default may name it by: its `--id`, or its file's name without `.conf`.
    pub id: String,
    /// The kernel, as GRUB sees it.
    pub kernel: String,
    /// What is loaded with it.
    pub initrds: Vec<String>,
}

/// The entries of a `grub.cfg`.
#[must_use]
pub fn of_config(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let words = words(line);
        match words.first().map(String::as_str) {
            Some("menuentry") => entries.push(Entry {
                title: words.get(1).cloned().unwrap_or_default(),
                id: after(&words, &["--id", "$menuentry_id_option"]).unwrap_or_default(),
                ..Entry::default()
            }),
            Some("linux" | "linux16" | "linuxefi") => {
                if let (Some(entry), Some(kernel)) = (entries.last_mut(), words.get(1)) {
                    entry.kernel.clone_from(kernel);
                }
            }
            Some("initrd" | "initrd16" | "initrdefi") => {
                if let Some(entry) = entries.last_mut() {
                    entry.initrds.extend(words[1..].iter().filter(|w| w.starts_with('/')).cloned());
                }
            }
            _ => {}
        }
    }
    // Entries without a kernel start other things, like the firmware's menu.
    entries.retain(|e| !e.kernel.is_empty());
    entries
}

fn after(words: &[String], names: &[&str]) -> Option<String> {
    let at = words.iter().position(|w| names.contains(&w.as_str()))?;
    words.get(at + 1).cloned()
}

/// The words of a line, quotes taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for c in line.trim().chars().chain([' ']) {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    words
}

/// Whether a `grub.cfg` takes its entries from `/loader/entries`.
#[must_use]
pub fn uses_bls(text: &str) -> bool {
    text.lines().any(|line| words(line).first().is_some_and(|word| word == "blscfg"))
}

/// An entry of `/loader/entries`; `name` is its file's name.
#[must_use]
pub fn of_bls(name: &str, text: &str) -> Entry {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|l| l.trim().split_once(char::is_whitespace));
        lines.filter(|(k, _)| *k == key).map(|(_, v)| v.trim().to_owned()).collect::<Vec<_>>()
    };
    let initrds =
        value("initrd").iter().flat_map(|v| v.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let initrds: Vec<String> = initrds;
    Entry {
        title: value("title").pop().unwrap_or_default(),
        id: name.trim_end_matches(".conf").to_owned(),
        kernel: value("linux").pop().unwrap_or_default(),
        // `$tuned_initrd` and the like are variables of GRUB.
        initrds: initrds.into_iter().filter(|w| !w.starts_with('$')).collect(),
    }
}

/// A GRUB environment block: `NAME=VALUE` lines below its head.
#[must_use]
pub fn environment(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Which entry is started: the saved one if the block names one that is there, else the first. Those of the Boot Loader
/// Specification are in the order of their names, the newest first.
#[must_use]
pub fn default<'a>(entries: &'a [Entry], saved: Option<&str>) -> Option<&'a Entry> {
    let named = saved.map(|s| s.rsplit('>').next().unwrap_or(s)).filter(|s| !s.is_empty());
    let by_name = named.and_then(|s| entries.iter().find(|e| e.id == s || e.title == s));
    let by_number = named.and_then(|s| entries.get(s.parse::<usize>().ok()?));
    by_name.or(by_number).or_else(|| entries.first())
}

/// A path of an entry as one in /boot: GRUB sees a /boot of its own as its root.
#[must_use]
pub fn in_boot(path: &str) -> &str {
    let path = path.strip_prefix("($root)").unwrap_or(path);
    path.strip_prefix("/boot/").unwrap_or(path).trim_start_matches('/')
}

/// Whether a file of /boot is the initramfs of a kernel, by the names of both families.
#[must_use]
pub fn is_initramfs(name: &str, kernel: &str) -> bool {
    name == format!("initramfs-{kernel}.img") || name == format!("initrd.img-{kernel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = r#"
set default="0"
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	search --no-floppy --fs-uuid --set=root 6b2ae0ed
	linux	/vmlinuz-6.1.0-56-amd64 root=/dev/mapper/VA-root ro  quiet
	initrd	/initrd.img-6.1.0-56-amd64
}
submenu 'Advanced options' {
	menuentry 'with systemd' --id 'advanced-2' {
		linux	/boot/vmlinuz-6.1.0-55-amd64 root=UUID=a ro
		initrd	/boot/early.cpio /boot/initrd.img-6.1.0-55-amd64
	}
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
	fwsetup
}
"#;

    #[test]
    fn entries_that_grub_mkconfig_writes() {
        let entries = of_config(DEBIAN);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].title.as_str(), entries[0].id.as_str()), ("Debian GNU/Linux", "gnulinux-simple-1"));
        assert_eq!(in_boot(&entries[0].kernel), "vmlinuz-6.1.0-56-amd64");
        assert_eq!(
            entries[1].initrds.iter().map(|i| in_boot(i)).collect::<Vec<_>>(),
            ["early.cpio", "initrd.img-6.1.0-55-amd64"]
        );
        assert!(!uses_bls(DEBIAN));
        assert_eq!(default(&entries, None).unwrap().id, "gnulinux-simple-1");
        assert_eq!(default(&entries, Some("Advanced options>advanced-2")).unwrap().id, "advanced-2");
        assert_eq!(default(&entries, Some("1")).unwrap().id, "advanced-2");
        assert_eq!(default(&entries, Some("gone")).unwrap().id, "gnulinux-simple-1");
    }

    #[test]
    fn entries_of_the_boot_loader_specification() {
        assert!(uses_bls("insmod blscfg\n  blscfg\n"));
        assert!(!uses_bls("# blscfg\n"));
        let text = "title Rocky Linux (5.14.0-427.el9.x86_64) 9.4 (Blue Onyx)\nversion 5.14.0-427.el9.x86_64\n\
                    linux /vmlinuz-5.14.0-427.el9.x86_64\ninitrd /initramfs-5.14.0-427.el9.x86_64.img $tuned_initrd\n\
                    options $kernelopts $tuned_params\ngrub_users $grub_users\n";
        let entry = of_bls("0a1b-5.14.0-427.el9.x86_64.conf", text);
        assert_eq!(entry.id, "0a1b-5.14.0-427.el9.x86_64");
        assert_eq!(in_boot(&entry.kernel), "vmlinuz-5.14.0-427.el9.x86_64");
        assert_eq!(entry.initrds, ["/initramfs-5.14.0-427.el9.x86_64.img"]);
        assert!(is_initramfs(in_boot(&entry.initrds[0]), "5.14.0-427.el9.x86_64"));
    }

    #[test]
    fn environment_blocks() {
        let text = "# GRUB Environment Block\nsaved_entry=0a1b-5.14.0\nboot_success=0\n##########";
        assert_eq!(environment(text).get("saved_entry").map(String::as_str), Some("0a1b-5.14.0"));
    }
}
