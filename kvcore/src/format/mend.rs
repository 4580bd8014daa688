//! Which bit was flipped, if it was one.
//!
//! A checksum that does not fit tells more than that it does not: the difference between
//! the one that is stored and the one that comes out is the checksum of the damage alone. For
//! one flipped bit it depends on nothing but how many bits follow it, and within
//! 2^31 bits no two places give the same. So the place is found, and what stood there is known.
//!
//! * It is a claim about damage of one bit. Other damage looks like it by chance, with a
//!   chance of one in 2^32 for every bit that is covered: so only short stretches are mended,
//!   none with a sector of zeros in it, and what was mended is reported.
//! * The caller checks again what it has mended.

/// Crc32c's polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const TOP: u32 = 1 << 31;
/// Longest stretch that is mended. A frame with more than one unit is not longer; of eight
/// thousand of them with other damage than one bit, one is taken for such.
pub const MENDED_BYTES: usize = 64 << 10;
/// A sector of zeros, wherever it begins, holds an aligned run of this length.
const HOLLOW: usize = 256;

/// Where a flipped bit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// In the stored checksum itself.
    Checksum,
    /// This bit of this byte of what it covers.
    Covered { byte: usize, bit: u32 },
}

/// The one flipped bit that makes `computed` of `len` bytes differ from `stored`.
pub fn one_flip(stored: u32, computed: u32, len: usize) -> Option<Flip> {
    let mut difference = stored ^ computed;
    if difference == 0 {
        return None;
    }
    if difference.is_power_of_two() {
        // No bit before it can give this one: that would be two flips that no checksum sees.
        return Some(Flip::Checksum);
    }
    // Undone bit by bit from the end: a lone bit in front of the register is the damage.
    for follow in 0..len.checked_mul(8)? {
        difference = if difference & TOP == 0 {
            difference << 1
        } else {
            ((difference ^ POLYNOMIAL) << 1) | 1
        };
        if difference == 1 {
            let byte = len.checked_sub(1)?.checked_sub(follow.checked_div(8)?)?;
            let bit = 7_u32.checked_sub(u32::try_from(follow.checked_rem(8)?).ok()?)?;
            return Some(Flip::Covered { byte, bit });
        }
    }
    None
}

/// `bytes` as they were before one bit was flipped; none if that does not explain it.
pub(super) fn mend(bytes: &[u8], stored: u32, computed: u32) -> Option<(Vec<u8>, Flip)> {
    let zeros = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    if bytes.len() > MENDED_BYTES || bytes.chunks_exact(HOLLOW).any(zeros) {
        return None;
    }
    let flip = one_flip(stored, computed, bytes.len())?;
    let mut mended = bytes.to_vec();
    if let Flip::Covered { byte, bit } = flip {
        let byte = mended.get_mut(byte)?;
        *byte ^= 1_u8.checked_shl(bit)?;
    }
    Some((mended, flip))
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "tests damage bytes at places they know"
)]
mod tests {
    use super::*;
    use crate::format::checksum::{Seed, plain};

    #[test]
    fn every_single_bit_is_found_and_put_right() {
        let seed = Seed {
            salt: 77,
            sequence: 3,
        };
        let bytes: Vec<u8> = (0..300_u32)
            .map(|i| (i * 37 + 11).to_le_bytes()[0])
            .collect();
        for stored in [plain(&bytes), seed.crc(4096, &bytes)] {
            let seeded = stored != plain(&bytes);
            for byte in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[byte] ^= 1 << bit;
                    let computed = if seeded {
                        seed.crc(4096, &flipped)
                    } else {
                        plain(&flipped)
                    };
                    let (mended, flip) = mend(&flipped, stored, computed).expect("one bit");
                    assert_eq!(flip, Flip::Covered { byte, bit });
                    assert_eq!(mended, bytes);
                }
            }
            for bit in 0..32 {
                let flip = one_flip(stored ^ (1 << bit), stored, bytes.len());
                assert_eq!(flip, Some(Flip::Checksum));
            }
            assert_eq!(one_flip(stored, stored, bytes.len()), None);
        }
    }

    #[test]
    fn two_bits_and_sectors_of_zeros_are_nothing_to_mend() {
        let bytes: Vec<u8> = (0..4096_u32)
            .map(|i| (i * 37 + 11).to_le_bytes()[0])
            .collect();
        let stored = plain(&bytes);
        for (one, other) in [(0, 1), (5, 4000), (100, 612)] {
            let mut damaged = bytes.clone();
            damaged[one] ^= 1;
            damaged[other] ^= 0x80;
            let told = mend(&damaged, stored, plain(&damaged));
            assert!(told.is_none(), "{one} {other}");
        }
        let mut damaged = bytes.clone();
        damaged[1024..1536].fill(0);
        assert!(mend(&damaged, stored, plain(&damaged)).is_none());
        let mut hollow = bytes;
        hollow[1024..1536].fill(0);
        let stored = plain(&hollow);
        hollow[7] ^= 4;
        assert!(
            mend(&hollow, stored, plain(&hollow)).is_none(),
            "it may have been more"
        );
    }
}
