//! kvcli as a user runs it: the real program against a fake kvd on a real
//! socket. Unit tests of the parts stand beside the parts.

mod commands;
mod exits;
mod fake;
mod run;
mod script;
