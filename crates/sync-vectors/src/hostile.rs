//! Random and mutated inputs for every decoder.
//!
//! Whatever arrives, a decoder must not panic, must not allocate more than the input paid for, and what
//! it does accept must encode to the very same bytes again: [`accept`] has that as functions. Every
//! input follows from the decoder's name and a number, so a failure is replayed by [`Decoder::replay`].

pub mod accept;
mod decoders;
mod mutate;

pub use decoders::{Decoder, decoders};
