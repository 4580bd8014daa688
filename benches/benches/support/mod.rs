//! What the benches work on.

use std::path::PathBuf;
use std::sync::Arc;

use kvcore::base::op::{Cause, OpCode, OpView, UnitKind};
use kvcore::base::revision::Revision;
use kvcore::commit::admission::Cost;
use kvcore::commit::unit::{Operations, Unit};
use kvcore::disk::{Disk, OsDisk};
use kvcore::format::StoreId;
use kvcore::format::checksum::Seed;
use kvcore::format::frame::{FrameBuilder, FrameFields, FrameKind};
use kvcore::format::names::spare_name;
use kvcore::format::segment_header::SegmentHeader;
use kvcore::format::unit::encode_unit;
use kvcore::log::segment::{ActiveSegment, GroupFields};
use kvcore::log::spares::Spare;
use kvcore::{Engine, LogIo, Options, SyncPolicy};
use tempfile::TempDir;

pub(crate) const SEED: Seed = Seed {
    salt: 0x1234_5678_9abc_def0,
    sequence: 1,
};
const SEGMENT_BYTES: u64 = 64 << 20;

pub(crate) fn key(number: u32) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    for place in 0..10_u32 {
        let digit = number / 10_u32.pow(place) % 10;
        let at = key.len() - 1 - place as usize;
        key[at] = b'0' + u8::try_from(digit).unwrap_or_default();
    }
    key
}

/// Units of one write each: a key of 16 bytes, a value of 64.
pub(crate) fn payload_of(count: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    for number in 0..count {
        let set = OpView {
            code: OpCode::Set,
            cause: Cause::Written,
            replaces_expired: false,
            key: &key(number),
            value: Some(&[7; 64]),
            deadline_ms: 0,
            version: 1,
            create_revision: 0,
            lease_id: 0,
            previous_mod_revision: 0,
            last_record: None,
        };
        encode_unit(&mut payload, UnitKind::Single, None, [set]);
    }
    payload
}

/// A frame around a payload, in place of what the buffer held.
pub(crate) fn frame_of(out: &mut Vec<u8>, offset: u64, units: u32, payload: &[u8]) {
    out.clear();
    let mut frame = FrameBuilder::begin(out);
    frame.payload().extend_from_slice(payload);
    let fields = FrameFields {
        kind: FrameKind::Data,
        group_end: true,
        first_revision: Revision(100),
        units,
        link: 0x0102_0304,
        durable: Revision(90),
        engine_ms: 1,
    };
    frame.finish(SEED, offset, fields);
}

/// A directory on a disk, removed when it is dropped.
fn directory() -> TempDir {
    let beside = || {
        let exe = std::env::current_exe().expect("this program has a path");
        let target = exe
            .ancestors()
            .nth(3)
            .expect("it lies in target/PROFILE/deps");
        target.join("kvbench")
    };
    let root = std::env::var_os("KVBENCH_DATA_ROOT").map_or_else(beside, PathBuf::from);
    std::fs::create_dir_all(&root).expect("a directory for files");
    TempDir::new_in(root).expect("a directory of its own")
}

/// An open store, and where it is.
pub(crate) fn store() -> (Engine, TempDir) {
    let dir = directory();
    let mut options = Options::new(dir.path().join("data"));
    options.policy = SyncPolicy::Never;
    options.allow_volatile = true;
    let store = Engine::open(options, &|_| ()).expect("a new store");
    (store, dir)
}

/// A segment that groups are appended to, and the next one when it is full.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    io: LogIo,
    active: ActiveSegment,
    revision: u64,
    buffer: Vec<u8>,
    _dir: TempDir,
}

impl Log {
    pub(crate) fn new(io: LogIo) -> Self {
        let dir = directory();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(dir.path()).expect("a directory"));
        Self {
            active: segment(&disk, io, 2),
            disk,
            io,
            revision: 2,
            buffer: Vec::new(),
            _dir: dir,
        }
    }

    pub(crate) fn make_room(&mut self, payload: usize) {
        if self.active.fits(0, payload) {
            return;
        }
        // It bears the name of the one before, and so takes its place.
        self.active = segment(&self.disk, self.io, self.revision);
    }

    pub(crate) fn append(&mut self, count: u32, payload: &[u8]) {
        let fields = GroupFields {
            durable: Revision(self.revision - 1),
            engine_ms: 1,
        };
        let mut encoder = self.active.encoder(&mut self.buffer, fields);
        encoder.data(Revision(self.revision), count, true, |out| {
            out.extend_from_slice(payload);
        });
        let encoded = encoder.finish();
        self.active.append(&encoded, &self.buffer);
        self.revision += u64::from(count);
    }

    pub(crate) fn sync(&mut self) {
        self.active.sync().expect("a disk that works");
        self.active.check().expect("no fault");
    }
}

fn segment(disk: &Arc<dyn Disk>, io: LogIo, first: u64) -> ActiveSegment {
    let name = spare_name(1);
    let file = disk
        .create_segment(&name, SEGMENT_BYTES, io)
        .expect("room on the disk");
    let header = SegmentHeader {
        store_id: StoreId([1; 16]),
        sequence: 1,
        first_revision: Revision(first),
        salt: SEED.salt,
        previous: None,
        recovered: false,
        gap_before: false,
        segment_bytes: SEGMENT_BYTES,
        engine_ms: 1,
        wall_ms: 1,
    };
    ActiveSegment::create(disk, Spare { name, file }, &header).expect("a new segment")
}

/// A unit that a sequencer can send.
pub(crate) fn a_unit() -> Unit {
    Unit {
        revision: Revision(0),
        operations: Operations::with_capacity(1),
        request: None,
        cost: Cost {
            bytes: 128,
            deletes_only: false,
            own: false,
        },
    }
}

/// What part of `of` is `some`.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn share(some: u64, of: u64) -> f64 {
    some as f64 / of as f64
}
