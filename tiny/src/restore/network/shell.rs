//! Files of assignments that a shell reads, as /etc/sysconfig has them.

use std::collections::BTreeMap;

/// Variables with their values, without quotes. Lines that are no assignment are left out, as are variables without a
/// value: to the scripts that read these files they are the same.
pub(super) fn assignments(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        for word in shlex::split(line).unwrap_or_default() {
            let Some((key, value)) = word.split_once('=') else { continue };
            if !key.is_empty()
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !value.trim().is_empty()
            {
                values.insert(key.to_owned(), value.trim().to_owned());
            }
        }
    }
    values
}

/// Whether a value means yes, as the scripts take it.
pub(super) fn is_yes(value: Option<&String>) -> bool {
    value.is_some_and(|value| matches!(value.to_lowercase().as_str(), "yes" | "true" | "t" | "y" | "1" | "on"))
}

/// Whether a value means no.
pub(super) fn is_no(value: Option<&String>) -> bool {
    value.is_some_and(|value| matches!(value.to_lowercase().as_str(), "no" | "false" | "f" | "n" | "0" | "off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_and_several_on_a_line() {
        let text = "TYPE=\"Ethernet\"\n# DEVICE=no\nNAME='System eth0'  # a name\nEMPTY=\nA=1 B=\"2 3\"\nexport C=x\\ y\nBAD='\nD=4\r\n";
        let values = assignments(text);
        let wanted =
            [("A", "1"), ("B", "2 3"), ("C", "x y"), ("D", "4"), ("NAME", "System eth0"), ("TYPE", "Ethernet")];
        assert_eq!(values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), wanted);
        assert!(is_yes(Some(&"Yes".into())) && is_no(Some(&"off".into())) && !is_yes(None) && !is_no(None));
    }
}
