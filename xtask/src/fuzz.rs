//! `cargo xtask fuzz`: lets libFuzzer look for inputs that break something, one target after the other.
//!
//! New inputs go to the target folder, never into what is committed: `--keep` takes over those that reach
//! something new. What is committed is replayed by the ordinary tests, on any compiler.

use std::cmp::Reverse;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, output, root, show, target_dir};

/// Most inputs of a target that are committed: the tests take them all, each time.
const MAX_KEPT: usize = 299;
/// Longest input, in bytes: longer ones find nothing more, slowly.
const MAX_LEN: usize = 4096;
/// Longest time for one input, in seconds.
const MAX_TIME: u32 = 25;
/// Most memory, in MiB.
const MAX_MEMORY: u32 = 2048;

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long to run each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run only these targets
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Before that, write the inputs to start from into fuzz/corpus, made from the test vectors
    #[arg(long)]
    seeds: bool,
    /// After that, add what was found to fuzz/corpus and keep only what reaches something of its own
    #[arg(long)]
    keep: bool,
}

/// Runs the targets; gives whether nothing was found.
pub(crate) fn run(options: &Options) -> Result<bool> {
    ensure_tools()?;
    let targets = chosen(&options.target)?;
    if options.seeds {
        show(&mut cargo(["run", "--quiet", "--package", "sync-testkit", "--bin", "fuzz-seeds"]))?;
    }
    show(&mut cargo_fuzz("build")?)?;
    let mut sound = true;
    for target in &targets {
        sound &= run_one(target, options.seconds)?;
    }
    if options.keep {
        targets.iter().try_for_each(|target| keep(target))?;
    }
    Ok(sound)
}

fn ensure_tools() -> Result<()> {
    output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).map_err(|_| {
        anyhow::anyhow!(
            "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile minimal"
        )
    })?;
    output(Command::new("rustup").args(["run", "nightly", "cargo", "fuzz", "--version"]))
        .map_err(|_| anyhow::anyhow!("fuzzing needs cargo-fuzz: cargo install --locked cargo-fuzz"))?;
    Ok(())
}

/// A cargo-fuzz command of the nightly compiler's. The workspace has no unsafe code, so an address
/// sanitizer would only watch other people's crates, and cost time.
fn cargo_fuzz(subcommand: &str) -> Result<Command> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz", subcommand, "--sanitizer", "none"]).current_dir(root());
    command.arg("--target-dir").arg(target_dir()?.join("fuzz"));
    Ok(command)
}

/// The targets that were named; all, if none was.
fn chosen(named: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        all.extend(path.file_stem().and_then(|stem| Some(stem.to_str()?.to_owned())));
    }
    all.sort();
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if named.is_empty() { all } else { named.to_vec() })
}

/// Where the inputs of this machine's runs are.
fn found(target: &str) -> Result<PathBuf> {
    let dir = target_dir()?.join("fuzz/found").join(target);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn committed(target: &str, what: &str) -> PathBuf {
    root().join("fuzz").join(what).join(target)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn run_one(target: &str, seconds: u64) -> Result<bool> {
    let artifacts = committed(target, "artifacts");
    let before = files(&artifacts);
    let mut command = cargo_fuzz("run")?;
    command.arg(target).arg(found(target)?);
    let committed = ["corpus", "regressions"].map(|what| committed(target, what));
    command.args(committed.iter().filter(|dir| dir.is_dir()));
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={MAX_LEN}"));
    command.arg(format!("-timeout={MAX_TIME}")).arg(format!("-rss_limit_mb={MAX_MEMORY}"));
    command.arg("-print_final_stats=1");

    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("rustup")?;
    let mut said = Vec::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        said.push(String::from_utf8_lossy(&line?).into_owned());
    }
    let success = child.wait()?.success();
    let executions = stat(&said, "number_of_executed_units").unwrap_or(0);
    let inputs = files(&found(target)?).len() + committed.iter().map(|dir| files(dir).len()).sum::<usize>();
    println!(
        "{target:16} {executions:>10} runs, {inputs:>5} inputs{}",
        if success { "" } else { ", FAILED" }
    );
    if !success {
        explain(target, &said, &before);
    }
    Ok(success)
}

/// A number of libFuzzer's final statistics: `stat::name: 17`.
fn stat(said: &[String], name: &str) -> Option<u64> {
    let number = |line: &String| {
        line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok()
    };
    said.iter().find_map(number)
}

/// Says what was found, and what to do with it.
fn explain(target: &str, said: &[String], before: &[PathBuf]) {
    let artifacts = files(&committed(target, "artifacts"));
    let new: Vec<_> = artifacts.iter().filter(|path| !before.contains(path)).collect();
    let what = said.iter().position(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer"));
    said[what.unwrap_or(said.len().saturating_sub(3))..]
        .iter()
        .take(3)
        .for_each(|line| println!("    {line}"));
    let root = root();
    for path in new {
        let path = path.strip_prefix(&root).unwrap_or(path).display();
        println!(
            "    the input is {path}; after the fix, keep it for the tests under a name that says what it is:"
        );
        println!("    mkdir -p fuzz/regressions/{target} && mv {path} fuzz/regressions/{target}/WHAT-IT-WAS");
    }
}

/// Takes over what was found, and leaves out what reaches nothing that others do not.
fn keep(target: &str) -> Result<()> {
    let corpus = committed(target, "corpus");
    fs::create_dir_all(&corpus)?;
    for path in files(&found(target)?) {
        let name = path.file_name().context("a file")?;
        fs::copy(&path, corpus.join(name))?;
    }
    let mut command = cargo_fuzz("cmin")?;
    command.arg(target).arg(&corpus);
    // How often something is reached does not count, and few inputs that reach much are better than many.
    command.args(["--", "-use_counters=0", "-set_cover_merge=1"]).arg(format!("-max_len={MAX_LEN}"));
    output(&mut command)?;
    let mut kept = files(&corpus);
    kept.sort_by_cached_key(|path| Reverse(path.metadata().map_or(0, |metadata| metadata.len())));
    // The shortest reach least.
    for path in kept.drain(kept.len().min(MAX_KEPT)..) {
        fs::remove_file(path)?;
    }
    let bytes: u64 = kept.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    ensure!(!kept.is_empty(), "nothing is left of fuzz/corpus/{target}");
    println!("{target:16} {:>10} inputs kept, {bytes} bytes", kept.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_runs_is_read_from_what_the_fuzzer_says() {
        let said = ["Done 17 runs", "stat::number_of_executed_units: 4711", "stat::peak_rss_mb: 40"];
        let said = said.map(str::to_owned);
        assert_eq!(stat(&said, "number_of_executed_units"), Some(4711));
        assert_eq!(stat(&said, "number_of"), None);
    }
}
