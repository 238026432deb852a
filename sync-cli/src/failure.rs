//! What went wrong, as a line on stderr and an exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use sync_client::{Error, Fault};

/// Says what went wrong; gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let is_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_pipe) {
        // Whoever read the output has enough.
        return ExitCode::SUCCESS;
    }
    anstream::eprintln!("\x1b[1;31merror:\x1b[0m {error:#}");
    ExitCode::from(code(error))
}

/// The command line was used in a way that cannot be.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        return 2;
    }
    match error.downcast_ref::<Error>().map(Error::fault) {
        Some(Fault::Usage) => 2,
        Some(Fault::Unreachable) => 3,
        Some(Fault::Refused) => 4,
        Some(Fault::InviteNotFound) => 5,
        Some(Fault::NotAMember) => 6,
        Some(Fault::Storage) | None => 1,
    }
}
