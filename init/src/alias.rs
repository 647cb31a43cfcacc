//! Patterns of `modules.alias`: what `fnmatch` makes of them, without its special cases for slashes and dots.

/// Tells whether a pattern with `*`, `?`, `[set]` and `\` matches the whole of a text.
///
/// A set knows ranges and `!` or `^` in front; one that is not closed matches nothing.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The last star that was passed: where the pattern goes on behind it, and what text it has eaten.
    let mut star: Option<(usize, usize)> = None;
    let (mut p, mut t) = (0, 0);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if let Some(next) = one(pattern, p, text[t]) {
            (p, t) = (next, t + 1);
            continue;
        }
        let Some((behind, eaten)) = star else { return false };
        star = Some((behind, eaten + 1));
        (p, t) = (behind, eaten + 1);
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte; gives where the pattern goes on.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => set(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        other => (*other == byte).then_some(at + 1),
    }
}

/// Matches one byte with the set that begins at `at`; gives where the pattern goes on.
fn set(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let (first, mut found) = (at, false);
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return (found != negated).then_some(at + 1);
        }
        let range = pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|c| *c != b']');
        let high = if range { pattern[at + 2] } else { low };
        found |= (low..=high).contains(&byte);
        at += if range { 3 } else { 1 };
    }
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
