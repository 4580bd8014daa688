//! kvcli as a user runs it: the real program against a fake kvd on a real
//! socket. Unit tests of the parts stand beside the parts.

mod backup;
mod bench;
mod commands;
mod docs;
mod exits;
mod fake;
mod formats;
mod keys;
mod options;
mod ranges;
mod repl;
mod repl_lines;
mod repl_output;
mod repl_watch;
mod retry;
mod rm;
mod run;
mod script;
mod script_retry;
mod terminal;
mod top;
mod txn;
mod verify;
mod watch;
