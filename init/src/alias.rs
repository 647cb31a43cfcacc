//! Patterns of `modules.alias`: what `fnmatch` makes of them, without its special cases for slashes and dots.

/// Whether a pattern matches as fnmatch(3) without flags: `*`, `?`, `[a-f0-9]`, `[!x]`, `\*`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not match: one letter later.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            back = Some((p, t));
        } else if let Some(next) = one(pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&letter| letter == b'*')
}

/// Where the pattern goes on if what is at `p` matches the letter.
fn one(pattern: &[u8], p: usize, letter: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == letter).then_some(p + 2),
        b'[' => match set(&pattern[p + 1..], letter) {
            Some((true, length)) => Some(p + 1 + length),
            Some((false, _)) => None,
            // Without its end it is a letter like others.
            None => (letter == b'[').then_some(p + 1),
        },
        literal => (literal == letter).then_some(p + 1),
    }
}

/// Whether the letter is in the set that begins behind `[`, and how long the set is with its `]`.
fn set(set: &[u8], letter: u8) -> Option<(bool, usize)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    let mut at = start;
    let mut hit = false;
    loop {
        let first = *set.get(at)?;
        // A bracket that comes first is a member.
        if first == b']' && at > start {
            return Some((hit != negated, at + 1));
        }
        match (set.get(at + 1), set.get(at + 2)) {
            (Some(b'-'), Some(&last)) if last != b']' => {
                hit |= (first..=last).contains(&letter);
                at += 3;
            }
            _ => {
                hit |= first == letter;
                at += 1;
            }
        }
    }
}

/// The form in which names and aliases are compared: with `_` for `-`, except within the brackets of a pattern, where
/// `-` means a range.
#[must_use]
pub fn plain(name: &str) -> String {
    let mut inside = false;
    let letters = name.chars().map(|c| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            '-' if !inside => return '_',
            _ => {}
        }
        c
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn matches_what_devices_are_called() {
        let nic = b"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00";
        assert!(matches(b"pci:v00008086d0000100Esv*sd*bc*sc*i*", nic));
        assert!(!matches(b"pci:v00008086d0000100Fsv*sd*bc*sc*i*", nic));
        assert!(matches(b"virtio:d00000002v*", b"virtio:d00000002v00001AF4"));
        assert!(matches(b"usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", b"usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00"));
        assert!(matches(
            b"cpu:type:x86,ven*fam*mod*:feature:*0099*",
            b"cpu:type:x86,ven0000fam0006mod0006:feature:,0000,0099,00C0"
        ));
        assert!(!matches(
            b"cpu:type:x86,ven*fam*mod*:feature:*0099*",
            b"cpu:type:x86,ven0000fam0006mod0006:feature:,0000"
        ));
    }

    #[test]
    fn sets_stars_and_what_is_not_closed() {
        assert!(matches(b"a[0-9a-f]*", b"ac7"));
        assert!(!matches(b"a[!0-9]", b"a7"));
        assert!(matches(b"a[]x]", b"a]"));
        assert!(!matches(b"a[0-9", b"a7"));
        assert!(matches(b"*", b""));
        assert!(matches(b"**b**", b"aab"));
        assert!(!matches(b"", b"a"));
        assert!(matches(b"a\\*", b"a*"));
        assert!(!matches(b"a\\*", b"ab"));
    }

    #[test]
    fn many_stars_end_in_time() {
        assert!(!matches(&[b"*a".repeat(30), b"*b".to_vec()].concat(), &b"a".repeat(5000)));
    }
}
