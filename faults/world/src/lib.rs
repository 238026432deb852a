//! Kills, cuts, wrong clocks and old backups, and whether the relay and its clients keep their promises through
//! them. Tests only.
//!
//! A [`World`](world::World) is a relay and devices in processes of their own, with real sockets and files. Apps
//! write down what they were promised and what they were given ([`journal`]); [`check`] holds that against each
//! other and against the relay's database: no acknowledged push is lost, no cursor is left out or used twice, each
//! item comes once and in its writer's order, and nothing can be read at the relay. Each module of [`suite`] brings
//! one kind of fault; `suite::plants` breaks the promises on purpose, and the check must find it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
pub mod child;
pub mod item;
pub mod journal;
pub mod programs;
pub mod proxy;
pub mod relay_log;
pub mod suite;
pub mod wall;
pub mod world;
