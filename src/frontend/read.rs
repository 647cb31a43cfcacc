//! Checks the YAML of an image list against the keys.

use std::path::Path;

use crate::error::Fault;
use crate::near::near;
use crate::yaml::{self, Node};

use super::keys::{Form, KEYS, Key, Kind, Setting};
use super::merge::Image;

/// The images of one file. Mistakes go to `faults`, and what they concern is left out.
pub fn images(text: &str, file: &Path, faults: &mut Vec<Fault>) -> Vec<Image> {
    let root = match yaml::parse(text, file) {
        Ok(root) => root,
        Err(fault) => {
            faults.push(fault);
            return Vec::new();
        }
    };
    let Some(items) = root.as_list() else {
        let fault = root.fault(format!("a list of images is expected, not {}", root.kind()));
        faults.push(fault.hint("begin each image with '- imagename: NAME'"));
        return Vec::new();
    };
    items.iter().map(|item| image(item, faults)).collect()
}

fn image(node: &Node, faults: &mut Vec<Fault>) -> Image {
    let mut image = Image::new();
    let Some(pairs) = node.as_map() else {
        let fault = node.fault(format!("an image is a map of keys, not {}", node.kind()));
        faults.push(fault.hint("for example: elements: [vm, debian-minimal]"));
        return image;
    };
    for (name, value) in pairs {
        match Key::named(name.text().unwrap_or_default()) {
            None => faults.push(unknown(name)),
            Some(key) => match setting(key, value) {
                Ok(setting) => {
                    image.insert(key.name, setting);
                }
                Err(found) => faults.extend(found),
            },
        }
    }
    image
}

fn unknown(name: &Node) -> Fault {
    let text = name.text().unwrap_or_default();
    let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let hint = match near(&text.replace('_', "-"), known.iter().copied()).first() {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("known keys: {}", known.join(", ")),
    };
    name.fault(format!("unknown key '{text}' of an image")).hint(hint)
}

fn setting(key: &Key, value: &Node) -> Result<Setting, Vec<Fault>> {
    Ok(match key.kind {
        Kind::Text => Setting::Text(string(key.name, value)?),
        Kind::OneOf(known) => Setting::Text(one_of(key.name, value, known)?),
        Kind::Flag => {
            let wrong = || vec![expected(key.name, "true or false", value)];
            Setting::Flag(value.as_bool().ok_or_else(wrong)?)
        }
        Kind::Number(least, most) => number(key, value, least, most)?,
        Kind::List => Setting::List(list(key.name, value, string)?),
        Kind::ListOf(known) => Setting::List(list(key.name, value, |name, item| one_of(name, item, known))?),
        Kind::Map => map(key.name, value)?,
    })
}

fn expected(name: &str, what: &str, value: &Node) -> Fault {
    value.fault(format!("'{name}' takes {what}, not {}", value.kind()))
}

fn string(name: &str, value: &Node) -> Result<String, Vec<Fault>> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let fault = expected(name, "a string", value);
    // A bare 1, yes or ~ is no string in YAML.
    let quoted = value.text().map(|text| format!("put it in quotes: '{text}'"));
    Err(vec![quoted.map_or(fault.clone(), |hint| fault.hint(hint))])
}

fn one_of(name: &str, value: &Node, known: &[&str]) -> Result<String, Vec<Fault>> {
    let text = string(name, value)?;
    if known.contains(&text.as_str()) {
        return Ok(text);
    }
    let hint = match near(&text, known.iter().copied()).first() {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("one of these: {}", known.join(", ")),
    };
    Err(vec![value.fault(format!("'{text}' is nothing that '{name}' can be")).hint(hint)])
}

fn number(key: &Key, value: &Node, least: i64, most: i64) -> Result<Setting, Vec<Fault>> {
    let range = if most == i64::MAX { format!("of at least {least}") } else { format!("from {least} to {most}") };
    let number = value.as_int().filter(|n| (least..=most).contains(n));
    let Some(number) = number else {
        let found = value.text().map_or_else(|| value.kind().to_owned(), |text| format!("'{text}'"));
        return Err(vec![value.fault(format!("'{}' takes a whole number {range}, not {found}", key.name))]);
    };
    Ok(match key.form {
        Form::Switch(_) => Setting::Count(usize::try_from(number).unwrap_or(0)),
        _ => Setting::Text(number.to_string()),
    })
}

fn list(
    name: &str,
    value: &Node,
    item: impl Fn(&str, &Node) -> Result<String, Vec<Fault>>,
) -> Result<Vec<String>, Vec<Fault>> {
    let Some(nodes) = value.as_list() else {
        let fault = expected(name, "a list", value);
        let hint = value.as_str().map(|text| format!("write '{name}: [{text}]'"));
        return Err(vec![hint.map_or(fault.clone(), |hint| fault.hint(hint))]);
    };
    collected(nodes.iter().map(|node| item(name, node)))
}

fn map(name: &str, value: &Node) -> Result<Setting, Vec<Fault>> {
    if value.as_map().is_none() {
        return Err(vec![expected(name, "a map from names to strings", value)]);
    }
    let pair = |(key, node): (&str, &Node)| string(&format!("{name}: {key}"), node).map(|text| (key.to_owned(), text));
    Ok(Setting::Map(collected(value.entries().map(pair))?))
}

/// All values, or all faults.
fn collected<T>(results: impl Iterator<Item = Result<T, Vec<Fault>>>) -> Result<Vec<T>, Vec<Fault>> {
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}
