//! What a browser loads: the client as WebAssembly with its JavaScript, in one folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::run::{cargo, root, show, target_dir};
use crate::wasm::ensure_target;

/// What a browser may have to load before it works, wasm and JavaScript together, compressed: of the client
/// alone, and of the page with it.
const BUDGET: usize = 250_000;
/// The name of what is built.
const MODULE: &str = "sync_client_wasm";

/// Builds the browser's client; gives the folder that holds it, `client-wasm/pkg`.
pub(crate) fn build_wasm() -> Result<PathBuf> {
    ensure_target()?;
    let mut build = cargo(["build", "--quiet", "--package", "sync-client-wasm", "--lib"]);
    show(build.args(["--profile", "wasm", "--target", "wasm32-unknown-unknown"]))?;
    let module = target_dir()?.join("wasm32-unknown-unknown/wasm").join(format!("{MODULE}.wasm"));

    let package = root().join("client-wasm/pkg");
    if package.exists() {
        fs::remove_dir_all(&package).with_context(|| format!("{} cannot be emptied", package.display()))?;
    }
    Bindgen::new()
        .input_path(&module)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(false)
        .generate(&package)
        .with_context(|| format!("no JavaScript can be made for {}", module.display()))?;
    for file in files(&root().join("client-wasm/js"))? {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, package.join(name))?;
    }
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(root().join(licence), package.join(licence))?;
    }
    weigh(&package)?;
    Ok(package)
}

/// Prints what the package weighs, and fails when that is too much.
fn weigh(package: &Path) -> Result<()> {
    let (mut raw, mut compressed) = (0, 0);
    for file in files(package)? {
        if !file.extension().is_some_and(|end| end == "wasm" || end == "js") {
            continue;
        }
        let bytes = fs::read(&file)?;
        let small = brotli_len(&bytes)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<32} {:>9} bytes {small:>9} with brotli", bytes.len());
        raw += bytes.len();
        compressed += small;
    }
    println!("{:<32} {raw:>9} bytes {compressed:>9} with brotli, of at most {BUDGET}", "together");
    ensure!(compressed <= BUDGET, "the browser's client is {} bytes too large", compressed - BUDGET);
    Ok(())
}

fn brotli_len(bytes: &[u8]) -> Result<usize> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &params)?;
    Ok(out.len())
}

/// The files of a folder, by name.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
