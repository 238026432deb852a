//! Law 3: the pure crates build for wasm32 and import nothing from the host. Law 4: what runs there
//! gives the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{Parser, Payload};

use crate::laws::{PURE, write_probe};
use crate::run::{cargo, installed, output, root, show, target_dir};

const TARGET: &str = "wasm32-unknown-unknown";
/// Where test programs find a command line and an output, and nothing else.
const TEST_TARGET: &str = "wasm32-wasip1";

/// Makes sure that the compiler can build for wasm32.
pub(crate) fn ensure_target() -> Result<()> {
    ensure(TARGET)
}

fn ensure(target: &str) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]).current_dir(root()))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(target).is_dir() {
        return Ok(());
    }
    ensure!(
        installed("rustup"),
        "the Rust target {target} is missing, and so is rustup, which would add it: install either"
    );
    println!("adding the Rust target {target}");
    show(Command::new("rustup").args(["target", "add", target]).current_dir(root()))
}

/// Builds every pure crate for wasm32, whole, and looks at what it asks of its host.
pub(crate) fn pure_crates_import_nothing() -> Result<()> {
    ensure_target()?;
    ensure!(
        !imports(&build_probe()?)?.is_empty(),
        "a module that calls its host is found to import nothing: this check cannot see imports"
    );
    for package in PURE {
        let found = imports(&build_whole(package)?)?;
        ensure!(
            found.is_empty(),
            "{package} imports {} things from its host, among them {}",
            found.len(),
            found.into_iter().take(3).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

/// Checks the test vectors inside a wasm module, with the functions that check them natively.
pub(crate) fn vectors_agree() -> Result<()> {
    ensure_target()?;
    ensure!(installed("node"), "Node.js is missing: it runs the test vectors in WebAssembly");
    let mut build = cargo(["build", "--quiet", "--package", "sync-vectors", "--bin", "check-vectors"]);
    show(build.args(["--target", TARGET]))?;
    let module = target_dir()?.join(TARGET).join("debug/check-vectors.wasm");
    ensure!(imports(&module)?.is_empty(), "the vectors' module imports from its host");
    let script = "
        const bytes = require('node:fs').readFileSync(process.argv[1]);
        const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {});
        process.exit(exports.main(0, 0));";
    let status = Command::new("node").args(["--eval", script, "--"]).arg(&module).status()?;
    match status.code() {
        Some(0) => Ok(()),
        Some(file) => bail!(
            "in WebAssembly, file {file} of sync_vectors::FILES fails; if it passes natively, the platforms differ"
        ),
        None => bail!("Node.js was stopped ({status})"),
    }
}

/// What cargo needs to be told to run the pure crates' tests in WebAssembly, with the same functions as
/// natively.
pub(crate) fn pure_tests() -> Result<Vec<String>> {
    ensure(TEST_TARGET)?;
    let run = root().join("xtask/wasi-run.mjs");
    let runner = format!("target.{TEST_TARGET}.runner=['node', '--no-warnings', '{}']", run.display());
    let mut args =
        vec!["test".to_owned(), "--no-fail-fast".to_owned(), "--lib".to_owned(), "--tests".to_owned()];
    args.extend(["--target".to_owned(), TEST_TARGET.to_owned(), "--config".to_owned(), runner]);
    // The vectors have a check of their own, without even WASI.
    let tested = PURE.iter().filter(|package| **package != "sync-vectors");
    args.extend(tested.flat_map(|package| ["--package".to_owned(), (*package).to_owned()]));
    Ok(args)
}

/// The host functions, memories and so on that a module wants, as `module.name`.
fn imports(module: &Path) -> Result<BTreeSet<String>> {
    let bytes = fs::read(module).with_context(|| format!("{} was not built", module.display()))?;
    imports_of(&bytes)
}

fn imports_of(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                found.insert(format!("{}.{}", import.module, import.name));
            }
        }
    }
    Ok(found)
}

/// Builds a crate as a module that keeps every function of it, called or not.
fn build_whole(package: &str) -> Result<PathBuf> {
    show(keep_everything(&mut cargo(["rustc", "--quiet", "--package", package])))?;
    let name = package.replace('-', "_");
    Ok(target_dir()?.join(TARGET).join(format!("debug/{name}.wasm")))
}

/// Builds a crate that does call its host.
fn build_probe() -> Result<PathBuf> {
    let probe = target_dir()?.join("xtask/import-probe");
    let source = "\
//! Asks its host for the time, in a function that nobody calls.
#[link(wasm_import_module = \"env\")]
unsafe extern \"C\" {
    safe fn host_clock() -> u64;
}
/// Never called.
pub fn never_called() -> u64 {
    host_clock()
}
";
    write_probe(&probe, "", source)?;
    let target = target_dir()?.join("xtask/probes");
    let mut build = cargo(["rustc", "--quiet", "--manifest-path"]);
    build.arg(probe.join("Cargo.toml")).arg("--target-dir").arg(&target);
    show(keep_everything(&mut build))?;
    Ok(target.join(TARGET).join("debug/probe.wasm"))
}

fn keep_everything(rustc: &mut Command) -> &mut Command {
    rustc.args(["--lib", "--crate-type", "cdylib", "--target", TARGET]).args([
        "--",
        "-C",
        "link-dead-code",
        "-C",
        "link-arg=--no-gc-sections",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_named() {
        // (module (type (func)) (import "env" "now" (func (type 0))))
        let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";
        let found = imports_of(module).unwrap_or_default();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["env.now"]);
        assert!(imports_of(b"\0asm\x01\0\0\0").is_ok_and(|found| found.is_empty()));
    }
}
