//! From the names that `install-packages` is given to those that the package manager gets (contract 4.4).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use regex::Regex;

use super::pkg_map::{Names, shared_maps};
use super::{out, say};
use crate::package::manager::Manager;

/// Names that an element has written here are not installed: the distribution does not have them.
const BLACKLIST: &str = "/tmp/yum-blacklist";

/// The distribution's names. `element`: the one whose pkg-map has them. `None` after a failure that has been told.
///
/// # Errors
/// When a map cannot be read.
pub(super) fn resolve(names: &[String], element: Option<&str>, manager: Manager) -> Result<Option<Vec<String>>> {
    let mut packages = match element {
        None => names.to_vec(),
        Some(element) => match by_element(names, element)? {
            Some(packages) => packages,
            None => return Ok(None),
        },
    };
    if manager.family() == "redhat" {
        let blacklist = fs::read_to_string(BLACKLIST).unwrap_or_default();
        packages = without(packages, &blacklist)?;
        if element.is_none() {
            packages = from_debian(packages, manager)?;
        }
    }
    Ok(Some(packages))
}

fn by_element(names: &[String], element: &str) -> Result<Option<Vec<String>>> {
    let maps = Names::of_element(element).context("bin/pkg-map error")?;
    let mut packages = Vec::new();
    for name in names {
        let Some(mapped) = maps.find(name) else {
            say(&format!("bin/pkg-map error: no map that element {element} can use has a package '{name}'"))?;
            return Ok(None);
        };
        packages.extend(mapped.packages);
    }
    Ok(Some(packages))
}

/// Leaves out what the blacklist has.
fn without(packages: Vec<String>, blacklist: &str) -> Result<Vec<String>> {
    let (listed, kept): (Vec<_>, Vec<_>) = packages.into_iter().partition(|name| is_listed(name, blacklist));
    for name in listed {
        out(&format!("The package {name} is in {} and is not installed", Path::new(BLACKLIST).display()))?;
    }
    Ok(kept)
}

/// Whether a name, as an expression, is found anywhere in the list: "kernel" is if the list has "kernel-core".
fn is_listed(name: &str, blacklist: &str) -> bool {
    blacklist.contains(name) || Regex::new(name).is_ok_and(|pattern| pattern.is_match(blacklist))
}

/// Takes names of Debian for what they mean. Said on stderr, because a pkg-map would say it better.
fn from_debian(packages: Vec<String>, manager: Manager) -> Result<Vec<String>> {
    let shared = shared_maps()?;
    let mut mapped = Vec::new();
    for name in packages {
        let Some(names) = shared.from_debian(&name, manager.family()) else {
            mapped.push(name);
            continue;
        };
        let shown = if names.is_empty() { "no package".to_owned() } else { names.join(" ") };
        say(&format!(
            "warning: '{name}' is a name of Debian, {shown} is meant here; an element says so in its pkg-map"
        ))?;
        mapped.extend(names);
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blacklist_is_searched_for_the_name_as_an_expression() {
        let list = "kernel-debug\nlibfoo++\n";
        for (name, listed) in
            [("kernel-debug", true), ("kernel", true), ("kernel-core", false), ("k.*-debug", true), ("libfoo++", true)]
        {
            assert_eq!(is_listed(name, list), listed, "{name}");
        }
        assert!(!is_listed("curl", ""));
        assert!(!is_listed("a[", "b"));
    }
}
