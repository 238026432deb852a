//! What the relay says of itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sync_relay_core::GroupCreation;
use sync_relay_core::store::{ReadOp, ReadResult, Store};
use sync_types::limits::{INVITE_LIFETIME, MAX_SEALED_INVITE, PROTOCOL_VERSION};
use tokio::time::timeout;

use super::problem::Problem;
use crate::relay::Relay;
use crate::writer::Unavailable;

/// How long storage has to answer before the relay calls itself ill.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
    connections: usize,
    groups: u64,
    blobs_stored: u64,
    uptime_seconds: u64,
}

/// `GET /health`: asks storage, and does not only say that the process runs.
pub(super) async fn health(State(relay): State<Arc<Relay>>) -> Result<Json<Health>, Problem> {
    let asked = timeout(PATIENCE, relay.store.read(&ReadOp::Stats)).await;
    let Ok(Ok(ReadResult::Stats(stats))) = asked else {
        return Err(Unavailable.into());
    };
    Ok(Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        connections: relay.connected(),
        groups: stats.groups,
        blobs_stored: stats.blobs,
        uptime_seconds: relay.clock.uptime().as_secs(),
    }))
}

#[derive(Serialize)]
pub(super) struct WellKnown {
    relay_id: String,
    public_key: String,
    protocol_versions: Vec<u16>,
    public_url: Option<String>,
    group_creation: &'static str,
    limits: Limits,
}

#[derive(Serialize)]
struct Limits {
    max_blob_size: u32,
    max_group_storage: u64,
    default_ttl: u32,
    max_devices: u64,
    messages_per_minute: u32,
    max_invite_size: usize,
    invite_lifetime: u64,
}

/// `GET /.well-known/sync-relay`: bytes and seconds.
pub(super) async fn well_known(State(relay): State<Arc<Relay>>) -> Json<WellKnown> {
    let policy = relay.policy();
    Json(WellKnown {
        relay_id: relay.identity.name.clone(),
        public_key: relay.identity.secret.key().to_string(),
        protocol_versions: (1..=PROTOCOL_VERSION).collect(),
        public_url: relay.public_url.clone(),
        group_creation: match policy.group_creation {
            GroupCreation::Open => "open",
            GroupCreation::Token(_) => "access_token",
        },
        limits: Limits {
            max_blob_size: policy.max_blob_size,
            max_group_storage: policy.max_group_storage,
            default_ttl: policy.default_ttl,
            max_devices: policy.max_devices_per_group,
            messages_per_minute: policy.messages_per_minute,
            max_invite_size: MAX_SEALED_INVITE,
            invite_lifetime: INVITE_LIFETIME.as_secs(),
        },
    })
}
