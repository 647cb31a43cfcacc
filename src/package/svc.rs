//! `svc-map`: what a distribution calls a service (contract 4.5).
//!
//! Families are those of pkg-map. diskimage-builder's svc-map has shorter lists (its `redhat` is
//! centos, fedora and rhel only), so that a file could work for packages and not for services.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::distro;
use crate::error::{Fault, Faults, Place};
use crate::yaml::{self, Node};

/// Services by their generic name.
pub type Services = BTreeMap<String, String>;

/// Reads the `svc-map` files of elements (name and directory, in build order) and puts them
/// together for one distribution: its own row, else its family's, else `default`, else the name itself.
///
/// # Errors
/// Every mistake in the files; a service that two elements map.
pub fn merge(elements: &[(String, PathBuf)], distro: &str) -> Result<Services, Faults> {
    let mut services = Services::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut faults = Vec::new();
    for (element, dir) in elements {
        let file = dir.join("svc-map");
        let root = match read(&file) {
            Ok(Some(root)) => root,
            Ok(None) => continue,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        if root.as_map().is_none() && !root.is_null() {
            faults.push(root.fault(format!("a map of services is expected, not {}", root.kind())));
        }
        for (key, rows) in root.as_map().unwrap_or_default() {
            let service = key.text().unwrap_or_default().to_owned();
            if let Some(first) = places.get(&service) {
                let message =
                    format!("{service} already found in services list.  Check {element} for duplicate service name.");
                faults.push(key.fault(message).hint(format!("it was first mapped at {first}")));
                continue;
            }
            places.insert(service.clone(), key.place.clone());
            match choose(&service, rows, distro) {
                Ok(name) => drop(services.insert(service, name)),
                Err(fault) => faults.push(fault),
            }
        }
    }
    Faults::or(faults, services)
}

fn read(file: &Path) -> Result<Option<Node>, Fault> {
    match fs::read_to_string(file) {
        Ok(text) => yaml::parse(&text, file).map(Some),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Fault::at(Place::file(file), format!("cannot be read: {e}"))),
    }
}

fn choose(service: &str, rows: &Node, distro: &str) -> Result<String, Fault> {
    if rows.as_map().is_none() {
        let message = format!("a map of distributions is expected for '{service}', not {}", rows.kind());
        return Err(rows.fault(message).hint("write 'default: NAME' below it"));
    }
    let keys = [Some(distro), distro::family(distro), Some("default")];
    let Some(row) = keys.into_iter().flatten().find_map(|key| rows.get(key)) else { return Ok(service.to_owned()) };
    let name = row.text().filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| row.fault(format!("a service's name is expected, not {}", row.kind())))
}

/// The text of the merged file, `/usr/share/svc-map/services` in the image: YAML.
pub fn render(services: &Services) -> String {
    // JSON strings are YAML scalars, whatever characters are in them.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    services.iter().map(|(service, name)| format!("{}: {}\n", quoted(service), quoted(name))).collect()
}

/// Reads what [`render`] wrote, or any flat YAML map.
///
/// # Errors
/// When it is no YAML.
pub fn parse(text: &str, file: &Path) -> Result<Services, Fault> {
    let root = yaml::parse(text, file)?;
    let flat = root.entries().filter_map(|(service, name)| Some((service.to_owned(), name.text()?.to_owned())));
    Ok(flat.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(files: &[(&str, &str)], distro: &str) -> Result<Services, Faults> {
        let dir = tempfile::tempdir().unwrap();
        let mut elements = Vec::new();
        for (element, text) in files {
            let path = dir.path().join(element);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("svc-map"), text).unwrap();
            elements.push(((*element).to_owned(), path));
        }
        elements.push(("without".to_owned(), dir.path().join("without")));
        merge(&elements, distro)
    }

    const NOVA: &str = "nova-api:\n  default: openstack-nova-api\n  debian: nova-api\nsshd:\n  ubuntu: ssh\n  debian: ssh-daemon\nplain: {suse: x}\n";

    #[test]
    fn p12_distro_then_family_then_default_then_the_name() {
        let on = |distro: &str| merged(&[("a", NOVA)], distro).unwrap();
        assert_eq!(on("fedora")["nova-api"], "openstack-nova-api");
        assert_eq!(on("ubuntu")["nova-api"], "nova-api");
        assert_eq!(on("ubuntu")["sshd"], "ssh");
        assert_eq!(on("debian")["sshd"], "ssh-daemon");
        assert_eq!(on("fedora")["sshd"], "sshd");
        assert_eq!(on("rocky")["plain"], "plain");
    }

    #[test]
    fn p12_a_service_of_two_elements_is_a_fault() {
        let faults = merged(&[("a", NOVA), ("b", "x: {default: y}\nsshd: {default: z}\n")], "debian").unwrap_err();
        assert_eq!(faults.0.len(), 1);
        assert_eq!(faults.0[0].message, "sshd already found in services list.  Check b for duplicate service name.");
        assert_eq!(faults.0[0].place.as_ref().unwrap().line, Some(2));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let services: Services =
            [("a b".to_owned(), "no".to_owned()), ("x: \"y\"".to_owned(), "z@.service".to_owned())].into();
        assert_eq!(parse(&render(&services), Path::new("services")).unwrap(), services);
    }
}
