//! `cargo xtask ci`: every check, one after the other, to the end even when one fails.

use std::ffi::OsStr;

use anyhow::{Result, bail, ensure};

use crate::run::{cargo, each_line, installed, output, root, show};
use crate::tally::{Counts, Tally};
use crate::{assemble, browser, debian, demo, laws, reader, tauri, wasm};

/// Packages that have tests marked `#[ignore = "heavy: …"]`. Those are left out of the ordinary run and
/// run here at full speed; no package beyond these may have ignored tests.
const HEAVY: [&str; 6] =
    ["sync-types", "sync-e2ee", "sync-engine", "sync-relay-core", "sync-vectors", "sync-testkit"];

/// Ignored tests that are none: the relay process that the tests of client and command line start.
const NO_TESTS: u64 = 2;

/// What a step found, given what the steps before it left out.
type Step = fn(&mut State) -> Result<Counts>;

/// What later steps want to know of earlier ones.
#[derive(Debug, Default)]
struct State {
    /// Tests that the ordinary run ignored.
    ignored: Option<u64>,
}

const STEPS: [(&str, Step); 22] = [
    ("tools", |_| one(tools())),
    ("format", |_| one(show(&mut cargo(["fmt", "--all", "--", "--check"])))),
    ("page", |_| one(assemble::build().map(|_| ()))),
    ("clippy", |_| one(clippy())),
    ("tests", tests),
    ("heavy-tests", heavy_tests),
    ("page-modules", |_| browser::unit_tests()),
    ("browser", |_| browser::tests()),
    ("tauri", |_| tauri::tests()),
    ("docs", |_| one(docs())),
    ("law-1-relay-cannot-decrypt", |_| one(laws::relay_cannot_decrypt())),
    ("law-2-no-host-dependencies", |_| one(laws::pure_crates_have_pure_dependencies())),
    ("law-2-no-clock", |_| one(laws::clippy_refuses_the_host())),
    ("law-3-wasm-without-host", |_| one(wasm::pure_crates_import_nothing())),
    ("law-4-same-bytes-in-wasm", |_| one(wasm::vectors_agree())),
    ("law-4-same-tests-in-wasm", |_| count(&wasm::pure_tests()?, &[])),
    ("law-5-vectors-for-every-type", |_| one(every_type_has_vectors())),
    ("vectors-by-another-hand", |_| one(independent_vectors())),
    ("vectors-by-a-third-hand", |_| reader::vectors_verified()),
    ("scripts", |_| one(scripts())),
    ("deny", |_| deny()),
    ("demo", |_| one(demo::check())),
];

/// The steps, for the command line.
pub(crate) fn names() -> [&'static str; STEPS.len()] {
    STEPS.map(|(name, _)| name)
}

/// Runs the steps asked for, all unless some are named; gives whether all is well.
pub(crate) fn run(only: &[String], skip: &[String]) -> Result<bool> {
    let named = |list: &[String], name: &str| list.iter().any(|n| n == name);
    let mut tally = Tally::default();
    let mut state = State::default();
    for (name, step) in STEPS {
        if (only.is_empty() || named(only, name)) && !named(skip, name) {
            tally.step(name, || step(&mut state));
        }
    }
    Ok(tally.finish())
}

fn one(result: Result<()>) -> Result<Counts> {
    result.map(|()| Counts::ONE_PASSED)
}

fn tools() -> Result<()> {
    let missing: Vec<_> = [
        ("cc", "a C compiler (Debian: build-essential), which SQLite and ring are built with"),
        ("node", "Node.js (Debian: nodejs), which runs the vectors in WebAssembly and JavaScript"),
        ("git", "git"),
        ("bash", "bash"),
    ]
    .into_iter()
    .filter(|(program, _)| !installed(program))
    .map(|(_, what)| what)
    .collect();
    ensure!(missing.is_empty(), "missing on this machine: {}", missing.join("; "));
    debian::ensure_libclang()?;
    wasm::ensure_target()
}

fn clippy() -> Result<()> {
    show(&mut cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

fn docs() -> Result<()> {
    let mut command = cargo(["doc", "--quiet", "--workspace", "--no-deps"]);
    show(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

fn tests(state: &mut State) -> Result<Counts> {
    let counts = count(&["test", "--workspace", "--no-fail-fast"], &[])?;
    // What did not build has no ignored tests that could be counted.
    state.ignored = (counts.passed > 0).then_some(counts.ignored);
    Ok(counts)
}

/// The tests that the ordinary run ignored, optimised; fails when some test is run by neither.
fn heavy_tests(state: &mut State) -> Result<Counts> {
    let mut args = vec!["test", "--profile", "fast-test", "--no-fail-fast"];
    args.extend(HEAVY.iter().flat_map(|package| ["--package", package]));
    let mut counts = count(&args, &["--ignored", "--nocapture"])?;
    let run = counts.passed + counts.failed;
    if let Some(ignored) = state.ignored.filter(|ignored| *ignored != run + NO_TESTS) {
        println!("error: {ignored} tests are marked as ignored, but {run} heavy tests were run");
        counts.failed += 1;
    }
    Ok(counts)
}

/// Runs tests and counts them.
fn count<S: AsRef<OsStr>>(cargo_args: &[S], test_args: &[&str]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut command = cargo(cargo_args);
    command.arg("--").args(test_args);
    let success = each_line(&mut command, |line| counts.add_line(line))?;
    if !success && counts.failed == 0 {
        counts.failed = 1; // It did not build, or a test binary died before its count.
    }
    ensure!(counts.passed + counts.failed > 0, "not a single test was run");
    Ok(counts)
}

/// Law 5: every type that crosses the wire has bytes that are accepted and bytes that are refused.
fn every_type_has_vectors() -> Result<()> {
    let counts = count(&["test", "--package", "sync-vectors", "--test", "complete"], &[])?;
    ensure!(counts.failed == 0, "a type has no vectors");
    Ok(())
}

/// The vectors are made by a second implementation, in JavaScript; it must still make the same.
fn independent_vectors() -> Result<()> {
    let script = root().join("vectors/make.mjs");
    show(std::process::Command::new("node").arg(script).arg("--check"))
}

/// Shell scripts at least parse.
fn scripts() -> Result<()> {
    show(std::process::Command::new("bash").arg("-n").arg(root().join(".ci/run")))
}

fn deny() -> Result<Counts> {
    if output(&mut cargo(["deny", "--version"])).is_err() {
        println!("cargo-deny is not installed: licences, advisories and sources are not checked here");
        return Ok(Counts::default());
    }
    // Advisories need the network; what is not about them must hold everywhere.
    show(&mut cargo(["deny", "check", "licenses", "bans", "sources"]))?;
    if let Err(error) = show(&mut cargo(["deny", "check", "advisories"])) {
        bail!("{error}; run cargo deny check advisories to see whether it is the network");
    }
    Ok(Counts::ONE_PASSED)
}
