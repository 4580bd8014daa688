//! Every setting of kvd, in one table: key, type, default, range, documentation.
//!
//! The table makes the typed struct, the parser, the listing of values and, from
//! the same rows, the documentation. A setting that is not here does not exist.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Listen, ListenOrOff, Mode};
use super::collector::Collector;
use super::value::{
    Auto, Damaged, Io, Level, LogFormat, Ratio, Size, SizeLimit, SuspectTail, Sync, Value,
};

/// When another value of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At a reload.
    Live,
    /// At the next start.
    Restart,
}

/// One row of the table.
pub struct Setting {
    /// Dotted name, as in the file and after `--set`.
    pub key: &'static str,
    /// What it does, for people.
    pub doc: &'static str,
    /// The kind of value.
    pub kind: &'static str,
    pub default: &'static str,
    /// Lowest and highest value, if there is a range.
    pub range: Option<(&'static str, &'static str)>,
    /// How a value is written, and with it the unit.
    pub unit: &'static str,
    /// When another value takes effect.
    pub change: Change,
    set: fn(&mut Settings, &str) -> Result<(), String>,
    get: fn(&Settings) -> String,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key)
    }
}

impl Setting {
    /// Reads `text` into `settings`. The error does not name the key.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        (self.set)(settings, text)
    }

    /// The value as text.
    pub fn get(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }

    /// The place of `key` in [`TABLE`].
    pub fn position(key: &str) -> Option<usize> {
        TABLE.iter().position(|row| row.key == key)
    }
}

/// Reads a value and holds it against its range.
fn parse_within<V: Value>(text: &str, range: Option<(&str, &str)>) -> Result<V, String> {
    let value = V::parse(text)?;
    if let Some((low, high)) = range {
        let outside = V::parse(low)? > value || value > V::parse(high)?;
        if outside {
            return Err(format!("{text} is outside {low} to {high}"));
        }
    }
    Ok(value)
}

macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $key:literal => $change:ident $field:ident: $kind:ty = $default:literal $(, $low:literal ..= $high:literal)?;
    )*) => {
        /// Every setting with its type.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $kind,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self {
                    $($field: <$kind as Value>::parse($default)
                        .expect("a test reads every default"),)*
                }
            }
        }

        /// Every setting, in the order of the documentation.
        pub static TABLE: &[Setting] = &[
            $(Setting {
                key: $key,
                doc: concat!($($doc),+),
                kind: <$kind as Value>::KIND,
                default: $default,
                range: settings!(@range $($low, $high)?),
                unit: <$kind as Value>::UNIT,
                change: Change::$change,
                set: |settings, text| {
                    settings.$field = parse_within(text, settings!(@range $($low, $high)?))?;
                    Ok(())
                },
                get: |settings| settings.$field.show(),
            },)*
        ];
    };
    (@range) => { None };
    (@range $low:literal, $high:literal) => { Some(($low, $high)) };
}

settings! {
    /// Addresses and Unix-domain sockets of the gRPC side. Port 0 lets the system
    /// choose; the ready line tells. In the environment and after --set separated by commas.
    "server.listen" => Restart listen: Listen = "127.0.0.1:7500";
    /// Permissions of the file of each Unix-domain socket: who may connect.
    "server.unix_mode" => Restart unix_mode: Mode = "0660";
    /// Address of /metrics, /healthz and /readyz, or `off`.
    "server.http_listen" => Restart http_listen: ListenOrOff = "127.0.0.1:7501";
    /// Threads that serve connections; auto is one per core.
    "server.runtimes" => Restart runtimes: Auto = "auto";
    /// Connections at one time; more are closed at once.
    "server.max_connections" => Live max_connections: usize = "4096", "1" ..= "1000000";
    /// Connections at one time from one address, or over Unix-domain sockets from one
    /// user.
    "server.max_connections_per_ip" => Live max_connections_per_ip: usize = "1024", "1" ..= "1000000";
    /// Concurrent streams of one connection.
    "server.max_streams" => Restart max_streams: usize = "1024", "1" ..= "65536";
    /// Bytes of requests that have begun to arrive and are not complete yet, over
    /// all connections; more are refused with OVERLOADED.
    "server.request_memory" => Live request_memory: Size = "256MiB", "32MiB" ..= "1TiB";
    /// Bytes of replies that wait for one client to read them; a client that reads
    /// more slowly is refused with OVERLOADED.
    "server.reply_memory" => Live reply_memory: Size = "32MiB", "1MiB" ..= "1TiB";
    /// The longest a call may take if its caller set no deadline.
    "server.request_timeout" => Live request_timeout: Duration = "30s", "1s" ..= "1h";
    /// How long a stop waits for calls in flight before it cuts them.
    "server.drain_timeout" => Live drain_timeout: Duration = "20s", "0ms" ..= "1h";
    /// Listen on other than loopback addresses although nobody has to log in.
    "server.allow_unauthenticated" => Restart allow_unauthenticated: bool = "false";
    /// Directory of the store. Created if it is missing.
    "store.data_dir" => Restart data_dir: PathBuf = "./kvd-data";
    /// Accept a file system that does not survive power loss, such as tmpfs.
    "store.allow_volatile" => Restart allow_volatile: bool = "false";
    /// Threads that read the log at start; auto is one per core.
    "store.replay_threads" => Restart replay_threads: Auto = "auto";
    /// When the log is synced: always (before a write is answered),
    /// interval:250ms (any duration), or never (only when a caller asks).
    "log.sync" => Restart sync: Sync = "always";
    /// Bytes of one log file.
    "log.segment_bytes" => Restart segment_bytes: Size = "64MiB", "1MiB" ..= "1GiB";
    /// How bytes get into the log: a mapping, or pwrite.
    "log.io" => Restart log_io: Io = "mmap";
    /// A log end that may be torn or damaged: refuse to start, or cut it; auto
    /// refuses under `log.sync = always`.
    "log.suspect_tail" => Restart suspect_tail: SuspectTail = "auto";
    /// Log that is kept although no start needs it: for increments of backups, and
    /// whoever wants to go on from an older revision. It gives way when the disk is full.
    "log.retain_bytes" => Restart retain_bytes: Size = "256MiB", "0B" ..= "16TiB";
    /// And none of it that is older than this; 0ms: however old it is.
    "log.retain_age" => Restart retain_age: Duration = "0ms", "0ms" ..= "8760h";
    /// Bytes of the newest changes that are kept in memory while anybody watches;
    /// whoever is further behind reads the log.
    "watch.ring_bytes" => Restart watch_ring_bytes: Size = "16MiB", "0B" ..= "16GiB";
    /// A snapshot is made when a start would have to replay this many bytes of log,
    /// and no fewer than the last snapshot has. none: only on demand.
    "snapshot.log_bytes" => Restart snapshot_log_bytes: SizeLimit = "256MiB";
    /// And when this much time has passed since the last one and something has
    /// changed. 0ms: however long it is.
    "snapshot.interval" => Restart snapshot_interval: Duration = "0ms", "0ms" ..= "8760h";
    /// Bytes a second that writing a snapshot may take. none: no limit.
    "snapshot.rate" => Restart snapshot_rate: SizeLimit = "64MiB";
    /// Time that a stop may take for a snapshot, at any rate, so that the next start has
    /// no log to replay. One that is not done by then is given up. 0ms: none is made.
    "snapshot.at_stop" => Restart snapshot_at_stop: Duration = "0ms", "0ms" ..= "1h";
    /// A damaged snapshot at a start: refuse to start, or use-older, which begins
    /// with the one before it and loses nothing.
    "snapshot.damaged" => Restart snapshot_damaged: Damaged = "refuse";
    /// Bytes of keys, values and their bookkeeping; a write that would pass it is
    /// refused. none or 0: no limit.
    "memory.max_bytes" => Live memory_max_bytes: SizeLimit = "none";
    /// Longest key.
    "limits.key_bytes" => Restart key_bytes: Size = "4KiB", "1B" ..= "64KiB";
    /// Longest value.
    "limits.value_bytes" => Restart value_bytes: Size = "1MiB", "1B" ..= "16MiB";
    /// Operations of one batch or pipeline message.
    "limits.batch_operations" => Restart batch_operations: usize = "1024", "1" ..= "1024";
    /// Keys and values of one batch or pipeline message.
    "limits.batch_bytes" => Restart batch_bytes: Size = "8MiB", "64KiB" ..= "20MiB";
    /// Encoded reply; one record alone may be longer.
    "limits.reply_bytes" => Restart reply_bytes: Size = "3584KiB", "64KiB" ..= "64MiB";
    /// Writes accepted and not yet in the log.
    "limits.in_flight_operations" => Restart in_flight_operations: usize = "65536", "1024" ..= "1048576";
    /// Their bytes.
    "limits.in_flight_bytes" => Restart in_flight_bytes: Size = "64MiB", "1MiB" ..= "16GiB";
    /// The longest a write waits to be accepted before it is refused with
    /// OVERLOADED.
    "limits.admission_wait" => Live admission_wait: Duration = "1s", "0ms" ..= "1s";
    /// What is logged: error, warn, info, debug or trace.
    "telemetry.level" => Live level: Level = "info";
    /// Operations that take longer are logged with the parts of their time, at most ten a
    /// second. 0ms: none.
    "telemetry.slow_operation" => Live slow_operation: Duration = "0ms", "0ms" ..= "1h";
    /// How log lines are written: text or json to stderr, or to the journal with every
    /// field as a field of its own. auto: to the journal if stderr is connected to it, else text.
    "telemetry.log_format" => Restart log_format: LogFormat = "auto";
    /// Where traces are sent to, with OTLP over gRPC: a collector, most often on port 4317,
    /// or off. Only in a build with the feature otlp.
    "telemetry.otlp_endpoint" => Restart otlp_endpoint: Collector = "off";
    /// The share of calls that are traced, of those whose callers do not decide it by a
    /// traceparent.
    "telemetry.otlp_sample" => Live otlp_sample: Ratio = "0.01", "0" ..= "1";
    /// How long the collector may take for one batch, and for all that is left at a stop.
    "telemetry.otlp_timeout" => Restart otlp_timeout: Duration = "5s", "100ms" ..= "60s";
}
