//! A key as the index holds it: in the tree's node itself if it is short.
//!
//! ```text
//!  tag | len | up to 22 bytes of a short key          24 bytes
//!  tag |  -  | pointer and length of a long one       24 bytes
//! ```
//! A look-up compares with about thirty keys on its way down. Behind a pointer each of them
//! is a cache line of its own; in the node they are read in a row.

use std::borrow::Borrow;
use std::cmp::Ordering;

const SHORT: usize = 22;

/// See the module. Equal, ordered and borrowed as its bytes.
#[derive(Debug)]
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    pub(super) fn new(key: &[u8]) -> Self {
        match u8::try_from(key.len()) {
            Ok(len) if key.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..key.len()].copy_from_slice(key);
                Self::Short { len, bytes }
            }
            _ => Self::Long(key.into()),
        }
    }

    /// The bytes of a short key, filled up with zeros, as numbers of the same order, and the
    /// length, which tells keys apart that end in zeros.
    fn words(bytes: &[u8; SHORT], len: u8) -> (u128, u64, u8) {
        let (mut high, mut low) = ([0; 16], [0; 8]);
        high.copy_from_slice(&bytes[..16]);
        low[..SHORT - 16].copy_from_slice(&bytes[16..]);
        // The first byte is the most significant one.
        let (high, low) = (u128::from_le_bytes(high), u64::from_le_bytes(low));
        (high.swap_bytes(), low.swap_bytes(), len)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Short { len: a, bytes: x }, Self::Short { len: b, bytes: y }) => {
                Self::words(x, *a).cmp(&Self::words(y, *b))
            }
            _ => self.as_bytes().cmp(other.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_length_keep_their_bytes_and_their_order() {
        assert_eq!(size_of::<Key>(), 24);
        let mut keys: Vec<Vec<u8>> = (0..70_usize)
            .flat_map(|len| [vec![0; len], vec![7; len], vec![255; len]])
            .collect();
        keys.sort();
        for pair in keys.windows(2) {
            let [a, b] = [Key::new(&pair[0]), Key::new(&pair[1])];
            assert_eq!((a.as_bytes(), b.as_bytes()), (&pair[0][..], &pair[1][..]));
            assert_eq!(a.cmp(&b), pair[0].cmp(&pair[1]));
            assert_eq!(a == b, pair[0] == pair[1]);
        }
        let zeros: Vec<Vec<u8>> = (0..40).map(|len| vec![0; len]).collect();
        for (x, y) in zeros.iter().flat_map(|x| keys.iter().map(move |y| (x, y))) {
            assert_eq!(Key::new(x).cmp(&Key::new(y)), x.cmp(y));
            assert_eq!(Key::new(y).cmp(&Key::new(x)), y.cmp(x));
        }
    }
}
