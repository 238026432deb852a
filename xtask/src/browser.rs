//! The page in a real browser, against a real relay, with the real command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{cargo, each_line, installed, on_path, output, root, show, target_dir};
use crate::tally::Counts;
use crate::{assemble, debian, page};

/// Under which names Chromium is found.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// What to say when there is none.
const NO_BROWSER: &str = "Chromium is missing (Debian: apt-get install chromium): the tests of the page run in it; \
                          CHROMIUM may name it";
/// Longer than any test takes, in milliseconds.
const PATIENCE: u32 = 300_000;

/// The page's own modules, without a browser.
pub(crate) fn unit_tests() -> Result<Counts> {
    run_node("web-demo/tests", ".test.mjs", &mut Command::new("node"))
}

/// The page, the browser's client and everything behind them.
pub(crate) fn tests() -> Result<Counts> {
    let programs = target_dir()?.join("debug");
    let mut node = prepare()?;
    show(&mut cargo(["build", "--quiet", "--package", "sync-relay", "--package", "sync-cli", "--bins"]))?;
    let recording = ["--package", "sync-relay", "--features", "record", "--bin", "recording-relay"];
    show(cargo(["build", "--quiet"]).args(recording))?;
    run_node("web-demo/e2e", ".test.mjs", node.env("SYNC_PROGRAMS", programs))
}

/// How long a person waits: prints figures.
pub(crate) fn bench() -> Result<bool> {
    let programs = target_dir()?.join("release");
    let mut node = prepare()?;
    let build =
        ["build", "--quiet", "--release", "--package", "sync-relay", "--package", "sync-cli", "--bins"];
    show(&mut cargo(build))?;
    let counts = run_node("web-demo/e2e", "bench.mjs", node.env("SYNC_PROGRAMS", programs))?;
    Ok(counts.failed == 0)
}

/// Builds the page, and sees that a browser and what drives it are there.
fn prepare() -> Result<Command> {
    assemble::build()?;
    let browser = browser()?;
    ensure!(
        installed("npm"),
        "npm is missing (Debian: apt-get install npm): it fetches what drives the browser"
    );
    let e2e = root().join("web-demo/e2e");
    output(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(e2e))?;
    let mut node = Command::new("node");
    node.env("CHROMIUM", browser);
    Ok(node)
}

/// Chromium, installed if that can be done here.
fn browser() -> Result<PathBuf> {
    let found = || {
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
        named.or_else(|| BROWSERS.iter().find_map(|name| on_path(name)))
    };
    if let Some(browser) = found() {
        return Ok(browser);
    }
    ensure!(debian::may_install(), NO_BROWSER);
    debian::install(&["chromium", "fonts-dejavu-core"])?;
    found().context(NO_BROWSER)
}

/// Runs the test files of a folder, one after the other, and counts.
pub(crate) fn run_node(folder: &str, end: &str, node: &mut Command) -> Result<Counts> {
    let folder: &Path = &root().join(folder);
    let files: Vec<_> = page::files(folder)?
        .into_iter()
        .filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)))
        .collect();
    ensure!(!files.is_empty(), "{} has no tests", folder.display());
    let patience = format!("--test-timeout={PATIENCE}");
    node.args(["--test", "--test-concurrency=1", "--test-reporter=tap", &patience]).args(files);
    let mut counts = Counts::default();
    let success = each_line(node, |line| counts.add_tap_line(line))?;
    if !success && counts.failed == 0 {
        counts.failed = 1;
    }
    ensure!(counts.passed + counts.failed > 0, "not a single test was run");
    ensure!(counts.ignored == 0, "{} tests were skipped", counts.ignored);
    Ok(counts)
}
