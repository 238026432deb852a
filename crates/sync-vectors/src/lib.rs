//! Test vectors of the protocol, and inputs that nobody honest would send.
//!
//! The files in `vectors/` say which bytes are accepted, what they mean, and which are refused and
//! why. They are made by a second implementation (`vectors/make.mjs`, JavaScript, which shares no code
//! with this one) and checked here. The same functions check them natively, in the tests, and inside
//! WebAssembly, where the binary `check-vectors` does nothing else: so these platforms agree.
//!
//! [`hostile`] makes random and mutated inputs for every decoder.
//!
//! This crate is for tests; nothing that ships depends on it. It obeys the rules of the crates that
//! do: no input or output, no clock, no randomness but what a seed gives.

mod chain;
mod channel;
mod codec;
mod derived;
mod describe;
mod file;
pub mod hostile;
mod keylog;
mod recovery;
mod rotation;
mod sealed;
mod text;

pub use codec::{covered_types, known_types};
pub use file::{FILES, Failure, File};
