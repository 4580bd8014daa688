//! How far long work is, on a terminal: one line on standard error that is
//! written over and taken away at the end.
//!
//! Nothing is shown before [`Progress::FIRST`] has passed, and nothing at all
//! where standard error is no terminal. Where the terminal also shows the data, work
//! that prints as it goes shows nothing here: the data is the progress.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use tokio::time::sleep;

const BAR: usize = 24;

/// The line, if there is one.
#[derive(Debug)]
pub(crate) struct Progress {
    visible: bool,
    started: Instant,
    drawn: Option<Instant>,
    columns: usize,
}

impl Progress {
    pub(crate) const FIRST: Duration = Duration::from_millis(700);
    const AGAIN: Duration = Duration::from_millis(200);

    /// Of a wait for one answer.
    pub(crate) fn of_wait() -> Self {
        let stderr = io::stderr();
        let size = rustix::termios::tcgetwinsize(&stderr).ok();
        Self {
            visible: stderr.is_terminal(),
            started: Instant::now(),
            drawn: None,
            columns: size.map_or(80, |size| usize::from(size.ws_col)),
        }
    }

    /// Of work that prints as it goes.
    pub(crate) fn of_output() -> Self {
        let mut progress = Self::of_wait();
        progress.visible &= !io::stdout().is_terminal();
        progress
    }

    /// Shows the time while something is waited for.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                end = &mut work => {
                    self.clear();
                    return end;
                }
                () = sleep(Self::AGAIN), if self.visible => self.count("waiting"),
            }
        }
    }

    /// Shows how much there is so far.
    pub(crate) fn count(&mut self, what: &str) {
        if self.is_due() {
            let seconds = self.started.elapsed().as_secs_f64();
            self.draw(&format!("{what}, {seconds:.1} s, Ctrl-C ends it"));
        }
    }

    /// Shows a part of a whole.
    pub(crate) fn part(&mut self, done: u64, whole: u64, what: &str) {
        if self.is_due() {
            self.draw(&bar(done, whole, what));
        }
    }

    fn is_due(&self) -> bool {
        let late = match self.drawn {
            None => self.started.elapsed() >= Self::FIRST,
            Some(drawn) => drawn.elapsed() >= Self::AGAIN,
        };
        self.visible && late
    }

    fn draw(&mut self, text: &str) {
        self.drawn = Some(Instant::now());
        // One column stays free: a full line would make some terminals wrap.
        let text: String = text.chars().take(self.columns.saturating_sub(1)).collect();
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(done: u64, whole: u64, what: &str) -> String {
    let done = done.min(whole);
    let percent = (u128::from(done) * 100)
        .checked_div(u128::from(whole))
        .unwrap_or(100);
    let filled = usize::try_from(percent).unwrap_or(100) * BAR / 100;
    let bar = "#".repeat(filled) + &".".repeat(BAR - filled);
    format!("[{bar}] {percent:>3} % {what}")
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(0, 10, "x"), "[........................]   0 % x");
        assert_eq!(bar(5, 10, "x"), "[############............]  50 % x");
        assert_eq!(
            bar(u64::MAX, u64::MAX, ""),
            "[########################] 100 % "
        );
        assert_eq!(bar(7, 0, ""), "[########################] 100 % ");
        assert_eq!(bar(11, 10, ""), "[########################] 100 % ");
    }
}
