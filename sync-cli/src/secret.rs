//! What nobody should see, read from a person or from stdin.

use std::io::{self, BufRead, IsTerminal, Read};

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::failure::Usage;

/// Longest secret, in bytes.
const MAX: usize = 1024;

/// Asks for a secret without showing it; where there is no terminal, it is the first line of stdin.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        return Ok(Zeroizing::new(rpassword::prompt_password(prompt).context("the terminal")?));
    }
    // Large enough from the start, so that no half of it stays behind in memory.
    let mut line = Zeroizing::new(String::with_capacity(MAX));
    io::stdin().lock().take(MAX as u64).read_line(&mut line).context("stdin")?;
    Ok(line)
}

/// As [`ask`]; a person has to say it twice, since a slip would not be noticed.
pub(crate) fn ask_twice(prompt: &str) -> Result<Zeroizing<String>> {
    let first = ask(prompt)?;
    if io::stdin().is_terminal() && ask("The same again: ")? != first {
        return Err(Usage("these two are not the same".to_owned()).into());
    }
    Ok(first)
}
