use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::page::PAGE;
use super::*;
use crate::disk::{Disk, LogIo, OsDisk, SegmentFile};

mod faults;
mod power;

const SIZE: u64 = 64 << 10;

fn create(disk: &dyn Disk, name: &str) -> Box<dyn SegmentFile> {
    disk.create_segment(name, SIZE, LogIo::Mmap).unwrap()
}

fn names(disk: &dyn Disk) -> Vec<String> {
    disk.list().unwrap().into_iter().map(|e| e.name).collect()
}

/// Everything that the next boot would see.
fn image(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let named = |name: String| {
        let bytes = disk.file_bytes(&name).unwrap();
        (name, bytes)
    };
    names(disk).into_iter().map(named).collect()
}

/// A few hundred calls of every kind, chosen by the seed; returns what they answered.
fn exercise(disk: &dyn Disk, seed: u64) -> Vec<String> {
    let mut rng = SimRng::new(seed);
    let mut answers = Vec::new();
    let mut open: Vec<Box<dyn SegmentFile>> = Vec::new();
    for step in 0..400 {
        let name = format!("f{}", rng.below(6));
        let other = format!("f{}", rng.below(6));
        let result = match rng.below(10) {
            0 => disk
                .create_segment(&name, SIZE, LogIo::Pwrite)
                .map(|segment| open.push(segment)),
            1 => disk.replace(&name, &vec![step.try_into().unwrap_or(255); 500]),
            2 => disk.rename(&name, &other),
            3 => disk.remove(&name),
            4 => disk.sync_dir(),
            5 => disk.punch_tail(&name, rng.below(SIZE)),
            6 => disk.open_segment(&name, LogIo::Pwrite).map(|mut segment| {
                if segment.size() == SIZE {
                    segment.write(77, b"reopened");
                }
            }),
            7 => disk.open_read(&name).and_then(|read| {
                read.settle()?;
                let mut buf = vec![0; 600];
                read.read_exact_at(rng.below(SIZE), &mut buf)?;
                answers.push(format!("{buf:?}"));
                Ok(())
            }),
            _ => open.last_mut().map_or(Ok(()), |segment| {
                let offset = rng.below(SIZE - 6000) / 8 * 8;
                segment.write(offset, &vec![7; usize::try_from(rng.below(6000)).unwrap()]);
                segment.write_last(offset + 5992, [9; 8]);
                if rng.chance(1, 3) {
                    segment.sync()
                } else {
                    Ok(())
                }
            }),
        };
        answers.push(format!("{:?}", result.map_err(|error| error.kind())));
    }
    answers
}

#[test]
fn the_same_seed_and_calls_give_the_same_disk() {
    let run = |seed: u64, crash: u64| {
        let disk = SimDisk::new(seed);
        disk.fail_syncs(1, 20);
        disk.cut_power_after(200 + crash);
        let answers = exercise(&disk, 5);
        assert!(disk.power_is_cut());
        let (before, after) = (disk.history(), disk.crash(crash));
        let (other, history) = (disk.crash(crash + 1), after.history());
        let differ = image(&other) != image(&after);
        ((answers, before, image(&after), history), differ)
    };
    for crash in 0..10 {
        assert!(run(1, crash) == run(1, crash), "{crash}");
    }
    assert!(
        (0..10).any(|crash| run(1, crash).1),
        "a crash has its own seed"
    );
    assert!(run(1, 2).0 != run(4, 2).0, "other syncs fail");
}

#[test]
fn it_answers_as_a_real_directory_does() {
    for seed in 0..20 {
        let dir = tempfile::TempDir::new().unwrap();
        let real = OsDisk::open(dir.path()).unwrap();
        let sim = SimDisk::new(0);
        assert_eq!(exercise(&real, seed), exercise(&sim, seed), "seed {seed}");
        for entry in real.list().unwrap() {
            let bytes = std::fs::read(dir.path().join(&entry.name)).unwrap();
            assert!(Some(bytes) == sim.file_bytes(&entry.name), "{}", entry.name);
        }
        assert_eq!(names(&real), names(&sim));
        let _locks = (real.lock().unwrap(), sim.lock().unwrap());
        for disk in [&real as &dyn Disk, &sim] {
            assert_eq!(disk.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert_eq!(names(&real), names(&sim));
    }
}

#[test]
fn the_generator_is_even_and_repeatable() {
    let mut rng = SimRng::new(9);
    let first: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
    let mut again = SimRng::new(9);
    assert!(first.iter().all(|&number| number == again.next_u64()));
    let hits = (0..10_000).filter(|_| rng.chance(1, 4)).count();
    assert!((2300..2700).contains(&hits), "{hits}");
    let seen: BTreeSet<u64> = (0..200).map(|_| rng.below(7)).collect();
    assert_eq!(seen.len(), 7);
}

#[test]
fn the_history_names_operations_and_what_a_crash_did() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    segment.write(8, b"ab");
    let lines = disk.history();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5].trim(), "6 write s 8+2");
    assert_eq!(disk.op_count(), 6);
    assert_eq!(disk.sync_count(), 2);
    let after = disk.crash(1).history().join("\n");
    assert!(after.contains("cut after operation 6"), "{after}");
    assert!(after.contains("page 0 of s: version"), "{after}");
}

/// A log of 8-byte numbers, each acknowledged or not, to see that the simulator bites.
struct TinyLog {
    segment: Box<dyn SegmentFile>,
    next: u64,
    acknowledged: u64,
}

impl TinyLog {
    fn append(&mut self, sync_first: bool) {
        self.segment
            .write_last(self.next * 8, (self.next + 1).to_le_bytes());
        self.next += 1;
        if !sync_first || self.segment.sync().is_ok() {
            self.acknowledged = self.next;
        }
    }

    /// How many numbers a reader finds from the start.
    fn recover(disk: &SimDisk) -> u64 {
        let Some(bytes) = disk.file_bytes("log") else {
            return 0;
        };
        let numbers = bytes.chunks(8).zip(1_u64..);
        numbers
            .take_while(|(word, number)| **word == number.to_le_bytes())
            .count() as u64
    }
}

fn lost_acknowledgements(sync_first: bool, cycles: u64) -> usize {
    let lost = (0..cycles).filter(|&seed| {
        let disk = SimDisk::new(seed);
        let mut log = TinyLog {
            segment: create(&disk, "log"),
            next: 0,
            acknowledged: 0,
        };
        disk.cut_power_after(seed % 200);
        while !disk.power_is_cut() {
            log.append(sync_first);
        }
        // Without a sync, acknowledgements go on until the cut: one may be void.
        let promised = log.acknowledged.saturating_sub(u64::from(!sync_first));
        TinyLog::recover(&disk.crash(seed)) < promised
    });
    lost.count()
}

#[test]
fn a_log_that_syncs_before_it_answers_loses_nothing_and_one_that_does_not_does() {
    assert_eq!(lost_acknowledgements(true, 2000), 0);
    assert!(lost_acknowledgements(false, 200) > 50);
}
