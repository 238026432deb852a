//! What Sync Relay's own tests are made with. Not for use in programs.
//!
//! - [`MemoryStore`]: a store without a disk, the reference that real stores are measured by.
//! - [`store_contract`]: what every store must do, as one function.

mod memory_store;
pub mod store_contract;

pub use memory_store::{Faults, MemoryStore};
