//! The laws of the workspace that the compiler alone does not hold.
//!
//! A check that cannot fail proves nothing. So each one here first looks at something that *breaks*
//! its law, and fails when it does not notice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, output, root, target_dir};

/// The crates that run everywhere: no input or output, no clock, no randomness but what they are given.
pub(crate) const PURE: [&str; 5] =
    ["sync-types", "sync-e2ee", "sync-engine", "sync-relay-core", "sync-vectors"];

/// What no pure crate may depend on, at any depth: run times, sockets, clocks, randomness, the browser.
const HOST_CRATES: [&str; 17] = [
    "async-std",
    "axum",
    "getrandom",
    "hyper",
    "instant",
    "js-sys",
    "mio",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
    "wasm-bindgen",
    "web-sys",
    "web-time",
    "windows-sys",
];

/// Law 1: what the relay is built from cannot decrypt.
pub(crate) fn relay_cannot_decrypt() -> Result<()> {
    let secret = |package| -> Result<bool> { Ok(dependencies(package)?.contains("sync-e2ee")) };
    ensure!(
        dependencies("sync-relay")?.contains("sync-relay-core"),
        "sync-relay does not depend on sync-relay-core: this check looks at the wrong package"
    );
    ensure!(secret("sync-client")?, "sync-client does not depend on sync-e2ee: this check cannot see it");
    for package in ["sync-relay", "sync-relay-core", "sync-types"] {
        ensure!(
            !secret(package)?,
            "{package} depends on sync-e2ee, so the relay could hold a group's secret"
        );
    }
    Ok(())
}

/// Law 2, first half: no pure crate depends on a crate that reaches the host.
pub(crate) fn pure_crates_have_pure_dependencies() -> Result<()> {
    ensure!(
        !host_crates(&dependencies("sync-client")?).is_empty(),
        "sync-client is found to depend on no host crate: this check cannot see them"
    );
    for package in PURE {
        let found = host_crates(&dependencies(package)?);
        ensure!(found.is_empty(), "{package} depends on {}", found.join(", "));
    }
    Ok(())
}

/// Law 2, second half: clippy refuses clocks, sleep, environment and files in `crates/`.
///
/// That the crates themselves are clean is found by the clippy step; here clippy is shown a crate that
/// uses everything `crates/clippy.toml` names from the standard library, and must refuse all of it.
pub(crate) fn clippy_refuses_the_host() -> Result<()> {
    let own: Vec<_> = fs::read_dir(root().join("crates"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("clippy.toml").exists() || path.join(".clippy.toml").exists())
        .collect();
    ensure!(own.is_empty(), "{own:?} would hide crates/clippy.toml from clippy");

    let probe = target_dir()?.join("xtask/clock-probe");
    write_probe(&probe, "", CLOCK_PROBE)?;
    // Below the law's own folder, as the crates are: clippy must find the file by itself.
    fs::copy(root().join("crates/clippy.toml"), target_dir()?.join("xtask/clippy.toml"))?;
    let result = cargo(["clippy", "--quiet", "--manifest-path"])
        .arg(probe.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir()?.join("xtask/probes"))
        .args(["--", "-D", "warnings"])
        .output()?;
    let messages = String::from_utf8_lossy(&result.stderr);
    ensure!(!result.status.success(), "clippy takes a crate that asks for the time");
    let expected = CLOCK_PROBE.lines().filter(|line| line.contains("// refused")).count();
    let found = messages.matches("use of a disallowed").count();
    ensure!(found >= expected, "clippy refuses {found} of {expected} uses of the host:\n{messages}");
    Ok(())
}

const CLOCK_PROBE: &str = "\
//! Breaks the law in every way that the standard library has.
#![allow(dead_code, unused_must_use)]
fn probe() {
    std::time::Instant::now(); // refused
    std::time::SystemTime::now(); // refused
    std::thread::sleep(core::time::Duration::ZERO); // refused
    std::thread::spawn(|| ()); // refused
    std::env::var(\"X\"); // refused
    std::env::var_os(\"X\"); // refused
    std::env::args(); // refused
    std::fs::read(\"x\"); // refused
    std::fs::write(\"x\", \"\"); // refused
    std::fs::File::open(\"x\"); // refused
    std::net::TcpStream::connect(\"localhost:1\"); // refused
    std::process::Command::new(\"x\"); // refused
}
";

/// Writes a crate of its own, outside the workspace.
pub(crate) fn write_probe(dir: &Path, manifest: &str, source: &str) -> Result<()> {
    fs::create_dir_all(dir.join("src")).with_context(|| format!("cannot write to {}", dir.display()))?;
    let head = "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(dir.join("Cargo.toml"), format!("{head}{manifest}"))?;
    fs::write(dir.join("src/lib.rs"), source)?;
    Ok(())
}

/// The names of everything that a package links, at any depth, on any platform, with any feature.
fn dependencies(package: &str) -> Result<BTreeSet<String>> {
    let tree = output(&mut cargo([
        "tree",
        "--package",
        package,
        "--edges",
        "normal,no-proc-macro",
        "--all-features",
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let names = names(&tree);
    if !names.contains(package) {
        bail!("cargo tree does not know {package}");
    }
    Ok(names)
}

/// The packages of a tree without prefixes: the first word of each line.
fn names(tree: &str) -> BTreeSet<String> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn host_crates(names: &BTreeSet<String>) -> Vec<&'static str> {
    HOST_CRATES.into_iter().filter(|name| names.contains(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_crate_is_found_at_any_depth_and_only_by_its_whole_name() {
        let tree = names("sync-engine v0.1.0 (/x)\nsha2 v0.10.9\ngetrandom v0.3.4\ntokio-util v0.7.1\n\n");
        assert_eq!(host_crates(&tree), ["getrandom"]);
        assert!(tree.contains("sync-engine"));
    }
}
