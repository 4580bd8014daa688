//! Why bytes were refused: what was being read, where, what stood there.

use std::fmt::Display;

use thiserror::Error;

/// Bytes that are not what they should be.
///
/// `at` counts from the first byte of the slice that the decoder was given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    #[error("{what} at byte {at} needs {need} bytes, {have} are left")]
    CutOff {
        what: &'static str,
        at: usize,
        need: usize,
        have: usize,
    },
    #[error("{what} begins with {found:02x?}, not with {expected:02x?}: not such a file")]
    Magic {
        what: &'static str,
        found: [u8; 8],
        expected: [u8; 8],
    },
    #[error(
        "{what} has format version {major}.{minor}, this program reads {supported}.x: \
         use a newer kvd"
    )]
    UnsupportedMajor {
        what: &'static str,
        major: u16,
        minor: u16,
        supported: u16,
    },
    #[error("{what}: checksum {stored:08x} is stored, the bytes give {computed:08x}")]
    Checksum {
        what: &'static str,
        stored: u32,
        computed: u32,
    },
    #[error("{what}: reserved byte {at} is {found:#04x} and must be zero")]
    Reserved {
        what: &'static str,
        at: usize,
        found: u8,
    },
    #[error("{what} at byte {at} is {found}, allowed are {min} to {max}")]
    OutOfRange {
        what: &'static str,
        at: usize,
        found: u64,
        min: u64,
        max: u64,
    },
    #[error("{what} at byte {at} is not in its shortest form")]
    NotShortest { what: &'static str, at: usize },
    #[error("{what}: {left} bytes follow byte {at}, where it should end")]
    Trailing {
        what: &'static str,
        at: usize,
        left: usize,
    },
    #[error("{what}: {rule}")]
    Rule {
        what: &'static str,
        rule: &'static str,
    },
    #[error("{what} lacks the field {field}")]
    MissingField {
        what: &'static str,
        field: &'static str,
    },
    #[error("unknown segment flags {0:#010x}: written by a newer kvd")]
    UnknownSegmentFlags(u32),
    #[error("unknown unit kind {kind} at byte {at}: written by a newer kvd")]
    UnknownUnitKind { kind: u8, at: usize },
    #[error("unknown unit flags {flags:#04x} at byte {at}: written by a newer kvd")]
    UnknownUnitFlags { flags: u8, at: usize },
    #[error("unknown operation code {code} at byte {at}: written by a newer kvd")]
    UnknownOpCode { code: u8, at: usize },
    #[error("unknown operation bits {bits:#06x} at byte {at}: written by a newer kvd")]
    UnknownOpBits { bits: u16, at: usize },
    #[error("unknown cause {cause} at byte {at}: written by a newer kvd")]
    UnknownCause { cause: u8, at: usize },
    #[error("unknown request outcome {kind} at byte {at}: written by a newer kvd")]
    UnknownOutcome { kind: u8, at: usize },
    #[error("unknown MANIFEST field {tag} at byte {at}: written by a newer kvd")]
    UnknownManifestTag { tag: u16, at: usize },
    #[error("unknown kind {kind} of snapshot block: written by a newer kvd")]
    UnknownSnapshotBlock { kind: u8 },
    #[error("unknown purpose {number} of a snapshot file: written by a newer kvd")]
    UnknownSnapshotPurpose { number: u32 },
    #[error("the frame holds {found} units, its head says {expected}")]
    UnitCount { found: u64, expected: u32 },
}

impl FormatError {
    /// Whether a newer kvd may have written this: nothing to repair, but to leave alone. A
    /// version that no kvd will have for long is noise.
    pub const fn is_newer(&self) -> bool {
        if let Self::UnsupportedMajor {
            major, supported, ..
        } = self
        {
            return *major > *supported && *major < 256;
        }
        matches!(
            self,
            Self::UnknownSegmentFlags(_)
                | Self::UnknownUnitKind { .. }
                | Self::UnknownUnitFlags { .. }
                | Self::UnknownOpCode { .. }
                | Self::UnknownOpBits { .. }
                | Self::UnknownCause { .. }
                | Self::UnknownOutcome { .. }
                | Self::UnknownManifestTag { .. }
                | Self::UnknownSnapshotBlock { .. }
                | Self::UnknownSnapshotPurpose { .. }
        )
    }

    /// Refuses `found` unless it lies between `min` and `max`, both allowed.
    pub(super) fn range(
        what: &'static str,
        at: usize,
        found: u64,
        (min, max): (u64, u64),
    ) -> Result<(), Self> {
        if (min..=max).contains(&found) {
            return Ok(());
        }
        Err(Self::OutOfRange {
            what,
            at,
            found,
            min,
            max,
        })
    }

    /// Refuses unless `holds`.
    pub(super) fn rule(holds: bool, what: &'static str, rule: &'static str) -> Result<(), Self> {
        if holds {
            return Ok(());
        }
        Err(Self::Rule { what, rule })
    }
}

/// Stops before bytes are written that no reader would accept.
#[expect(
    clippy::panic,
    reason = "a store that stops loses less than a log that cannot be read back"
)]
pub(super) fn assert_writable(what: &str, rules: Result<(), impl Display>) {
    if let Err(broken) = rules {
        panic!("refusing to write a {what}: {broken}");
    }
}
