//! The kernel's arguments of a slot: those that the boot loader's configuration gives, with the slot's own root.

use super::config::Config;

/// What every trial boot gets besides: whatever goes wrong ends in a reset, never at a prompt.
pub const TRIAL: [&str; 5] =
    ["upgrade_slot.trial=1", "panic=30", "rd.shell=0", "rd.emergency=reboot", "systemd.crash_reboot=1"];

/// Splits a command line as the kernel does: blanks separate, double quotes hold together and stay.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        if c.is_whitespace() && !quoted {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            quoted ^= c == '"';
            word.push(c);
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// The arguments with which a slot is started, made from those of any system of this machine or of a bundle: `root=`
/// and `rd.lvm.lv=` name the slot's volume, and nothing of an earlier trial stays.
#[must_use]
pub fn for_slot(line: &str, config: &Config, slot: &str) -> Vec<String> {
    let own_volume = |word: &str| {
        let volume = word.strip_prefix("rd.lvm.lv=").and_then(|v| v.split_once('/'));
        volume.is_some_and(|(_, volume)| config.slots.iter().any(|s| s == volume))
    };
    let dropped = |word: &String| {
        ["root=", "BOOT_IMAGE=", "upgrade_slot.", "initrd=", "$"].iter().any(|p| word.starts_with(p))
            || TRIAL.contains(&word.as_str())
            || own_volume(word)
    };
    let mut all = vec![format!("root={}", config.device(slot)), format!("rd.lvm.lv={}/{slot}", config.group)];
    all.extend(words(line).into_iter().filter(|w| !dropped(w)));
    if !all.iter().any(|w| w == "ro" || w == "rw") {
        all.insert(2, "ro".into());
    }
    all.push(format!("upgrade_slot.slot={slot}"));
    all
}

/// The options of a boot loader entry (`/boot/loader/entries/*.conf`, the Boot Loader Specification). `$kernelopts` is a
/// variable of GRUB's own block, as older releases of Red Hat's have it.
#[must_use]
pub fn of_entry(text: &str, kernelopts: Option<&str>) -> Option<String> {
    let value = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        values.find(|rest| rest.starts_with([' ', '\t'])).map(str::trim)
    };
    Some(value("options")?.replace("$kernelopts", kernelopts.unwrap_or_default()))
}

/// The arguments of the first entry of a grub.cfg that starts a kernel of Linux.
#[must_use]
pub fn of_grub_cfg(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let command = words.next()?;
        let kernel = words.next()?;
        let linux = ["linux", "linux16", "linuxefi"].contains(&command) && kernel.contains("vmlinu");
        linux.then(|| words.collect::<Vec<_>>().join(" "))
    })
}

/// What /etc/default/grub gives the kernel.
#[must_use]
pub fn of_defaults(text: &str) -> Option<String> {
    let mut always: Option<String> = None;
    let mut usually: Option<String> = None;
    for line in text.lines().map(str::trim) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let place = match name {
            "GRUB_CMDLINE_LINUX" => &mut always,
            "GRUB_CMDLINE_LINUX_DEFAULT" => &mut usually,
            _ => continue,
        };
        // `NAME="$NAME more"` is how fragments add words.
        let before = place.take().unwrap_or_default();
        let value = unquote(value).replace(&format!("${{{name}}}"), &before).replace(&format!("${name}"), &before);
        *place = Some(value);
    }
    if always.is_none() && usually.is_none() {
        return None;
    }
    Some(format!("{} {}", always.unwrap_or_default(), usually.unwrap_or_default()).trim().to_owned())
}

/// A value of a shell without its quotes and what follows them.
fn unquote(value: &str) -> String {
    let quote = value.chars().next().filter(|c| "\"'".contains(*c));
    let Some(quote) = quote else { return value.split_whitespace().next().unwrap_or_default().to_owned() };
    let mut text = String::new();
    let mut rest = value[1..].chars();
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => break,
            '\\' if quote == '"' => text.extend(rest.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::config::tests::example;

    #[test]
    fn the_slot_is_put_in_and_a_trial_taken_out() {
        let line = "BOOT_IMAGE=/vmlinuz-5 root=UUID=1 ro rd.lvm.lv=VA/root rd.lvm.lv=VA/swap console=tty0 console=ttyS0,115200 \
                    upgrade_slot.trial=1 upgrade_slot.timeout=30 panic=30 rd.shell=0 $tuned_params";
        assert_eq!(
            for_slot(line, &example(), "back").join(" "),
            "root=/dev/mapper/VA-back rd.lvm.lv=VA/back ro rd.lvm.lv=VA/swap console=tty0 console=ttyS0,115200 upgrade_slot.slot=back"
        );
        let again = for_slot(&for_slot(line, &example(), "back").join(" "), &example(), "root").join(" ");
        assert!(again.starts_with("root=/dev/mapper/VA-root rd.lvm.lv=VA/root ro rd.lvm.lv=VA/swap "), "{again}");
    }

    #[test]
    fn a_root_is_mounted_read_only_first_unless_told_otherwise() {
        assert_eq!(for_slot("", &example(), "root")[2], "ro");
        assert!(!for_slot("rw", &example(), "root").contains(&"ro".to_owned()));
    }

    #[test]
    fn a_vendors_own_panic_time_stays() {
        assert!(for_slot("panic=5", &example(), "root").contains(&"panic=5".to_owned()));
    }

    #[test]
    fn quoted_words_hold_together() {
        assert_eq!(words("a  dyndbg=\"file x +p\" b"), ["a", "dyndbg=\"file x +p\"", "b"]);
    }

    #[test]
    fn boot_loader_entries_are_read() {
        let entry = "title Rocky\nlinux /vmlinuz-5\noptions root=/dev/x ro $kernelopts $tuned_params\ngrub_users $u\n";
        assert_eq!(of_entry(entry, Some("quiet")).as_deref(), Some("root=/dev/x ro quiet $tuned_params"));
        assert_eq!(of_entry("title x\n", None), None);
    }

    #[test]
    fn the_menu_of_grub_mkconfig_is_read() {
        let text = "menuentry 'x' {\n\tinsmod ext2\n\tlinux\t/vmlinuz-6.1.0-56-amd64 root=/dev/mapper/VA-root ro  quiet\n\tinitrd /i\n}";
        assert_eq!(of_grub_cfg(text).as_deref(), Some("root=/dev/mapper/VA-root ro quiet"));
        assert_eq!(of_grub_cfg("blscfg\n"), None);
    }

    #[test]
    fn the_defaults_are_read_as_a_shell_would() {
        let text = "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"console=ttyS0 a=\\\"b\\\"\" # why\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\n\
                    GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX more\"\n#GRUB_CMDLINE_LINUX=no\n";
        assert_eq!(of_defaults(text).as_deref(), Some("console=ttyS0 a=\"b\" more quiet"));
        assert_eq!(of_defaults("GRUB_TIMEOUT=5\n"), None);
    }
}
