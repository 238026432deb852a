//! Asking a person before something that cannot be undone.

use std::io::{self, IsTerminal};

use anyhow::Result;

use crate::args::Confirmed;
use crate::failure::Usage;

/// Goes on only if this is meant.
pub(crate) fn confirm(question: &str, confirmed: &Confirmed) -> Result<()> {
    if confirmed.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Usage(format!("{question} Nobody is there to be asked: say --yes")).into());
    }
    let answer = tokio::task::block_in_place(|| {
        anstream::eprint!("{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    })?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Usage("nothing was done".to_owned()).into())
}
