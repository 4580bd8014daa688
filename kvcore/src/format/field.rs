//! Fields at fixed places: a layout is a chain of [`Field`]s, each one placed after the
//! one before it, so that no offset is ever typed by hand.

/// One field of a fixed layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub at: usize,
    pub bytes: usize,
}

impl Field {
    pub(super) const fn first(name: &'static str, bytes: usize) -> Self {
        Self { name, at: 0, bytes }
    }

    /// The field right behind this one.
    pub(super) const fn then(self, name: &'static str, bytes: usize) -> Self {
        Self {
            name,
            at: self.end(),
            bytes,
        }
    }

    /// Where the next field begins.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "evaluated while compiling; an overflow there is an error"
    )]
    pub const fn end(self) -> usize {
        self.at + self.bytes
    }

    /// The field's bytes. `from` is the whole layout, whose length the caller has checked.
    #[expect(
        clippy::indexing_slicing,
        reason = "each layout asserts at compile time that its last field ends with it"
    )]
    pub(super) fn get<const N: usize>(self, from: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&from[self.at..self.end()]);
        bytes
    }

    pub(super) fn u8(self, from: &[u8]) -> u8 {
        u8::from_le_bytes(self.get(from))
    }

    pub(super) fn u16(self, from: &[u8]) -> u16 {
        u16::from_le_bytes(self.get(from))
    }

    pub(super) fn u32(self, from: &[u8]) -> u32 {
        u32::from_le_bytes(self.get(from))
    }

    pub(super) fn u64(self, from: &[u8]) -> u64 {
        u64::from_le_bytes(self.get(from))
    }

    /// Writes the field; `value` has its length.
    #[expect(
        clippy::indexing_slicing,
        reason = "each layout asserts at compile time that its last field ends with it"
    )]
    pub(super) fn put(self, into: &mut [u8], value: &[u8]) {
        into[self.at..self.end()].copy_from_slice(value);
    }

    /// The first byte of the field that is not zero, as its place in the layout and itself.
    pub(super) fn first_non_zero(self, from: &[u8]) -> Option<(usize, u8)> {
        from.iter()
            .copied()
            .enumerate()
            .take(self.end())
            .skip(self.at)
            .find(|(_, byte)| *byte != 0)
    }
}
