//! `kvcli top`: what a server does right now.
//!
//! Two samples, some time apart, make a reading: what happened between them, by
//! second. A terminal gets a view that is drawn again with every sample until `q`;
//! anything else, and `--once`, one reading through the printers of every command.
//!
//! Figures come from GetStatus and, where they can be reached, from `/metrics`. What
//! neither has is shown as `-`, never as 0. What was slow lately comes from
//! GetSlowOperations.

mod reading;
mod sample;
mod slow;
mod view;

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use self::{reading::Reading, sample::Sampler};
use crate::{
    failure::{Exit, Failure, complain},
    metrics::{Place, parse_place},
    output::{Output, Report, paint::Paint},
    settings::{Settings, parse_duration},
};

/// How long a key may wait to be seen.
const LOOK: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(100);

/// Watch what a server does
///
/// Operations by second and name, their percentiles, the size of groups, memory and
/// log, and the newest slow operations with the parts of their time, if the server has
/// a telemetry.slow_operation. q ends it, + and - change how often it looks. Without a terminal, and with
/// --once, it looks for one interval and prints what it saw.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Print one reading and end
    #[arg(long)]
    once: bool,
    /// Slow operations to show, the newest [default: 5 on a terminal, 20 otherwise]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=128))]
    slow: Option<u16>,
    /// Where the server has its /metrics: host:port or off [default: the port
    /// after that of gRPC]
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    metrics: Option<Place>,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        interval if interval >= SHORTEST => Ok(interval),
        _ => Err(format!("has to be at least {SHORTEST:?}")),
    }
}

/// Looks until it is ended.
pub(crate) fn run(settings: &Settings, args: Args, output: &mut Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let draws = !args.once && io::stdout().is_terminal();
    let slow = args.slow.unwrap_or(if draws { 5 } else { 20 });
    let mut sampler = runtime.block_on(Sampler::connect(settings, args.metrics, slow))?;
    if !draws {
        return runtime.block_on(once(&mut sampler, args.interval, output));
    }
    let first = runtime.block_on(sampler.sample())?;
    let mut view = Live {
        interval: args.interval,
        reading: Reading::new(&first, &first),
        trouble: None,
        paint: Paint(settings.screen.paint.0),
    };
    let mut terminal = ratatui::try_init()?;
    let mut last = first;
    let end = loop {
        match view.look(&mut terminal) {
            Ok(true) => {}
            Ok(false) => break Ok(Exit::Success),
            Err(error) => break Err(error.into()),
        }
        match runtime.block_on(sampler.sample()) {
            Ok(sample) => {
                view.reading = Reading::new(&last, &sample);
                view.trouble = None;
                last = sample;
            }
            // The server may come back.
            Err(failure) => view.trouble = Some(failure.to_string()),
        }
    };
    ratatui::try_restore()?;
    runtime.shutdown_background();
    end
}

async fn once(
    sampler: &mut Sampler<'_>,
    interval: Duration,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let work = async {
        let first = sampler.sample().await?;
        tokio::time::sleep(interval).await;
        let second = sampler.sample().await?;
        let reading = Reading::new(&first, &second);
        output.print(&reading)?;
        output.flush()?;
        for problem in Report::problems(&reading) {
            complain(&problem);
        }
        Ok(Exit::Success)
    };
    tokio::select! {
        end = work => end,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted(String::new())),
    }
}

/// What is on the screen.
struct Live {
    interval: Duration,
    reading: Reading,
    trouble: Option<String>,
    paint: Paint,
}

impl Live {
    /// Draws, and waits for the time of the next sample. False if it is to end.
    fn look(&mut self, terminal: &mut ratatui::DefaultTerminal) -> io::Result<bool> {
        let started = Instant::now();
        let mut drawn = false;
        loop {
            if !drawn {
                terminal.draw(|frame| {
                    let trouble = self.trouble.as_deref();
                    view::draw(frame, &self.reading, trouble, self.interval, self.paint);
                })?;
                drawn = true;
            }
            let left = self.interval.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(true);
            }
            if !event::poll(left.min(LOOK))? {
                continue;
            }
            drawn = false;
            let Event::Key(key) = event::read()? else {
                continue;
            };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
                KeyCode::Char('c' | 'd') if control => return Ok(false),
                KeyCode::Char('+') => self.interval = (self.interval * 2).min(LONGEST),
                KeyCode::Char('-') => self.interval = (self.interval / 2).max(SHORTEST),
                _ => {}
            }
        }
    }
}

const LONGEST: Duration = Duration::from_secs(60);
