//! How snapshots rest, on a clock on which nothing passes but what these tests say: the
//! work of a snapshot is what they let pass before each key, its rests are written down.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kvcore::base::clock::Clock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::SimDisk;
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{Durability, Engine, Environment, Mutation, Options, SnapshotError, SnapshotInfo};

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
/// How long a snapshot works at least before it rests, and how long it rests at most.
const WORK: Duration = Duration::from_micros(250);
const PATIENCE: Duration = Duration::from_millis(100);
const KEYS: u32 = 60;

#[derive(Default)]
struct Machine(Mutex<State>);

#[derive(Default)]
struct State {
    now: Duration,
    /// What passes whenever somebody looks.
    tick: Duration,
    rests: Vec<Duration>,
    /// Called in the rest of this number, from 0.
    at_rest: Option<(usize, Box<dyn FnOnce() + Send>)>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test has panicked")
    }

    fn work(&self, time: Duration) {
        self.state().now += time;
    }

    fn rests(&self) -> Vec<Duration> {
        self.state().rests.clone()
    }
}

impl Clock for Machine {
    fn boot_ms(&self) -> u64 {
        u64::try_from(self.instant().as_millis()).expect("no aeons")
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000 + self.boot_ms()
    }

    fn instant(&self) -> Duration {
        let mut state = self.state();
        let tick = state.tick;
        state.now += tick;
        state.now
    }

    fn rest(&self, time: Duration) {
        let mut state = self.state();
        state.now += time;
        state.rests.push(time);
        let number = state.rests.len() - 1;
        let meant = state.at_rest.take_if(|(at, _)| *at == number);
        drop(state);
        if let Some((_, interrupt)) = meant {
            interrupt();
        }
        assert!(number < 100_000, "the rests have no end");
    }
}

struct Paced {
    machine: Arc<Machine>,
    store: Arc<Engine>,
    writer: LogWriter,
}

fn options(rate: Option<u64>) -> Options {
    let mut options = Options::new("/simulated");
    options.allow_volatile = true;
    options.segment_bytes = 256 << 10;
    options.limits.value_bytes = 16 << 10;
    options.limits.unit_bytes = 17 << 10;
    options.limits.unit_operations = 64;
    options.limits.in_flight_bytes = 1 << 20;
    options.shards = 4;
    options.replay_threads = 1;
    options.snapshots.rate = rate;
    options
}

fn environment(machine: &Arc<Machine>) -> Environment {
    Environment {
        disk: Arc::new(SimDisk::new(1)),
        clock: machine.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
    }
}

impl Paced {
    /// With `KEYS` keys.
    fn new(rate: Option<u64>) -> Self {
        let machine = Arc::new(Machine::default());
        let opened = Engine::open_manual(options(rate), &environment(&machine));
        let (store, mut writer) = opened.expect("opens");
        store.fill_spares();
        for key in 0..KEYS {
            let name = format!("key-{key:02}");
            let set = Mutation::set(name.as_bytes(), &[b'v'; 1000]);
            let prepared = store.prepare(&set, None).expect("within the limits");
            let Ok(admitted) = store.try_admit(prepared) else {
                unreachable!("there is room")
            };
            let committed = store.commit(admitted).expect("committed");
            committed.done().expect("applied");
            turn(&mut writer);
        }
        Self {
            machine,
            store: Arc::new(store),
            writer,
        }
    }

    /// A snapshot; so much passes before each key is read.
    fn snapshot(&mut self, work: Duration) -> SnapshotInfo {
        let machine = Arc::clone(&self.machine);
        let draft = self.store.draft_snapshot(&mut || machine.work(work));
        let draft = draft.expect("drafted");
        self.store.watermark().want_sync(draft.end());
        turn(&mut self.writer);
        self.store.publish_snapshot(draft).expect("published")
    }
}

fn turn(writer: &mut LogWriter) {
    while writer.turn() == Turn::Worked {}
}

#[test]
fn a_snapshot_rests_as_long_as_it_works() {
    // Once after each piece of work that is long enough by itself,
    for work in [WORK, 300 * US, 2 * MS] {
        let mut paced = Paced::new(Some(64 << 20));
        paced.snapshot(work);
        let rests = paced.machine.rests();
        assert!(rests.len() >= KEYS as usize, "{} rests", rests.len());
        assert!(
            rests.iter().all(|rest| *rest == work),
            "{work:?}: {rests:?}"
        );
        assert!(rests.len() <= KEYS as usize + 4, "{} rests", rests.len());
    }
    // and once after as many shorter ones as make it.
    let mut paced = Paced::new(Some(64 << 20));
    paced.snapshot(100 * US);
    let rests = paced.machine.rests();
    assert!(rests.iter().all(|rest| *rest == 300 * US), "{rests:?}");
    assert!(rests.len() >= KEYS as usize / 3, "{} rests", rests.len());
}

#[test]
fn a_rest_has_an_end_however_long_the_work_was() {
    let mut paced = Paced::new(Some(64 << 20));
    paced.snapshot(Duration::from_secs(1000));
    let rests = paced.machine.rests();
    assert!(rests.len() >= KEYS as usize, "{} rests", rests.len());
    assert!(rests.iter().all(|rest| *rest == PATIENCE), "{rests:?}");
}

#[test]
fn without_a_rate_nothing_rests() {
    let mut paced = Paced::new(None);
    paced.snapshot(2 * MS);
    assert_eq!(paced.machine.rests(), []);
}

#[test]
fn a_rate_that_makes_a_longer_rest_is_all_there_is() {
    const RATE: u64 = 64 << 10;
    let mut paced = Paced::new(Some(RATE));
    let begun = paced.machine.instant();
    let info = paced.snapshot(US);
    let took = paced.machine.instant().saturating_sub(begun);
    let due = Duration::from_millis(info.bytes * 1000 / RATE);
    // The last pieces are small, and nothing waits behind them.
    assert!(
        took <= due + MS && took >= due / 10 * 9,
        "{took:?} of {due:?}"
    );
    let rests = paced.machine.rests();
    assert!(rests.iter().all(|rest| *rest <= PATIENCE), "{rests:?}");
}

#[test]
fn a_close_waits_for_one_rest_at_most() {
    // A rate at which one key takes a quarter of an hour.
    let paced = Paced::new(Some(1));
    let store = Arc::clone(&paced.store);
    let drain = move || store.start_drain();
    paced.machine.state().at_rest = Some((5, Box::new(drain)));
    let given_up = paced.store.draft_snapshot(&mut || ());
    let given_up = given_up.expect_err("the store is being closed");
    assert!(matches!(given_up, SnapshotError::Io(_)), "{given_up}");
    assert!(given_up.to_string().contains("being closed"), "{given_up}");
    assert_eq!(paced.machine.rests(), [PATIENCE; 6]);

    // The same among rests that the work makes.
    let paced = Paced::new(Some(64 << 20));
    let store = Arc::clone(&paced.store);
    let drain = move || store.start_drain();
    paced.machine.state().at_rest = Some((5, Box::new(drain)));
    let machine = Arc::clone(&paced.machine);
    let given_up = paced.store.draft_snapshot(&mut || machine.work(MS));
    given_up.expect_err("the store is being closed");
    assert_eq!(paced.machine.rests(), [MS; 6]);
}

#[test]
fn a_snapshot_at_the_close_does_not_rest() {
    let machine = Arc::new(Machine::default());
    // Whoever looks at the clock has worked.
    machine.state().tick = MS;
    let mut options = options(Some(1));
    options.snapshots.log_bytes = None;
    options.snapshots.at_close = Duration::from_secs(3600);
    let store = Engine::open_in(options, &environment(&machine)).expect("opens");
    for key in 0..KEYS {
        let name = format!("key-{key:02}");
        let set = Mutation::set(name.as_bytes(), b"a value");
        store.write(set, Durability::Logged).expect("written");
    }
    let closed = store.close(Duration::from_secs(60)).expect("closed");
    assert!(closed.clean);
    let status = store.status();
    assert_eq!((status.counters.snapshots, status.snapshots.len()), (1, 1));
    assert_eq!(machine.rests(), []);
}
