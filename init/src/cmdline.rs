//! The kernel's command line.

/// The words of a command line, in order. Later ones win where only one can be meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Names and values; a word without `=` has no value.
    words: Vec<(String, Option<String>)>,
}

impl CommandLine {
    /// Splits a command line into words as the kernel does: blanks separate, double quotes hold together.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut words = Vec::new();
        let (mut word, mut quoted, mut begun) = (String::new(), false, false);
        for c in line.chars().chain([' ']) {
            match c {
                '"' => (quoted, begun) = (!quoted, true),
                c if c.is_whitespace() && (!quoted || c == '\n') => {
                    if begun {
                        words.push(split(&std::mem::take(&mut word)));
                    }
                    begun = false;
                }
                c => {
                    word.push(c);
                    begun = true;
                }
            }
        }
        if begun && !word.is_empty() {
            words.push(split(&word));
        }
        Self { words }
    }

    /// The last value that a name got.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.words.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }

    /// All values that a name got.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.words.iter().filter(move |(n, _)| n == name).filter_map(|(_, value)| value.as_deref())
    }

    /// Whether a word is there, with a value or without.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.words.iter().any(|(n, _)| n == name)
    }

    /// Which of these words comes last, if any is there.
    #[must_use]
    pub fn last_of<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        self.words.iter().rev().find_map(|(word, _)| names.iter().find(|name| *name == word).copied())
    }

    /// The settings of a module, from words like `usbcore.autosuspend=-1`, as one text for the kernel.
    #[must_use]
    pub fn module_parameters(&self, module: &str) -> String {
        let own = self.words.iter().filter_map(|(name, value)| {
            let (of, parameter) = name.split_once('.')?;
            let same = of.replace('-', "_") == module.replace('-', "_");
            same.then(|| match value {
                Some(value) if value.contains(' ') => format!("{parameter}=\"{value}\""),
                Some(value) => format!("{parameter}={value}"),
                None => parameter.to_owned(),
            })
        });
        own.collect::<Vec<_>>().join(" ")
    }
}

/// A word's name and value.
fn split(word: &str) -> (String, Option<String>) {
    match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::CommandLine;

    #[test]
    fn words_values_and_quotes() {
        let line = CommandLine::parse("BOOT_IMAGE=/vmlinuz root=UUID=ab-c ro dyndbg=\"file a.c +p; b\" quiet ro=\n");
        assert_eq!(line.get("root"), Some("UUID=ab-c"));
        assert_eq!(line.get("dyndbg"), Some("file a.c +p; b"));
        assert!(line.has("quiet") && line.has("ro") && !line.has("rw"));
        assert_eq!(line.get("ro"), Some(""));
        assert_eq!(CommandLine::parse("  "), CommandLine::default());
    }

    #[test]
    fn the_last_word_wins() {
        let line = CommandLine::parse("root=/dev/sda1 ro rw root=/dev/vda1");
        assert_eq!(line.get("root"), Some("/dev/vda1"));
        assert_eq!(line.last_of(&["ro", "rw"]), Some("rw"));
        assert_eq!(line.all("root").collect::<Vec<_>>(), ["/dev/sda1", "/dev/vda1"]);
    }

    #[test]
    fn parameters_of_modules() {
        let line =
            CommandLine::parse("usb-storage.quirks=1:2:u usb_storage.delay_use=0 nvme.x other.y=2 loop.z=\"a b\"");
        assert_eq!(line.module_parameters("usb_storage"), "quirks=1:2:u delay_use=0");
        assert_eq!(line.module_parameters("nvme"), "x");
        assert_eq!(line.module_parameters("loop"), "z=\"a b\"");
        assert_eq!(line.module_parameters("ext4"), "");
    }
}
