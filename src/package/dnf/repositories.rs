//! Repository files of dnf (yum.conf(5)), as far as explanations want them.

/// A section of a repository file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repository {
    /// Its id.
    pub id: String,
    /// Its addresses, with their variables.
    pub baseurl: Vec<String>,
    /// The address of its mirror list or metalink.
    pub list: Option<String>,
    /// The addresses of its keys.
    pub keys: Vec<String>,
    /// Turned off.
    pub disabled: bool,
}

impl Repository {
    /// Where on the mirror releases lie side by side, and what lies below each: `(https://m/rocky, BaseOS/$basearch/os)`.
    pub fn releases(&self) -> Option<(&str, &str)> {
        let (before, after) = self.baseurl.first()?.split_once("/$releasever/")?;
        Some((before, after.trim_end_matches('/')))
    }
}

/// The repositories in a file's text.
pub fn parse(text: &str) -> Vec<Repository> {
    let mut found: Vec<Repository> = Vec::new();
    let mut key = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(id) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push(Repository { id: id.to_owned(), ..Repository::default() });
            key.clear();
            continue;
        }
        let Some(repository) = found.last_mut() else { continue };
        // An indented line goes on with the value above.
        let value = match trimmed.split_once('=') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                key = name.trim().to_owned();
                value.trim()
            }
            _ => trimmed,
        };
        let words = value.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned);
        match key.as_str() {
            "baseurl" => repository.baseurl.extend(words),
            "enabled" => repository.disabled = ["0", "no", "false", "off"].contains(&value),
            "gpgkey" => repository.keys.extend(words),
            "mirrorlist" | "metalink" => repository.list = Some(value.to_owned()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_addresses_and_keys() {
        let text = "# x\n[baseos]\ngpgkey=file:///a\nname=Rocky $releasever\n#mirrorlist=http://no\n\
            baseurl = https://m/rocky/$releasever/BaseOS/$basearch/os/\n  https://n/\n[bad]\nmirrorlist=http://l?x=$releasever\nenabled=0\n";
        let found = parse(text);
        assert_eq!(found[0].keys, ["file:///a"]);
        assert_eq!(found[0].baseurl, ["https://m/rocky/$releasever/BaseOS/$basearch/os/", "https://n/"]);
        assert_eq!(found[0].releases(), Some(("https://m/rocky", "BaseOS/$basearch/os")));
        assert_eq!(found[0].list, None);
        assert_eq!((found[1].id.as_str(), found[1].list.as_deref()), ("bad", Some("http://l?x=$releasever")));
        assert_eq!(found[1].releases(), None);
        assert!(found[1].disabled && !found[0].disabled);
    }
}
