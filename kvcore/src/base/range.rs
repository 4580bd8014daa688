//! Which keys a request is about: one half-open span in byte order, however it was named.

/// Keys from `start` (inclusive) to `end` (exclusive).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Vec<u8>,
    /// None: to the last key.
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub const fn all() -> Self {
        Self {
            start: Vec::new(),
            end: None,
        }
    }

    /// Every key that begins with `prefix`; an empty one names every key.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: prefix.to_vec(),
            end: successor(prefix),
        }
    }

    /// From `start` to before `end`; an empty `end` is no end.
    pub fn span(start: &[u8], end: &[u8]) -> Self {
        Self {
            start: start.to_vec(),
            end: (!end.is_empty()).then(|| end.to_vec()),
        }
    }

    /// Exactly this key.
    pub fn key(key: &[u8]) -> Self {
        let mut end = Vec::with_capacity(key.len() + 1);
        end.extend_from_slice(key);
        end.push(0);
        Self {
            start: key.to_vec(),
            end: Some(end),
        }
    }

    /// The first key that may be in the range.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The first key behind the range; None: there is none.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// The key, if the range holds one key at most.
    pub fn as_key(&self) -> Option<&[u8]> {
        match self.end.as_deref() {
            Some([key @ .., 0]) if key == self.start && !key.is_empty() => Some(key),
            _ => None,
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end().is_none_or(|end| key < end)
    }

    /// No key can be in it.
    pub fn is_empty(&self) -> bool {
        self.end().is_some_and(|end| end <= self.start.as_slice())
    }
}

/// The first key behind every key that begins with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_span_of_all_keys_that_begin_with_it() {
        let range = KeyRange::prefix(b"a\xff");
        assert_eq!(
            (range.start(), range.end()),
            (&b"a\xff"[..], Some(&b"b"[..]))
        );
        for (key, inside) in [
            (&b"a"[..], false),
            (b"a\xff", true),
            (b"a\xff\xff\xff", true),
            (b"b", false),
        ] {
            assert_eq!(range.contains(key), inside, "{key:?}");
        }
        assert_eq!(KeyRange::prefix(b"\xff\xff").end(), None);
        assert_eq!(KeyRange::prefix(b""), KeyRange::all());
    }

    #[test]
    fn a_range_of_one_key_knows_it() {
        let one = KeyRange::key(b"k\0");
        assert_eq!(one.as_key(), Some(&b"k\0"[..]));
        assert!(one.contains(b"k\0") && !one.contains(b"k") && !one.contains(b"k\0\0"));
        assert_eq!(KeyRange::prefix(b"k").as_key(), None);
        assert_eq!(KeyRange::all().as_key(), None);
    }

    #[test]
    fn a_span_that_ends_where_it_begins_is_empty() {
        assert!(KeyRange::span(b"b", b"a").is_empty() && KeyRange::span(b"a", b"a").is_empty());
        assert!(!KeyRange::span(b"a", b"b").is_empty() && !KeyRange::all().is_empty());
    }
}
