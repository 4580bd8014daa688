//! How an [`ErrorReason`] is spelt in `google.rpc.ErrorInfo`: the enum name
//! without its prefix, under the domain `kvd`.

use crate::v1::ErrorReason;

/// The `domain` of every `google.rpc.ErrorInfo` that kvd makes.
pub const ERROR_DOMAIN: &str = "kvd";

const PREFIX: &str = "ERROR_REASON_";

impl ErrorReason {
    /// The reason as it is written in `ErrorInfo.reason`, for example
    /// `KEY_TOO_LARGE`.
    pub fn wire_name(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix(PREFIX).unwrap_or(name)
    }

    /// The reason that `ErrorInfo.reason` spells, if this version knows it.
    pub fn from_wire_name(name: &str) -> Option<Self> {
        Self::from_str_name(&format!("{PREFIX}{name}"))
    }

    /// Every reason kvd gives, without `Unspecified`.
    pub fn all() -> impl Iterator<Item = Self> {
        // The numbers leave gaps for later reasons, and none is above 1,000.
        (1..1_000).filter_map(|number| Self::try_from(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        assert!(ErrorReason::all().count() > 40);
        for reason in ErrorReason::all() {
            assert!(!reason.wire_name().contains("ERROR_REASON"), "{reason:?}");
            assert_eq!(
                ErrorReason::from_wire_name(reason.wire_name()),
                Some(reason)
            );
        }
    }

    #[test]
    fn wire_names_have_no_prefix() {
        assert_eq!(ErrorReason::KeyTooLarge.wire_name(), "KEY_TOO_LARGE");
        assert_eq!(ErrorReason::from_wire_name("ERROR_REASON_LOADING"), None);
        assert_eq!(ErrorReason::from_wire_name("NO_SUCH_REASON"), None);
    }
}
