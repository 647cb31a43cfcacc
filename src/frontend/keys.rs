//! What an image in a YAML file may have, and the arguments that it becomes (contract 1.4).

/// The key with the image's name, by which images of several files are merged.
pub const IMAGE_NAME: &str = "imagename";
/// The key with the variables.
pub const ENVIRONMENT: &str = "environment";
/// The key that chooses the program.
pub const RAMDISK: &str = "ramdisk";

/// Spellings of architectures.
const ARCHITECTURES: &[&str] =
    &["aarch64", "amd64", "arm64", "armhf", "powerpc", "ppc64", "ppc64el", "ppc64le", "s390x", "x86_64"];

/// Output formats: diskimage-builder's, then those that are this program's own.
const FORMATS: &[&str] = &["qcow2", "tar", "tgz", "squashfs", "vhd", "docker", "aci", "raw", "vmdk", "vhdx"];

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number in this range.
    Number(i64, i64),
    /// A list of strings.
    List,
    /// A list of these strings.
    ListOf(&'static [&'static str]),
    /// A map from names to strings.
    Map,
}

/// What a key is given to the build as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not as an argument.
    Nothing,
    /// The option, and the value as its argument: lists and maps joined by commas.
    Value(&'static str),
    /// The option alone, as often as a number says, or once if true.
    Switch(&'static str),
    /// The values themselves.
    Positional,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it stands in the file.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it becomes.
    pub form: Form,
}

/// A value that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// A string, or a number that is handed on as text.
    Text(String),
    /// How often.
    Count(usize),
    /// Yes or no.
    Flag(bool),
    /// Several strings.
    List(Vec<String>),
    /// Names and strings, in file order.
    Map(Vec<(String, String)>),
}

const fn key(name: &'static str, kind: Kind, form: Form) -> Key {
    Key { name, kind, form }
}

const POSITIVE: Kind = Kind::Number(1, i64::MAX);

/// All keys, in the order in which their arguments are given.
pub const KEYS: &[Key] = &[
    key(IMAGE_NAME, Kind::Text, Form::Value("-o")),
    key("arch", Kind::OneOf(ARCHITECTURES), Form::Value("-a")),
    key("types", Kind::ListOf(FORMATS), Form::Value("-t")),
    key(ENVIRONMENT, Kind::Map, Form::Nothing),
    key(RAMDISK, Kind::Flag, Form::Nothing),
    key("debug-trace", Kind::Number(0, 2), Form::Switch("-x")),
    key("uncompressed", Kind::Flag, Form::Switch("-u")),
    key("clear", Kind::Flag, Form::Switch("-c")),
    key("logfile", Kind::Text, Form::Value("--logfile")),
    key("checksum", Kind::Flag, Form::Switch("--checksum")),
    key("image-size", POSITIVE, Form::Value("--image-size")),
    key("image-extra-size", POSITIVE, Form::Value("--image-extra-size")),
    key("image-cache", Kind::Text, Form::Value("--image-cache")),
    key("max-online-resize", POSITIVE, Form::Value("--max-online-resize")),
    key("min-tmpfs", POSITIVE, Form::Value("--min-tmpfs")),
    key("mkfs-journal-size", POSITIVE, Form::Value("--mkfs-journal-size")),
    key("mkfs-options", Kind::Text, Form::Value("--mkfs-options")),
    key("no-tmpfs", Kind::Flag, Form::Switch("--no-tmpfs")),
    key("offline", Kind::Flag, Form::Switch("--offline")),
    key("qemu-img-options", Kind::Map, Form::Value("--qemu-img-options")),
    key("root-label", Kind::Text, Form::Value("--root-label")),
    key("ramdisk-element", Kind::Text, Form::Value("--ramdisk-element")),
    key("install-type", Kind::OneOf(&["source", "package"]), Form::Value("--install-type")),
    key("docker-target", Kind::Text, Form::Value("--docker-target")),
    key("packages", Kind::List, Form::Value("-p")),
    key("skip-base", Kind::Flag, Form::Switch("-n")),
    key("elements", Kind::List, Form::Positional),
];

impl Key {
    /// The key of this name.
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The arguments for a value; nothing for an empty or false one.
    pub fn arguments(&self, setting: &Setting) -> Vec<String> {
        let text = match setting {
            Setting::Text(text) => text.clone(),
            Setting::List(items) => items.join(","),
            Setting::Map(pairs) => pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
            Setting::Count(_) | Setting::Flag(_) => String::new(),
        };
        match (self.form, setting) {
            (Form::Switch(option), Setting::Flag(true)) => vec![option.to_owned()],
            (Form::Switch(option), Setting::Count(times)) => vec![option.to_owned(); *times],
            (Form::Positional, Setting::List(items)) => items.clone(),
            (Form::Value(option), _) if !text.is_empty() => vec![option.to_owned(), text],
            _ => Vec::new(),
        }
    }
}
