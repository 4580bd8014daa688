//! Running the program and looking at what it left.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    io::Write as _,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::fake::Fake;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("text on standard output")
    }

    /// Fails with all there is to see, unless the run ended so.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.err.contains(part), "no {part:?} in: {}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn prints(self, text: impl AsRef<[u8]>) -> Self {
        let wanted = text.as_ref();
        assert!(
            self.out == wanted,
            "printed {}, not {}; {}",
            self.out.escape_ascii(),
            wanted.escape_ascii(),
            self.err
        );
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program, with nothing from the environment.
pub(crate) fn kvcli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvcli"));
    command.env_remove("KVCLI_ENDPOINT");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// One command against a fake.
pub(crate) fn run<S: AsRef<OsStr>>(fake: &Fake, args: &[S]) -> Ended {
    let mut command = kvcli();
    command.args(["--endpoint", &fake.endpoint]).args(args);
    wait(command.spawn().expect("the program starts"))
}

/// Something on standard input: a script, or the value of `set --stdin`.
pub(crate) fn feed(fake: &Fake, args: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let mut command = kvcli();
    command
        .args(["--endpoint", &fake.endpoint])
        .args(args)
        .stdin(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.as_ref().to_vec();
    let feeder = thread::Builder::new().spawn(move || {
        // A program that stops reading early is what some tests are about.
        let _ = stdin.write_all(&input);
    });
    let ended = wait(child);
    feeder.expect("a thread").join().expect("the feeder ends");
    ended
}

/// A fake that holds these keys, each with a `v` and itself as its value.
pub(crate) fn filled(keys: &[&str]) -> Fake {
    let fake = Fake::start();
    let mut script = String::new();
    for key in keys {
        writeln!(script, "set {key} v{key}").expect("a string");
    }
    feed(&fake, &[], script).exits(0);
    fake
}

/// Waits for the end, but not for ever.
pub(crate) fn wait(child: Child) -> Ended {
    let id = i32::try_from(child.id()).expect("a process id");
    let (ended, watch) = std::sync::mpsc::channel::<()>();
    let watchdog = thread::Builder::new().spawn(move || {
        let late = watch.recv_timeout(Duration::from_secs(60)).is_err();
        if late {
            signal(id, "KILL");
        }
        late
    });
    let output = child.wait_with_output().expect("the program ends");
    let _ = ended.send(());
    let late = watchdog
        .expect("a thread")
        .join()
        .expect("the watchdog ends");
    assert!(!late, "the program did not end: {:?}", Ended::from(output));
    output.into()
}

/// Sends a signal to one process.
pub(crate) fn signal(id: i32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &id.to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

/// Waits until something is true.
#[track_caller]
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "waited in vain until {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
