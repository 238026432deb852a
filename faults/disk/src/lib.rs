//! Power cuts and sick disks under the relay's and the client's databases, with the real SQLite.
//!
//! [`Disk`] is a disk in memory that remembers everything that SQLite asks of it. A workload runs on it once, and
//! says what was promised and when. [`power_cut`] then makes what a real disk could hold after any of those moments:
//! all that was made durable, and an arbitrary part of the rest. The database must open from it, hold everything
//! that was promised, and go on.
//!
//! What it is *not*: a model of SQLite. The library is the one that programs are shipped with, with the settings that
//! they use; only its layer for the operating system is another.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
mod cut;
mod disk;
mod locks;
mod look;
mod moments;
pub mod relay;
mod rng;
mod vfs;
mod violation;

pub use cut::power_cut;
pub use disk::{Disk, FileNo, Illness, Image, Journal, Step};
pub use rng::Rng;
pub use vfs::{Mounted, mount, on_disk};
pub use violation::Violation;
