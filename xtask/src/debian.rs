//! Installing what is missing, on machines where that is one command.

use std::process::Command;

use anyhow::Result;

use crate::run::{installed, output};

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
