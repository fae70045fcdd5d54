//! Glob patterns of KEYS, SCAN and CONFIG GET: `*`, `?`, `[a-c]`, `[^x]` and `\` before a literal.

/// Whether the whole text matches the pattern. Takes time in the product of the lengths at worst.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The latest star: where the pattern goes on after it, and how far it has swallowed the text.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            None if p >= pattern.len() => return true,
            None => return false,
            Some(byte) => one(&pattern[p..], *byte),
        };
        match (step, &mut star) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((after, swallowed))) => {
                *swallowed += 1;
                p = *after;
                t = *swallowed;
            }
            (None, None) => return false,
        }
    }
}

/// If the first element of the pattern matches the byte: the element's length.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', set @ ..] => {
            let (hit, length) = in_set(set, byte);
            hit.then_some(1 + length)
        }
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether the byte is in the set, and the set's length after its opening bracket. An unclosed set
/// ends with the pattern.
fn in_set(set: &[u8], byte: u8) -> (bool, usize) {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut hit = false;
    loop {
        match &set[at.min(set.len())..] {
            [] => return (hit != negated, set.len()),
            [b'\\', literal, ..] => {
                hit |= *literal == byte;
                at += 2;
            }
            [b']', ..] => return (hit != negated, at + 1),
            [from, b'-', to, ..] => {
                hit |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                hit |= *literal == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_redis_does() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("a**b", "ab", true),
            ("[abc", "c", true),
            ("key:*", "key:1", true),
            ("*:1", "key:11", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "*a".repeat(40);
        let text = "a".repeat(20_000) + "b";
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
