//! Where a scan may go on: opaque to clients, and bound to what it was made for.
//!
//! ```text
//! token := version u8   1
//!          store [8]    first bytes of the store's id
//!          check u64    of the range, the direction and all that follows
//!          left u64     records that the limit leaves; 0: no limit, or used up
//!          key          the last one that was read
//! ```
//! Numbers are little endian. A token is no secret and no permission: the check keeps
//! mistakes out, not forgers.

use std::hash::Hasher as _;

use bytes::Bytes;
use kvproto::v1::ErrorReason as Reason;
use siphasher::sip::SipHasher24;

use super::status::Refusal;
use crate::backend::KeyRange;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 8 + 8 + 8;

/// What a token is bound to.
#[derive(Debug)]
pub(super) struct Bound<'a> {
    pub(super) store: [u8; 8],
    pub(super) range: &'a KeyRange,
    pub(super) reverse: bool,
}

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) after: Vec<u8>,
    pub(super) left: Option<u64>,
}

impl Bound<'_> {
    pub(super) fn token(&self, after: &[u8], left: Option<u64>) -> Bytes {
        let left = left.unwrap_or(0);
        let mut token = Vec::with_capacity(HEAD + after.len());
        token.push(VERSION);
        token.extend(self.store);
        token.extend(self.check(after, left).to_le_bytes());
        token.extend(left.to_le_bytes());
        token.extend(after);
        token.into()
    }

    pub(super) fn read(&self, token: &[u8]) -> Result<Resume, Refusal> {
        let bad = |problem| {
            Refusal::new(
                Reason::BadToken,
                format!("{problem}: begin the scan again without a token"),
            )
            .field("token")
        };
        let number = |at: usize| {
            let bytes = token.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (Some(check), Some(left), Some(after)) = (number(9), number(17), token.get(HEAD..))
        else {
            return Err(bad("the token is cut short, or none of kvd's"));
        };
        if token[0] != VERSION {
            return Err(bad("the token was made by another version of kvd"));
        }
        if token[1..9] != self.store {
            return Err(bad("the token was made by another store"));
        }
        if check != self.check(after, left) || !self.range.contains(after) {
            return Err(bad(
                "the token is garbled, or of another range or direction",
            ));
        }
        Ok(Resume {
            after: after.to_vec(),
            left: (left > 0).then_some(left),
        })
    }

    fn check(&self, after: &[u8], left: u64) -> u64 {
        let mut hasher = SipHasher24::new();
        let end = self.range.end();
        for part in [self.range.start(), end.unwrap_or_default(), after] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.write(&[u8::from(self.reverse), u8::from(end.is_some())]);
        hasher.write(&left.to_le_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_by_the_scan_that_it_was_made_for_and_by_no_other() {
        let range = KeyRange::prefix(b"user/");
        let bound = |range, reverse, store| Bound {
            store,
            range,
            reverse,
        };
        let made = bound(&range, false, *b"01234567").token(b"user/17", Some(3));
        let read = |bound: &Bound<'_>, token: &[u8]| bound.read(token);
        let resume = read(&bound(&range, false, *b"01234567"), &made).unwrap();
        assert_eq!(
            resume,
            Resume {
                after: b"user/17".to_vec(),
                left: Some(3)
            }
        );
        let others = [
            KeyRange::all(),
            KeyRange::prefix(b"user"),
            KeyRange::key(b"user/17"),
        ];
        let mut refused: Vec<_> = others
            .iter()
            .map(|range| read(&bound(range, false, *b"01234567"), &made))
            .collect();
        refused.push(read(&bound(&range, true, *b"01234567"), &made));
        refused.push(read(&bound(&range, false, *b"76543210"), &made));
        for cut in 0..made.len() {
            refused.push(read(&bound(&range, false, *b"01234567"), &made[..cut]));
        }
        for bit in 0..made.len() * 8 {
            let mut garbled = made.to_vec();
            garbled[bit / 8] ^= 1 << (bit % 8);
            refused.push(read(&bound(&range, false, *b"01234567"), &garbled));
        }
        for refusal in refused {
            assert_eq!(refusal.unwrap_err().reason(), Reason::BadToken);
        }
    }
}
