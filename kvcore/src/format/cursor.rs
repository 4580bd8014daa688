//! Reading what has no fixed place: a cursor that knows where it is, and the varint.

use super::FormatError;

/// Longest varint of a u64.
const VARINT_BYTES: usize = 10;

/// Walks forward over a slice; every error names the byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// `at` is what the slice's first byte is called in errors.
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], FormatError> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            return Err(FormatError::CutOff {
                what,
                at: self.at,
                need: n,
                have: self.rest.len(),
            });
        };
        self.rest = rest;
        self.at = self.at.saturating_add(n);
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], FormatError> {
        let taken = self.take(N, what)?;
        Ok(taken.first_chunk().copied().unwrap_or([0; N]))
    }

    #[inline]
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, FormatError> {
        self.array(what).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, FormatError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A varint in its shortest form: a number has one spelling.
    #[inline]
    pub(super) fn varint(&mut self, what: &'static str) -> Result<u64, FormatError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0u32..).step_by(7).take(VARINT_BYTES) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit of a u64.
            if shift == 63 && byte > 1 {
                return Err(FormatError::NotShortest { what, at: start });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(FormatError::NotShortest { what, at: start });
                }
                return Ok(value);
            }
        }
        Err(FormatError::NotShortest { what, at: start })
    }

    /// A varint length between `min` and `max`, then that many bytes.
    #[inline]
    pub(super) fn bytes(
        &mut self,
        what: &'static str,
        (min, max): (usize, usize),
    ) -> Result<&'a [u8], FormatError> {
        let at = self.at;
        let len = self.varint(what)?;
        FormatError::range(what, at, len, (min as u64, max as u64))?;
        // In range of two usizes, so it is one.
        self.take(usize::try_from(len).unwrap_or(usize::MAX), what)
    }

    /// Refuses bytes behind the end.
    pub(super) fn finish(self, what: &'static str) -> Result<(), FormatError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(FormatError::Trailing {
            what,
            at: self.at,
            left: self.left(),
        })
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low seven bits are what is wanted"
)]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A varint length, then the bytes.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "tests cut bytes at places they know"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<u64, FormatError> {
        let mut cursor = Cursor::new(bytes, 0);
        let value = cursor.varint("number")?;
        cursor.finish("number")?;
        Ok(value)
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert!(bytes.len() <= VARINT_BYTES);
            prop_assert_eq!(read(&bytes), Ok(value));
            for n in 0..bytes.len() {
                prop_assert!(read(&bytes[..n]).is_err());
            }
        }

        #[test]
        fn what_reads_is_what_would_be_written(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(value) = read(&bytes) {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn a_padded_varint_is_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xff, 0x80, 0x00], &[0xff; 10]] {
            let refused = FormatError::NotShortest {
                what: "number",
                at: 0,
            };
            assert_eq!(read(bytes), Err(refused), "{bytes:02x?}");
        }
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(read(&most), Ok(u64::MAX));
    }
}
