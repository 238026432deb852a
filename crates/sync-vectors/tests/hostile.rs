//! Hostile inputs for every decoder: no panic, no allocation that the input has not paid for, and what
//! is accepted encodes to the same bytes again.
//!
//! A failure prints the decoder's name and the number of the input. `HOSTILE=NAME:NUMBER` replays it:
//! `HOSTILE='KeyLog:4711' cargo test -p sync-vectors --test hostile`.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, missing_docs)]

use std::alloc::System;
use std::sync::Mutex;
use std::time::Instant;

use cap::Cap;
use sync_vectors::hostile::{Decoder, decoders};

/// Ends the process at once when everything together goes past this: the last line of defence.
const MOST_AT_ONCE: usize = 256 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MOST_AT_ONCE);

/// The counts of memory are of the whole process, so one test runs at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What decoding may allocate, all allocations added up, in bytes.
fn allowance(input: usize) -> usize {
    16 * 1024 + 32 * input
}

#[test]
fn decoders_take_a_few_thousand_hostile_inputs() {
    feed_all(2_000, 20);
}

#[test]
#[ignore = "heavy: a million inputs for each decoder"]
fn decoders_take_a_million_hostile_inputs_each() {
    feed_all(1_000_000, 5_000);
}

/// Feeds every decoder `cheap` inputs, or `dear` ones where each costs public-key cryptography.
fn feed_all(cheap: u64, dear: u64) {
    let _guard = ONE_AT_A_TIME.lock();
    if let Ok(replay) = std::env::var("HOSTILE") {
        return replay_one(&replay);
    }
    for mut decoder in decoders() {
        let count = if decoder.is_dear() { dear } else { cheap };
        let start = Instant::now();
        feed(&mut decoder, count);
        eprintln!("{:28} {count:>8} inputs, {:5.1} s", decoder.name(), start.elapsed().as_secs_f64());
    }
}

fn feed(decoder: &mut Decoder, count: u64) {
    let mut current = Current { name: decoder.name().to_owned(), number: 0 };
    decoder.feed(0..count, |number, input, run| {
        current.number = number;
        let before = MEMORY.total_allocated();
        run();
        let allocated = MEMORY.total_allocated() - before;
        assert!(
            allocated <= allowance(input.len()),
            "{allocated} bytes were allocated for an input of {}",
            input.len()
        );
    });
}

fn replay_one(which: &str) {
    let (name, number) = which.rsplit_once(':').expect("HOSTILE=NAME:NUMBER");
    let mut all = decoders();
    let decoder = all.iter_mut().find(|decoder| decoder.name() == name).expect("the name of a decoder");
    let number = number.parse().unwrap();
    decoder.feed(number..number + 1, |_, input, run| {
        eprintln!("{name}:{number} is {input:02x?}, as text {:?}", String::from_utf8_lossy(input));
        run();
    });
}

/// Says which input it was when a decoder panics.
struct Current {
    name: String,
    number: u64,
}

impl Drop for Current {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to replay this: HOSTILE='{}:{}'", self.name, self.number);
        }
    }
}
