//! Keeps the editor quick when a program types a very long line.
//!
//! The editor draws the whole line again whenever it reaches the edge of the
//! screen, so a line that comes key by key costs the square of its length. A paste
//! that says that it is one comes in one piece and is no trouble. Otherwise what is
//! typed behind [`LONGEST_DRAWN`] bytes is kept here, unseen, and joins the line
//! when Enter is pressed.

use std::sync::{Arc, Mutex, PoisonError};

use rustyline::{
    Cmd, ConditionalEventHandler, Event, EventContext, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

const LONGEST_DRAWN: usize = 8 * 1024;
/// More than this is no line any more.
const LONGEST: usize = 80 * 1024 * 1024;

/// What was typed and not drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Overflow(Arc<Mutex<String>>);

impl Overflow {
    /// What belongs behind the line that the editor gave.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ConditionalEventHandler for Overflow {
    fn handle(
        &self,
        event: &Event,
        _: RepeatCount,
        _: bool,
        ctx: &EventContext<'_>,
    ) -> Option<Cmd> {
        let line = ctx.line();
        if line.len() < LONGEST_DRAWN {
            return None;
        }
        let Event::KeySeq(keys) = event else {
            return None;
        };
        let mut hidden = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.first()? {
            KeyEvent(KeyCode::Char(c), Modifiers::NONE | Modifiers::SHIFT)
                if ctx.pos() == line.len() =>
            {
                if hidden.len() < LONGEST {
                    hidden.push(*c);
                }
                Some(Cmd::Noop)
            }
            KeyEvent(KeyCode::Backspace, _) if !hidden.is_empty() => {
                hidden.pop();
                Some(Cmd::Noop)
            }
            // The line ends here, wherever its quotes do.
            KeyEvent(KeyCode::Enter, _) | KeyEvent(KeyCode::Char('J' | 'M'), Modifiers::CTRL)
                if !hidden.is_empty() =>
            {
                Some(Cmd::AcceptLine)
            }
            KeyEvent(KeyCode::Char('C' | 'D'), Modifiers::CTRL) => {
                hidden.clear();
                None
            }
            _ if hidden.is_empty() => None,
            // Moving in a line of which the end is not there makes no sense.
            _ => Some(Cmd::Noop),
        }
    }
}
