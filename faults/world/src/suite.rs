//! The faults, one kind a module.

pub mod asleep;
pub mod backup;
pub mod clocks;
pub mod kills;
pub mod network;
pub mod plants;
