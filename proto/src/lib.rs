//! The wire contract of kvd: the generated messages, clients and servers of
//! package `kvd.v1`, and the descriptor set that reflection serves.
//!
//! The `.proto` files under `proto/kvd/v1` are the contract; nothing here adds
//! to it but the spelling of error reasons ([`v1::ErrorReason::wire_name`]).

mod reason;

pub use reason::ERROR_DOMAIN;

/// Everything generated from package `kvd.v1`.
pub mod v1 {
    #![expect(
        clippy::pedantic,
        clippy::large_enum_variant,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        unused_qualifications,
        reason = "generated code, not ours to style"
    )]
    include!(concat!(env!("OUT_DIR"), "/kvd.v1.rs"));
}

/// The encoded `FileDescriptorSet` of package `kvd.v1`, with comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kvd.v1.bin"));
