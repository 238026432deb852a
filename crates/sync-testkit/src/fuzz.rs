//! What holds of any bytes whatsoever: the bodies of the fuzz targets.
//!
//! Each target is a function of bytes that panics when something does not hold. The programs in `fuzz/`
//! let libFuzzer look for such bytes; the test `fuzz_corpus` calls the same functions with everything that
//! was ever found to be interesting, on any compiler. Whoever adds a target names it in [`TARGETS`], in
//! `fuzz/Cargo.toml` and in `fuzz/fuzz_targets`; a test compares them.
//!
//! Nothing here depends on anything but the input: the same bytes do the same each time.

mod engine;
mod relay;
mod script;
mod sealed;
mod seeds;
mod text;
mod wire;

pub use engine::client_engine;
pub use relay::relay_session;
pub use sealed::{invite, rotation, sealed_blob};
pub use text::{invite_text, join_link};
pub use wire::{envelope, frame, message};

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its program and of its folders.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to start from, made from the test vectors and by hand.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "frame", run: frame, seeds: seeds::frame },
    Target { name: "envelope", run: envelope, seeds: seeds::envelope },
    Target { name: "message", run: message, seeds: seeds::message },
    Target { name: "sealed_blob", run: sealed_blob, seeds: seeds::sealed_blob },
    Target { name: "rotation", run: rotation, seeds: seeds::rotation },
    Target { name: "invite", run: invite, seeds: seeds::invite },
    Target { name: "invite_text", run: invite_text, seeds: seeds::invite_text },
    Target { name: "join_link", run: join_link, seeds: seeds::join_link },
    Target { name: "relay_session", run: relay_session, seeds: seeds::relay_session },
    Target { name: "client_engine", run: client_engine, seeds: seeds::client_engine },
];
