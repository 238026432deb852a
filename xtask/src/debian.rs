//! Installing what is missing, on machines where that is one command.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::run::{installed, output};

const NO_CLANG: &str =
    "libclang is missing (Debian: apt-get install libclang-dev): faults/disk is built with it";

/// Whether packages can be installed here.
pub(crate) fn may_install() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0") && installed("apt-get")
}

/// Installs packages of Debian.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    println!("installing {}", packages.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    output(apt().args(["update", "--quiet"]))?;
    output(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    Ok(())
}

/// libclang reads SQLite's header for the disk that the fault suite puts under it.
pub(crate) fn ensure_libclang() -> Result<()> {
    if !cfg!(target_os = "linux") || std::env::var_os("LIBCLANG_PATH").is_some() || has_libclang() {
        return Ok(());
    }
    ensure!(may_install(), NO_CLANG);
    install(&["libclang-dev"])
}

/// Where distributions put it: with the rest of LLVM, or with all libraries.
fn has_libclang() -> bool {
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = versions.flat_map(|folder| [folder.join("lib"), folder]);
    folders
        .chain(["/usr/lib64".into()])
        .any(|folder| folder.join("libclang.so").is_file() || versioned(&folder))
}

fn versioned(folder: &Path) -> bool {
    let named = |name: &str| name.starts_with("libclang-") && !name.contains("cpp") && name.ends_with(".so");
    let mut files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.any(|file| file.file_name().to_str().is_some_and(named))
}
