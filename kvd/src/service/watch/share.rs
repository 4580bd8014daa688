//! Events that several watches of a runtime tell are encoded once.
//!
//! A table of places, by revision and record. Who comes first leaves the record there, and
//! encodes for himself: most changes are wanted once. Who comes second finds the same record,
//! and leaves the bytes; who comes after him takes them. Only records that are in the store
//! or in the ring are found again, as those that were read from the log are each reader's own:
//! who is behind reads at his own pace.
//!
//! Whatever is there is taken out by what comes next to the same place, or when the last watch
//! of the runtime ends, and is small: [`PLACES`] of [`SMALL`] bytes.

use bytes::Bytes;
use kvproto::v1;

use super::wire;
use crate::backend::Record;
use crate::backend::watch::{Event, EventKind, Previous};

/// Places of the table, a power of two.
const PLACES: usize = 128;
/// The largest key and value that are shared. Of larger ones the copy is what costs.
const SMALL: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shared {
    places: Vec<Option<Place>>,
}

#[derive(Debug)]
struct Place {
    record: Record,
    keys_only: bool,
    field: Option<Bytes>,
}

impl Shared {
    /// The event for a message; `encode` makes it.
    pub(super) fn event(
        &mut self,
        event: &Event,
        keys_only: bool,
        encode: impl FnOnce(&Event) -> v1::Event,
    ) -> wire::Event {
        if !can_be_shared(event) {
            return wire::Event::Own(encode(event));
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let at = usize::try_from(event.revision.0).unwrap_or_default() & (PLACES - 1);
        let place = &mut self.places[at];
        if let Some(place) = place
            && place.record.is_same(&event.record)
            && place.keys_only == keys_only
        {
            let field = place
                .field
                .get_or_insert_with(|| wire::shared(&encode(event)));
            return wire::Event::Shared(field.clone());
        }
        *place = Some(Place {
            record: event.record.clone(),
            keys_only,
            field: None,
        });
        wire::Event::Own(encode(event))
    }

    /// Nobody watches any more.
    pub(super) fn clear(&mut self) {
        self.places = Vec::new();
    }
}

/// Whether the record and what else is asked says all that the event's bytes depend on.
fn can_be_shared(event: &Event) -> bool {
    // A record has one revision and so one cause; after a removal it is made for each watch.
    event.kind == EventKind::Set
        && matches!(event.previous, Previous::Unasked)
        && !event.value_unavailable
        && event.record.key().len() + event.record.value().len() <= SMALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvcore::Revision;
    use kvcore::base::op::Cause;

    fn event(record: &Record, revision: u64) -> Event {
        Event {
            revision: Revision(revision),
            kind: EventKind::Set,
            cause: Cause::Written,
            record: record.clone(),
            value_unavailable: false,
            previous: Previous::Unasked,
        }
    }

    fn record(value: &[u8]) -> Record {
        Record::new(b"key", value, 0, 0)
    }

    fn made(event: &Event) -> v1::Event {
        let record = v1::Record {
            value: Bytes::copy_from_slice(event.record.value()),
            ..v1::Record::default()
        };
        v1::Event {
            record: Some(record),
            ..v1::Event::default()
        }
    }

    /// Whether it was taken from the table; how often it was made before is counted.
    fn tell(table: &mut Shared, event: &Event, keys_only: bool, times: &mut u32) -> bool {
        let wanted = wire::shared(&made(event));
        let told = table.event(event, keys_only, |event| {
            *times += 1;
            made(event)
        });
        match told {
            wire::Event::Own(own) => {
                assert_eq!(wire::shared(&own), wanted);
                false
            }
            wire::Event::Shared(field) => {
                assert_eq!(field, wanted);
                true
            }
        }
    }

    #[test]
    fn the_third_and_later_take_what_the_second_has_made() {
        let (mut table, mut times) = (Shared::default(), 0);
        let event = event(&record(b"v"), 7);
        let shared = [(); 5].map(|()| tell(&mut table, &event, false, &mut times));
        assert_eq!(shared, [false, true, true, true, true]);
        assert_eq!(times, 2);
    }

    #[test]
    fn what_is_not_the_same_is_never_taken() {
        let (mut table, mut times) = (Shared::default(), 0);
        let first = event(&record(b"v"), 7);
        // Another key of the same revision, an equal record that is not the same one, the
        // next revision of the place, and one without its value.
        let others = [
            event(&record(b"w"), 7),
            event(&record(b"v"), 7),
            event(&record(b"x"), 7 + PLACES as u64),
        ];
        for other in &others {
            tell(&mut table, &first, false, &mut times);
            tell(&mut table, &first, false, &mut times);
            assert!(!tell(&mut table, other, false, &mut times));
        }
        tell(&mut table, &first, false, &mut times);
        assert!(!tell(&mut table, &first, true, &mut times));
    }

    #[test]
    fn what_depends_on_more_than_the_record_and_what_is_large_is_not_kept() {
        let (mut table, mut times) = (Shared::default(), 0);
        let plain = event(&record(b"v"), 7);
        let large = event(&record(&vec![0; SMALL]), 7);
        let with_previous = Event {
            previous: Previous::Absent,
            ..plain.clone()
        };
        let without_value = Event {
            value_unavailable: true,
            ..plain.clone()
        };
        let gone = Event {
            kind: EventKind::Delete,
            cause: Cause::Deleted,
            ..plain
        };
        for event in [large, with_previous, without_value, gone] {
            for _ in 0..3 {
                assert!(!tell(&mut table, &event, false, &mut times));
            }
        }
        assert_eq!(times, 12);
        table.clear();
        assert!(table.places.is_empty());
    }
}
