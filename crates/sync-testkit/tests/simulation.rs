//! Two or three engines and a relay in a rough world, a thousand times over.
//!
//! `SIM_SEED=n` repeats one run, `SIM_SEEDS=n` runs more of them, `SIM_FROM=n` not from the first on.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sync_testkit::Faults;
use sync_testkit::sim::{Plan, check::Summary, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs many seeds; each failing one names itself.
fn run_all(seeds: u64, plan: impl Fn(u64) -> Plan + Sync) -> Summary {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => number("SIM_FROM").unwrap_or(0)..number("SIM_SEEDS").unwrap_or(seeds),
    };
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new(Summary::default());
    let failures = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match run(seed, plan(seed)) {
                Ok(one) => {
                    let mut sum = sum.lock().unwrap();
                    sum.pushes += one.pushes;
                    sum.reads += one.reads;
                    sum.connections += one.connections;
                    sum.resets += one.resets;
                    sum.rotations += one.rotations;
                    sum.removed += one.removed;
                    sum.joined += one.joined;
                    sum.overtaken += one.overtaken;
                }
                Err(why) => {
                    println!("seed {seed}: {why} (SIM_SEED={seed} repeats it)");
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    assert_eq!(failures.into_inner(), 0, "seeds failed");
    sum.into_inner().unwrap()
}

/// How many of the first seeds find a planted fault.
fn found(seeds: u64, plan: Plan) -> Vec<(u64, String)> {
    (0..seeds).filter_map(|seed| Some((seed, run(seed, plan).err()?))).collect()
}

fn devices(seed: u64) -> usize {
    if seed % 4 == 3 { 3 } else { 2 }
}

fn honest(seeds: u64) {
    let sum = run_all(seeds, |seed| Plan { devices: devices(seed), ..Plan::default() });
    println!("{seeds} seeds: {sum:?}");
    if number("SIM_SEED").is_none() {
        // The world was rough enough to mean something.
        assert!(sum.pushes as u64 > seeds * 50, "{sum:?}");
        assert!(sum.connections > seeds * 10, "{sum:?}");
        assert_eq!(sum.resets, 0);
    }
}

fn wiped(seeds: u64) {
    let sum = run_all(seeds, |seed| Plan { devices: devices(seed), wipes: true, ..Plan::default() });
    println!("{seeds} seeds: {sum:?}");
    if number("SIM_SEED").is_none() {
        assert!(sum.resets as u64 > seeds, "{sum:?}");
    }
}

fn changing(seeds: u64) {
    let sum = run_all(seeds, |seed| Plan {
        devices: 2 + (seed % 3) as usize,
        guests: 2,
        rotations: true,
        wipes: seed % 4 == 3,
        ..Plan::default()
    });
    println!("{seeds} seeds: {sum:?}");
    if number("SIM_SEED").is_none() {
        assert!(sum.rotations as u64 > seeds, "{sum:?}");
        // What is told and not mended is rare.
        assert!(sum.overtaken * 10_000 <= sum.pushes, "{sum:?}");
        assert!(sum.removed as u64 > seeds / 4 && sum.joined as u64 > seeds / 2, "{sum:?}");
    }
}

#[test]
fn members_come_and_go_and_nothing_is_lost() {
    changing(20);
}

#[test]
#[ignore = "heavy: a thousand runs"]
fn members_come_and_go_and_nothing_is_lost_a_thousand_times() {
    changing(1_000);
}

#[test]
fn every_promised_push_arrives_once_and_in_order() {
    honest(20);
}

#[test]
#[ignore = "heavy: a thousand runs"]
fn every_promised_push_arrives_once_and_in_order_a_thousand_times() {
    honest(1_000);
}

#[test]
fn a_relay_that_loses_its_database_loses_nothing_and_nothing_is_read_twice() {
    wiped(20);
}

#[test]
#[ignore = "heavy: some hundred runs"]
fn a_relay_that_loses_its_database_loses_nothing_and_nothing_is_read_twice_some_hundred_times() {
    wiped(200);
}

#[test]
fn an_ack_before_the_commit_is_found() {
    let faults = Faults { ack_before_commit: true, ..Faults::default() };
    let found = found(20, Plan { faults, ..Plan::default() });
    println!("{} of 20: {:?}", found.len(), found.first());
    assert!(!found.is_empty());
}

#[test]
fn a_reused_cursor_is_found() {
    let faults = Faults { reuse_cursor: true, ..Faults::default() };
    let found = found(5, Plan { faults, ..Plan::default() });
    println!("{} of 5: {:?}", found.len(), found.first());
    assert_eq!(found.len(), 5);
}

#[test]
fn an_outbox_row_that_is_dropped_early_is_found() {
    let found = found(20, Plan { drop_outbox_early: true, ..Plan::default() });
    println!("{} of 20: {:?}", found.len(), found.first());
    assert!(!found.is_empty());
}
