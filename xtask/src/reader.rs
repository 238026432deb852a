//! The test vectors once more, read by a third implementation: in Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{each_line, installed, output, root, show, target_dir};
use crate::tally::Counts;

/// What to say when it is not there.
const NO_PYTHON: &str = "Python 3.10 or newer is missing (Debian: apt-get install python3 python3-venv): \
                         vectors/verify.py reads the vectors a third time; PYTHON may name it";
/// What to say when it cannot make an environment of its own.
const NO_VENV: &str = "Python cannot make a virtual environment (Debian: apt-get install python3-venv)";

/// Checks every case, and that a changed one would be noticed.
pub(crate) fn vectors_verified() -> Result<Counts> {
    let python = environment()?;
    let mut counts = Counts::default();
    let success = each_line(&mut verify(&python), |line| counts.add_sum_line(line))?;
    ensure!(
        success == (counts.failed == 0) && counts.passed > 0,
        "vectors/verify.py did not say how it ended"
    );
    show(verify(&python).arg("--self-test")).context("vectors/verify.py would not notice a change")?;
    Ok(counts)
}

fn verify(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(root().join("vectors/verify.py"));
    command
}

/// A Python that has what the reader needs, below the target folder.
fn environment() -> Result<PathBuf> {
    let requirements = root().join("vectors/requirements.txt");
    let home = target_dir()?.join("xtask/vectors-venv");
    let python = if cfg!(windows) { home.join("Scripts/python.exe") } else { home.join("bin/python3") };
    let stamp = home.join("requirements.txt");
    let wanted = fs::read(&requirements)?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) && python.exists() {
        return Ok(python);
    }
    let system = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    ensure!(installed(&system.to_string_lossy()), NO_PYTHON);
    let new_enough = "import sys; sys.exit(sys.version_info < (3, 10))";
    output(Command::new(&system).args(["-c", new_enough])).context(NO_PYTHON)?;
    output(Command::new(&system).args(["-m", "venv", "--clear"]).arg(&home)).context(NO_VENV)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    output(Command::new(&python).args(pip).args(["--require-hashes", "--requirement"]).arg(&requirements))
        .context("pip cannot install what vectors/verify.py needs")?;
    fs::write(stamp, wanted)?;
    Ok(python)
}
