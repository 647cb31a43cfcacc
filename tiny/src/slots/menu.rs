//! What GRUB reads: the part of `custom.cfg` that chooses a slot and starts it.
//!
//! `grub-mkconfig`'s `41_custom` sources `custom.cfg` at the end of `grub.cfg`, so `default` is set there after everything
//! else has set it. `slots.env` beside it says what to choose. The folder of the slots is found from `$prefix`, because
//! `custom.cfg` and the slots are always on one file system, whatever its UUID.

use super::arguments::TRIAL;
use super::config::{Config, Version};

/// The name of the block that says what to choose, beside `custom.cfg`.
pub const ENV_FILE: &str = "slots.env";

const BEGIN: &str = "### BEGIN image-slots ###";
const END: &str = "### END image-slots ###";

/// The part of `custom.cfg`. `good` is what starts when GRUB cannot read `slots.env`; `systems` are the slots that hold
/// something, in the order of the menu.
#[must_use]
pub fn text(config: &Config, good: &str, systems: &[(String, Version)]) -> String {
    let new: Vec<String> = config.slots.iter().map(|s| format!("slots_new_{s}")).collect();
    let unset: String = new.iter().map(|name| format!("set {name}=\n")).collect();
    let entries: String = systems.iter().map(|(slot, version)| entry(slot, version)).collect();
    format!(
        r#"{BEGIN}
# Written by image-slots, which writes it anew; what stands outside of these two lines is left alone.
# slots_next is started once, and is cleared before that; else slots_good is started.
set slots_good={good}
set slots_next=
set slots_timeout=
{unset}if [ -s "$prefix/{ENV_FILE}" ]; then
  load_env --file "$prefix/{ENV_FILE}" slots_good slots_next slots_timeout {new}
fi
regexp --set=1:slots_folder '^(.*)/[^/]*$' "$prefix"
set slots_folder="$slots_folder/slots"
set slots_choice="$slots_good"
set slots_trial=
# grub-reboot has the first word: boot_once is set then, and slots_next waits.
if [ -n "$slots_next" -a "$boot_once" != "true" ]; then
  set slots_wanted="$slots_next"
  set slots_next=
  # What cannot be cleared would be started for ever, so it is not started at all.
  if save_env --file "$prefix/{ENV_FILE}" slots_next; then
    if [ -f "$slots_folder/$slots_wanted/vmlinuz" ]; then
      set slots_choice="$slots_wanted"
      set slots_trial="$slots_wanted"
    fi
  fi
fi
if [ "$boot_once" != "true" ]; then
  set default="slot-$slots_choice"
  set fallback="slot-$slots_good"
fi
export slots_folder slots_timeout slots_trial {new}
{entries}{END}
"#,
        new = new.join(" "),
    )
}

fn entry(slot: &str, version: &Version) -> String {
    let title = quote(&format!("{} ({slot})", version.title()));
    let arguments: Vec<String> = version.arguments.iter().map(|word| quote(word)).collect();
    format!(
        r#"if [ -f "$slots_folder/{slot}/vmlinuz" ]; then
  menuentry {title} --unrestricted --id slot-{slot} {{
    set slots_words=
    if [ "$slots_trial" = "{slot}" -o "$slots_new_{slot}" = "1" ]; then
      set slots_words="{trial}"
      if [ -n "$slots_timeout" ]; then
        set slots_words="$slots_words upgrade_slot.timeout=$slots_timeout"
      fi
    fi
    echo "Starting slot {slot} $slots_words"
    linux "$slots_folder/{slot}/vmlinuz" {arguments} $slots_words
    initrd "$slots_folder/{slot}/initramfs.img"
  }}
fi
"#,
        trial = TRIAL.join(" "),
        arguments = arguments.join(" "),
    )
}

/// A word of GRUB's script language. What is harmless stays readable.
fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-+=.,:/@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let word: String = word.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The text of `custom.cfg` with the part put in: in place of an older one, else at the end, where it has the last word.
#[must_use]
pub fn put_in(old: &str, part: &str) -> String {
    let (before, after) = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => (&old[..begin], old[end + END.len()..].trim_start_matches('\n')),
        _ => (old, ""),
    };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    format!("{before}{gap}{part}{after}")
}

/// Whether a `grub.cfg` sources `custom.cfg`.
#[must_use]
pub fn is_sourced(grub_cfg: &str) -> bool {
    grub_cfg.lines().map(str::trim).any(|line| line.starts_with("source ") && line.ends_with("/custom.cfg"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::arguments::for_slot;
    use crate::slots::config::tests::example;

    fn systems() -> Vec<(String, Version)> {
        let system = |slot: &str, version: &str| {
            let version = Version {
                version: version.into(),
                system: "Rocky Linux 9.4".into(),
                kernel: "5.14.0-427.el9.x86_64".into(),
                arguments: for_slot("ro console=ttyS0,115200", &example(), slot),
                installed: 0,
            };
            (slot.to_owned(), version)
        };
        vec![system("root", "2026.1"), system("back", "2026.2")]
    }

    #[test]
    fn the_menu_is_as_agreed() {
        let golden = include_str!("../../tests/golden/custom.cfg");
        let text = text(&example(), "root", &systems());
        assert_eq!(text, golden, "tests/golden/custom.cfg should be:\n{text}");
    }

    #[test]
    fn titles_cannot_break_out() {
        assert_eq!(quote("it's $x; \"y\"\n{"), "'it'\\''s $x; \"y\" {'");
        assert_eq!(quote("root=/dev/mapper/VA-root"), "root=/dev/mapper/VA-root");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn what_others_wrote_stays() {
        let first = put_in("set theme=x", "PART\n");
        assert_eq!(first, "set theme=x\nPART\n");
        let part = format!("{BEGIN}\nnew\n{END}\n");
        let old = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(put_in(&old, &part), format!("before\n{part}after\n"));
        assert_eq!(put_in(&put_in(&old, &part), &part), put_in(&old, &part));
        assert_eq!(put_in("", &part), part);
    }

    #[test]
    fn the_stanza_of_41_custom_is_known() {
        assert!(is_sourced(
            "if [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n"
        ));
        assert!(!is_sourced("# source custom.cfg\nif [ -f $prefix/custom.cfg ]; then\n"));
    }
}
