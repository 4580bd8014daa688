//! Damaged directories: what is said of them, and what can be made of them.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bits;
#[cfg(test)]
mod files;
#[cfg(test)]
mod holes;
#[cfg(test)]
mod online;
#[cfg(test)]
#[path = "../small/on_disk.rs"]
mod small;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod support;
