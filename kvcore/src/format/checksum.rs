//! The checksum of frames: CRC-32C, begun over where the frame lies.
//!
//! A frame that turns up at another offset, in another segment, in a reused file, or
//! inside a client's value does not validate: its checksum was begun differently, and
//! the salt is a secret that never leaves the data directory.

use std::fmt;

/// Where a segment's checksums begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// The segment's secret.
    pub salt: u64,
    /// The segment's number.
    pub sequence: u64,
}

impl Seed {
    /// The checksum of `bytes` in a frame that begins at `offset` of the file.
    pub fn crc(self, offset: u64, bytes: &[u8]) -> u32 {
        self.at(offset).add(bytes).finish()
    }

    /// The checksum begun for a frame at `offset`: salt, sequence and offset are in it.
    pub fn at(self, offset: u64) -> Crc {
        Crc(0)
            .add(&self.salt.to_le_bytes())
            .add(&self.sequence.to_le_bytes())
            .add(&offset.to_le_bytes())
    }
}

/// The salt stays out of logs.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// A checksum under way.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Crc(u32);

impl Crc {
    #[expect(
        clippy::should_implement_trait,
        reason = "bytes are fed in, no numbers are added"
    )]
    pub fn add(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    pub const fn finish(self) -> u32 {
        self.0
    }
}

/// The checksum of files that need no seed: segment header, MANIFEST.
pub(super) fn plain(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed {
        salt: 0x0123_4567_89ab_cdef,
        sequence: 7,
    };

    #[test]
    fn it_is_crc32c_of_salt_sequence_offset_and_bytes() {
        let mut all = Vec::new();
        all.extend_from_slice(&SEED.salt.to_le_bytes());
        all.extend_from_slice(&7u64.to_le_bytes());
        all.extend_from_slice(&4096u64.to_le_bytes());
        all.extend_from_slice(b"body");
        assert_eq!(SEED.crc(4096, b"body"), plain(&all));
        assert_eq!(
            plain(b"123456789"),
            0xe306_9283,
            "the published check value"
        );
    }

    #[test]
    fn every_part_of_the_seed_counts() {
        let sum = SEED.crc(4096, b"body");
        assert_ne!(sum, SEED.crc(4104, b"body"));
        assert_ne!(sum, Seed { salt: 1, ..SEED }.crc(4096, b"body"));
        assert_ne!(
            sum,
            Seed {
                sequence: 8,
                ..SEED
            }
            .crc(4096, b"body")
        );
    }

    #[test]
    fn slices_add_up() {
        let whole = SEED.crc(8, b"head and body");
        assert_eq!(
            whole,
            SEED.at(8).add(b"head ").add(b"").add(b"and body").finish()
        );
    }

    #[test]
    fn the_salt_is_not_shown() {
        assert_eq!(format!("{SEED:?}"), "Seed { sequence: 7, .. }");
    }
}
