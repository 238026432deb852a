//! The Sync Relay server.

pub mod sqlite;
