//! The engine's parts, one at a time: frames, groups by kind of disk, the store, and the
//! ticket while several threads want one.
//!
//! `cargo bench -p kvbench --bench engine [-- FILTER]`. Files are made beside the directory
//! of the build, or in `KVBENCH_DATA_ROOT`: it must be a real disk, or syncs cost nothing.

mod support;

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kvcore::base::revision::Revision;
use kvcore::commit::sequencer::Sequencer;
use kvcore::format::frame::{FrameRead, read_frame};
use kvcore::format::unit::units;
use kvcore::{Durability, LogIo, Mutation};
use support::{Log, SEED, a_unit, frame_of, key, payload_of, store};

/// Units of a frame: one alone, a usual group, a large one.
const UNITS: [u32; 3] = [1, 16, 256];
const KEYS: u32 = 100_000;
const VALUE: [u8; 64] = [7; 64];
const OFFSET: u64 = 8192;

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for count in UNITS {
        let payload = payload_of(count);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        let mut out = Vec::new();
        group.bench_with_input(
            BenchmarkId::new("encode", count),
            &payload,
            |bencher, payload| {
                bencher.iter(|| frame_of(&mut out, OFFSET, count, black_box(payload)));
            },
        );
        let mut bytes = Vec::new();
        frame_of(&mut bytes, OFFSET, count, &payload);
        group.bench_with_input(
            BenchmarkId::new("decode", count),
            &bytes,
            |bencher, bytes| {
                bencher.iter(|| {
                    let FrameRead::Frame { payload, .. } =
                        read_frame(black_box(bytes), OFFSET, SEED)
                    else {
                        unreachable!("the frame was just made")
                    };
                    let ops = units(payload).map(|unit| unit.expect("a whole unit").ops().count());
                    assert_eq!(ops.sum::<usize>(), count as usize);
                });
            },
        );
    }
    group.finish();
}

fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group");
    group.sample_size(30);
    for io in [LogIo::Mmap, LogIo::Pwrite] {
        for sync in [false, true] {
            let what = if sync { "append and sync" } else { "append" };
            for count in UNITS {
                let payload = payload_of(count);
                group.throughput(Throughput::Elements(count.into()));
                let id = BenchmarkId::new(format!("{what}, {io:?}"), count);
                let mut log = Log::new(io);
                group.bench_with_input(id, &payload, |bencher, payload| {
                    bencher.iter_custom(|times| {
                        let mut took = Duration::ZERO;
                        for _ in 0..times {
                            // A new segment, if one is needed, is not what is measured.
                            log.make_room(payload.len());
                            let begun = Instant::now();
                            log.append(count, payload);
                            if sync {
                                log.sync();
                            }
                            took += begun.elapsed();
                        }
                        took
                    });
                });
            }
        }
    }
    group.finish();
}

fn reads_and_writes(criterion: &mut Criterion) {
    let (store, _dir) = store();
    for number in 0..KEYS {
        let key = key(number);
        let write = Mutation::set(&key, &VALUE);
        store
            .write(write, Durability::None)
            .expect("room for all keys");
    }
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let mut number = 0;
    let mut next = || {
        // A stride that meets every key, far from the last.
        number = (number + 61_803) % KEYS;
        key(number)
    };
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            let found = store.look(&next()).expect("it is open");
            assert!(black_box(found.value).is_some());
        });
    });
    group.bench_function("get, absent", |bencher| {
        bencher.iter(|| {
            let found = store.look(b"no such key").expect("it is open");
            assert!(black_box(found.value).is_none());
        });
    });
    group.bench_function("set, in memory", |bencher| {
        bencher.iter(|| {
            let key = next();
            let write = Mutation::set(&key, &VALUE);
            store.write(write, Durability::None).expect("it has room")
        });
    });
    group.sample_size(30);
    group.bench_function("set, synced, one at a time", |bencher| {
        bencher.iter(|| {
            let key = next();
            let write = Mutation::set(&key, &VALUE);
            store.write(write, Durability::Synced).expect("it has room")
        });
    });
    group.finish();
    store
        .close(Duration::from_secs(10))
        .expect("nothing is in flight");
}

/// Revisions drawn and units sent by some threads at once; another takes them, as the
/// log's writer does.
fn tickets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ticket");
    group.sample_size(20);
    group.throughput(Throughput::Elements(1));
    for threads in [1_u64, 2, 4, 8] {
        group.bench_function(BenchmarkId::new("issue", threads), |bencher| {
            bencher.iter_custom(|times| {
                let each = times.div_ceil(threads);
                let room = usize::try_from(each * threads).expect("fits in memory");
                let (sequencer, receiver) = Sequencer::new(Revision(1), Revision(2), room);
                let drawn = Barrier::new(usize::try_from(threads).expect("few") + 1);
                let elapsed = thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            let units: Vec<_> = (0..each).map(|_| Box::new(a_unit())).collect();
                            drawn.wait();
                            for unit in units {
                                sequencer.issue(unit, |_, _| ());
                            }
                            drawn.wait();
                        });
                    }
                    let taker = scope.spawn(move || receiver.iter().take(room).count());
                    drawn.wait();
                    let begun = Instant::now();
                    drawn.wait();
                    let elapsed = begun.elapsed();
                    assert_eq!(taker.join().expect("it only counts"), room);
                    elapsed
                });
                assert_eq!(sequencer.next(), Revision(2 + each * threads));
                elapsed.mul_f64(support::share(times, each * threads))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames, groups, reads_and_writes, tickets);
criterion_main!(benches);
