//! What Sync Relay's own tests are made with. Not for use in programs.
//!
//! - [`MemoryStore`]: a store without a disk, the reference that real stores are measured by.
//! - [`store_contract`]: what every store must do, as one function.
//! - [`sim`]: engines, a relay and the network between them on a virtual clock.
//! - [`liar`]: engines opposite a relay that lies.
//! - [`fuzz`]: what holds of any bytes whatsoever.

pub mod fuzz;
pub mod liar;
mod memory_store;
pub mod sim;
pub mod store_contract;

pub use memory_store::{Faults, MemoryStore};
