//! Which trace a call belongs to, and whether it is sampled.
//!
//! ```text
//! traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//!               │  trace id, 16 bytes              parent, 8 bytes  └ flags: 1 is sampled
//!               └ version
//! ```
//! Who calls decides, if it says so; else the ratio does. Anything but one well-formed
//! header is as if there were none: it comes from a network.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

use tonic::metadata::MetadataMap;

/// The place of a span among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// The span of whoever called.
    pub(super) parent: Option<[u8; 8]>,
    /// As in the header.
    pub(super) flags: u8,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remote {
    trace: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

const SAMPLED: u8 = 1;
/// Everything: a ratio of 1.
const ALL: u64 = 1 << 63;

/// The context of a call that is sampled. `share` is of 2^63.
pub(super) fn of_call(metadata: &MetadataMap, share: u64) -> Option<Context> {
    if let Some(remote) = remote(metadata) {
        return (remote.flags & SAMPLED != 0).then(|| Context {
            trace: remote.trace,
            span: span_id(),
            parent: Some(remote.parent),
            flags: remote.flags,
        });
    }
    let low = random();
    (low >> 1 < share).then(|| {
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&random().to_le_bytes());
        trace[8..].copy_from_slice(&low.to_le_bytes());
        Context {
            trace,
            span: span_id(),
            parent: None,
            flags: SAMPLED,
        }
    })
}

/// A ratio from 0 to 1 as a share of 2^63.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the ratio is held to 0 and 1"
)]
pub(super) fn share(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * ALL as f64) as u64
}

fn remote(metadata: &MetadataMap) -> Option<Remote> {
    let mut headers = metadata.get_all("traceparent").iter();
    let header = headers.next()?;
    if headers.next().is_some() {
        return None;
    }
    parse(header.as_bytes())
}

fn parse(header: &[u8]) -> Option<Remote> {
    let (known, more) = header.split_at_checked(55)?;
    if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let [version] = hex(&known[..2])?;
    // Later versions may say more behind another dash.
    let fits = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.first().is_none_or(|byte| *byte == b'-'),
    };
    let (trace, parent) = (hex(&known[3..35])?, hex(&known[36..52])?);
    let [flags] = hex(&known[53..])?;
    let there = trace != [0; 16] && parent != [0; 8];
    (fits && there).then_some(Remote {
        trace,
        parent,
        flags,
    })
}

/// Exactly `N` bytes in lower case.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Never all zeros.
pub(super) fn span_id() -> [u8; 8] {
    random().max(1).to_le_bytes()
}

thread_local! {
    /// Keys that the system chose for this thread, and how many numbers were made of them.
    static RANDOM: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// A keyed hash of a counter: no two processes or threads make the same numbers.
fn random() -> u64 {
    RANDOM.with(|(keys, count)| {
        count.set(count.get().wrapping_add(1));
        keys.hash_one(count.get())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn metadata(headers: &[&str]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for header in headers {
            metadata.append("traceparent", header.parse().expect("ASCII"));
        }
        metadata
    }

    #[test]
    fn who_calls_decides_if_it_says_so() {
        let context = of_call(&metadata(&[GOOD]), 0).expect("sampled by its caller");
        assert_eq!(context.trace[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(
            context.parent,
            Some([0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31])
        );
        assert_ne!(Some(context.span), context.parent);
        let not = GOOD.replace("-01", "-00");
        assert_eq!(of_call(&metadata(&[&not]), share(1.0)), None);
        // Of the flags only the last bit is asked.
        let others = GOOD.replace("-01", "-fe");
        assert_eq!(of_call(&metadata(&[&others]), share(1.0)), None);
    }

    #[test]
    fn what_is_not_well_formed_is_as_if_it_were_not_there() {
        let bad = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-00"),
            format!("{GOOD}0"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replace("af", "AF"),
            GOOD.replace('-', "_"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace("b7ad", "xxxx"),
            format!("01{}x", &GOOD[2..]),
        ];
        for header in bad {
            assert_eq!(parse(header.as_bytes()), None, "{header}");
            let context = of_call(&metadata(&[&header]), share(1.0)).expect("a trace of its own");
            assert_eq!(context.parent, None, "{header}");
        }
        let twice = of_call(&metadata(&[GOOD, GOOD]), share(1.0)).expect("its own");
        assert_eq!(twice.parent, None);
        for later in [format!("01{}", &GOOD[2..]), format!("cc{}-x", &GOOD[2..])] {
            assert_eq!(parse(later.as_bytes()), parse(GOOD.as_bytes()), "{later}");
        }
    }

    #[test]
    fn the_ratio_is_kept() {
        let none = metadata(&[]);
        let of = |ratio| {
            let calls = (0..10_000).filter_map(|_| of_call(&none, share(ratio)));
            calls.collect::<Vec<_>>()
        };
        assert_eq!(of(0.0), []);
        let all = of(1.0);
        assert_eq!(all.len(), 10_000);
        // With a deviation of 43, eight of which are more than chance ever has.
        assert!(of(0.25).len().abs_diff(2_500) < 350);
        let ids: std::collections::HashSet<_> =
            all.iter().map(|one| (one.trace, one.span)).collect();
        assert_eq!(ids.len(), all.len());
        assert_eq!((share(7.0), share(-1.0)), (1 << 63, 0));
    }
}
