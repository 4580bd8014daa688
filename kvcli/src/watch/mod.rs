//! `watch`: every change of a key or a range, in order, once, for as long as one likes.
//!
//! Changes are shown when all of their revision have come, and what was shown is
//! what the position stands behind. So after a connection that broke, or a server that
//! started again, the watch goes on behind that position: nothing is shown twice and nothing
//! is left out. A start from the current state, or a resync, that breaks in the middle has no
//! position and begins anew, which is said.

mod exec;
mod flags;
mod follow;
mod told;

use kvproto::v1::{self, watch_response::Response as Message};

pub(crate) use self::flags::Args;
use self::{exec::Command, follow::Follow, told::Events};
use crate::{
    args::CallFlags,
    failure::{Exit, Failure, Refusal, complain},
    output::Output,
    settings::Settings,
};

/// From the command line: runs until Ctrl-C, the number of events that was asked for, or a
/// refusal.
pub(crate) async fn run(
    settings: &Settings,
    args: Args,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let interrupt = async {
        let pressed = tokio::signal::ctrl_c().await;
        pressed.map_err(|error| Failure::usage(format!("cannot wait for Ctrl-C: {error}")))
    };
    until(interrupt, settings, &settings.call, args, output).await
}

/// As [`run`], until `interrupt` instead of Ctrl-C.
pub(crate) async fn until(
    interrupt: impl Future<Output = Result<(), Failure>>,
    settings: &Settings,
    call: &CallFlags,
    args: Args,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let limit = args.limit;
    let command = args.exec.clone().map(Command::new);
    let create = args.into_create(call)?;
    let mut watch = Watch {
        follow: Follow::new(settings, create),
        events: Events::default(),
        left: limit,
        command,
        has_shown: false,
    };
    tokio::select! {
        end = watch.run(output) => end,
        interrupt = interrupt => {
            interrupt?;
            watch.interrupted(output).await
        }
    }
}

struct Watch<'a> {
    follow: Follow<'a>,
    /// Of a revision that is not complete.
    events: Events,
    left: Option<u64>,
    command: Option<Command>,
    has_shown: bool,
}

impl Watch<'_> {
    async fn run(&mut self, output: &mut Output) -> Result<Exit, Failure> {
        let ended = self.take(output).await;
        match ended {
            Ok(exit) => {
                output.end_parts(serde_json::Map::new())?;
                output.flush()?;
                Ok(exit)
            }
            Err(failure) => {
                output.break_off();
                output.flush()?;
                Err(failure)
            }
        }
    }

    /// Nobody waits for its end: what was shown is whole, and is closed as such.
    async fn interrupted(&mut self, output: &mut Output) -> Result<Exit, Failure> {
        if self.has_shown {
            output.end_parts(serde_json::Map::new())?;
        }
        output.flush()?;
        if let Some(command) = &mut self.command {
            command.ended().await;
        }
        Err(Failure::Interrupted(self.follow.how_to_go_on()))
    }

    async fn take(&mut self, output: &mut Output) -> Result<Exit, Failure> {
        loop {
            let Some(message) = self.follow.next().await? else {
                // A new connection: what was not whole comes again.
                self.events.clear();
                continue;
            };
            match message {
                Message::Events(events) => {
                    let whole = !events.more_of_revision;
                    self.events.add(events.events, self.left);
                    if whole && let Some(exit) = self.show(output).await? {
                        return Ok(exit);
                    }
                    if whole {
                        self.follow.passed(events.revision, events.position);
                    }
                }
                Message::Progress(progress) => {
                    self.follow.passed(progress.revision, progress.position);
                }
                Message::ResyncBegin(begin) => {
                    self.follow.lose_position();
                    complain(&resync_begins(&begin));
                }
                Message::ResyncEnd(end) => {
                    self.follow.passed(end.revision, end.position);
                    complain(&format!(
                        "the current state was sent as of revision {}: keys that were not in it are gone",
                        end.revision
                    ));
                }
                Message::Canceled(canceled) => return Err(ended_by_server(&canceled)),
                Message::Created(_) => {}
            }
        }
    }

    /// Shows what has come of a revision; how it ends, if it ends with that.
    async fn show(&mut self, output: &mut Output) -> Result<Option<Exit>, Failure> {
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return Ok(None);
        }
        if let Some(command) = &mut self.command {
            for object in events.as_objects() {
                if let Err(failed) = command.run(object).await {
                    complain(&failed);
                    let on = self.follow.how_to_go_on();
                    complain(&format!("the watch ends before this event{on}"));
                    return Ok(Some(Exit::Negative));
                }
            }
        } else {
            self.has_shown = true;
            output.part(&events)?;
            output.flush()?;
        }
        if let Some(left) = &mut self.left {
            *left -= events.len().min(*left);
            if *left == 0 {
                return Ok(Some(Exit::Success));
            }
        }
        Ok(None)
    }
}

fn ended_by_server(canceled: &v1::WatchCanceled) -> Failure {
    let error = canceled.error.clone().unwrap_or_default();
    if canceled.compact_revision > 0 {
        complain(&format!(
            "changes before revision {} are no longer held; --on-compacted resync sends the \
             current state instead",
            canceled.compact_revision
        ));
    }
    Failure::from_refusal(Refusal::from_item(&error))
}

fn resync_begins(begin: &v1::WatchResyncBegin) -> String {
    if begin.compact_revision > 0 {
        format!(
            "changes before revision {} are no longer held: the current state comes instead",
            begin.compact_revision
        )
    } else {
        "the current state comes first".to_owned()
    }
}
