//! The checkers themselves: correct histories pass, and every known way to be wrong is
//! caught.

mod across;
mod known;
mod make;
mod random;
mod sim;
mod store;
