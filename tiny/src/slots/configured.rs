//! Where the kernel's arguments of a system are read: in its own settings, and in what its boot loader has.

use std::fs;

use super::arguments;
use super::config::Config;
use super::envblock::EnvBlock;
use super::place::Place;

/// The kernel's arguments of the tree's slot: what slots.json says, else those of the boot loader entry or of the menu that
/// start this slot, else the defaults of GRUB.
#[must_use]
pub fn arguments(place: &Place, config: &Config) -> Vec<String> {
    let line = config.cmdline.clone().or_else(|| configured(place, config)).unwrap_or_default();
    arguments::for_slot(&line, config, &config.slot)
}

fn configured(place: &Place, config: &Config) -> Option<String> {
    let of_grub = |name: &str| fs::read(place.grub().ok()?.join(name)).ok();
    let grubenv = of_grub("grubenv").and_then(|bytes| EnvBlock::parse(&bytes).ok());
    let kernelopts = grubenv.as_ref().and_then(|env| env.get("kernelopts"));
    let mut entries: Vec<_> = fs::read_dir(place.boot().join("loader/entries"))
        .map(|entries| {
            entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "conf")).collect()
        })
        .unwrap_or_default();
    entries.sort();
    let entries = entries.iter().rev().filter_map(|p| arguments::of_entry(&fs::read_to_string(p).ok()?, kernelopts));
    let menu = of_grub("grub.cfg").and_then(|text| arguments::of_grub_cfg(&String::from_utf8_lossy(&text)));
    // Entries in a shared /boot may be the other system's.
    let root = format!("root={}", config.device(&config.slot));
    let own = |line: &String| arguments::words(line).contains(&root);
    let defaults =
        || fs::read_to_string(place.root.join("etc/default/grub")).ok().and_then(|t| arguments::of_defaults(&t));
    entries.chain(menu).find(own).or_else(defaults)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::slots::setup::setup;
    use crate::slots::tests::machine;

    #[test]
    fn arguments_come_from_the_entry_of_this_slot_before_the_defaults() {
        let machine = machine();
        let entries = machine.place.boot().join("loader/entries");
        fs::create_dir_all(&entries).unwrap();
        fs::write(entries.join("b.conf"), "options root=/dev/mapper/VA-back ro theirs\n").unwrap();
        setup(&machine.place).unwrap();
        assert!(machine.menu().contains(" ro quiet "));
        fs::write(entries.join("a.conf"), "options root=/dev/mapper/VA-root ro ours\n").unwrap();
        setup(&machine.place).unwrap();
        assert!(machine.menu().contains(" ro ours "));
    }
}
