//! Traces, as a collector sees them: read with types that were generated from the
//! specification, not with those that kvd writes them with.

#[cfg(test)]
mod collector;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod support;
