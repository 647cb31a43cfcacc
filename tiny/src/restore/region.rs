//! Time zone, locale and keymap: what the new system has the data for.

use anyhow::Result;

use super::Teller;
use super::backup::Backup;
use super::tree::{Owner, Tree};

pub(super) fn restore(backup: &Backup, tree: &Tree, teller: &mut Teller) -> Result<()> {
    if let Some(zone) = backup.fact("timezone") {
        timezone(zone, tree, teller)?;
    }
    if let Some(locale) = backup.fact("locale") {
        self::locale(locale, tree, teller)?;
    }
    if let Some(keymap) = backup.fact("keymap") {
        self::keymap(keymap, tree, teller)?;
    }
    Ok(())
}

fn timezone(zone: &str, tree: &Tree, teller: &mut Teller) -> Result<()> {
    let path = format!("usr/share/zoneinfo/{zone}");
    if !is_plain(zone) || !tree.has(&path) || tree.has_directory(&path) {
        teller.tell(&format!("time zone {zone} is not known to the new system: it keeps its own"));
        return Ok(());
    }
    tree.link("etc/localtime", &format!("../{path}"))?;
    if tree.has("etc/timezone") {
        tree.edit("etc/timezone", &format!("{zone}\n"))?;
    }
    teller.say(&format!("time zone: {zone}"));
    Ok(())
}

fn locale(locale: &str, tree: &Tree, teller: &mut Teller) -> Result<()> {
    if !is_plain(locale) || !has_locale(locale, tree)? {
        teller.tell(&format!("locale {locale} is not in the new system: it keeps its own"));
        return Ok(());
    }
    // Debian reads another file, to which /etc/locale.conf may be a link.
    let path = if tree.has("etc/default/locale") { "etc/default/locale" } else { "etc/locale.conf" };
    set(tree, path, "LANG", locale)?;
    teller.say(&format!("locale: {locale}"));
    Ok(())
}

/// Whether glibc would find it: built in, as a directory, or in the archive (there with its codeset in short).
fn has_locale(locale: &str, tree: &Tree) -> Result<bool> {
    let (name, codeset) = locale.split_once('.').unwrap_or((locale, ""));
    if matches!(name, "C" | "POSIX") {
        return Ok(true);
    }
    let codeset: String = codeset.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let short = if codeset.is_empty() { name.to_owned() } else { format!("{name}.{codeset}") };
    if [locale, &short].iter().any(|l| tree.has_directory(&format!("usr/lib/locale/{l}"))) {
        return Ok(true);
    }
    let archive = tree.bytes("usr/lib/locale/locale-archive")?.unwrap_or_default();
    let wanted = [short.as_bytes(), b"\0"].concat();
    Ok(archive.windows(wanted.len()).any(|window| window == wanted))
}

fn keymap(keymap: &str, tree: &Tree, teller: &mut Teller) -> Result<()> {
    if tree.has("etc/default/keyboard") && !tree.has("etc/vconsole.conf") {
        set(tree, "etc/default/keyboard", "XKBLAYOUT", &format!("\"{}\"", keymap.split('-').next().unwrap_or(keymap)))?;
        teller.say(&format!("keymap: {keymap}"));
        return Ok(());
    }
    let known = is_plain(keymap)
        && ["usr/lib/kbd/keymaps", "usr/share/kbd/keymaps", "usr/share/keymaps"]
            .iter()
            .try_fold(false, |found, path| Ok::<_, anyhow::Error>(found || has_keymap(tree, path, keymap, 0)?))?;
    if !known {
        teller.tell(&format!("keymap {keymap} is not in the new system: it keeps its own"));
        return Ok(());
    }
    set(tree, "etc/vconsole.conf", "KEYMAP", keymap)?;
    teller.say(&format!("keymap: {keymap}"));
    Ok(())
}

fn has_keymap(tree: &Tree, directory: &str, keymap: &str, depth: usize) -> Result<bool> {
    if depth > 5 {
        return Ok(false);
    }
    for name in tree.names(directory)? {
        let path = format!("{directory}/{name}");
        let file = name.strip_suffix(".gz").unwrap_or(&name).strip_suffix(".map");
        if file == Some(keymap) || (tree.has_directory(&path) && has_keymap(tree, &path, keymap, depth + 1)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_plain(value: &str) -> bool {
    !value.contains("..") && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.@+-".contains(&b))
}

/// Sets one variable of a file of shell-like assignments.
fn set(tree: &Tree, path: &str, key: &str, value: &str) -> Result<()> {
    let Some(old) = tree.text(path)? else {
        return tree.write(path, format!("{key}={value}\n").as_bytes(), Owner::root(0o644));
    };
    let mut text: String = old
        .lines()
        .filter(|line| !line.trim_start().starts_with(&format!("{key}=")))
        .map(|l| format!("{l}\n"))
        .collect();
    text += &format!("{key}={value}\n");
    tree.edit(path, &text)
}
