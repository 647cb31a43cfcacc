//! Images of the same name become one (contract 1.4): lists append, maps update key by key, the rest replaces.

use std::collections::BTreeMap;

use super::keys::{IMAGE_NAME, Setting};

/// The name of images that come before the first one with a name.
const UNNAMED: &str = "image";

/// The settings of an image by key.
pub type Image = BTreeMap<&'static str, Setting>;

/// One image for each name, in the order in which the names appear. An image without a name belongs to the one before it.
pub fn merge(images: Vec<Image>) -> Vec<Image> {
    let mut merged: Vec<(String, Image)> = Vec::new();
    let mut name = UNNAMED.to_owned();
    for image in images {
        if let Some(Setting::Text(own)) = image.get(IMAGE_NAME) {
            name.clone_from(own);
        }
        match merged.iter_mut().find(|(other, _)| *other == name) {
            Some((_, first)) => image.into_iter().for_each(|(key, setting)| add(first, key, setting)),
            None => merged.push((name.clone(), image)),
        }
    }
    merged.into_iter().map(|(_, image)| image).collect()
}

fn add(image: &mut Image, key: &'static str, setting: Setting) {
    match (image.get_mut(key), setting) {
        (Some(Setting::List(items)), Setting::List(more)) => items.extend(more),
        (Some(Setting::Map(pairs)), Setting::Map(more)) => more.into_iter().for_each(|pair| update(pairs, pair)),
        (_, setting) => {
            image.insert(key, setting);
        }
    }
}

fn update(pairs: &mut Vec<(String, String)>, (name, value): (String, String)) {
    match pairs.iter_mut().find(|(other, _)| *other == name) {
        Some((_, old)) => *old = value,
        None => pairs.push((name, value)),
    }
}
