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
use utoipa::ToSchema;

use super::problem::{Body, PROBLEM, Problem};
use crate::relay::Relay;
use crate::writer::Unavailable;

/// How long storage has to answer before the relay calls itself ill.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the relay is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`; what is not well is answered with 503.
    status: &'static str,
    /// Of the program.
    version: &'static str,
    /// Members' connections to `/sync`.
    connections: usize,
    groups: u64,
    blobs_stored: u64,
    uptime_seconds: u64,
}

/// How is it?
///
/// Asks storage, and does not only say that the process runs. After something could not be stored, tries whether it
/// can be now, once a second at most.
#[utoipa::path(get, path = "/health", responses(
    (status = OK, body = Health, description = "It is well."),
    (status = SERVICE_UNAVAILABLE, body = Body, content_type = PROBLEM, description = "Storage does not work."),
))]
pub(super) async fn health(State(relay): State<Arc<Relay>>) -> Result<Json<Health>, Problem> {
    let asking = async {
        let read = relay.store.read(&ReadOp::Stats).await;
        read.ok().zip(relay.can_store().await.then_some(()))
    };
    let Ok(Some((ReadResult::Stats(stats), ()))) = timeout(PATIENCE, asking).await else {
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

/// Who the relay is and what it takes.
#[derive(Serialize, ToSchema)]
pub(super) struct WellKnown {
    /// A name for people.
    relay_id: String,
    /// By which clients know it: 32 bytes in base64url. The one in an invite is better.
    public_key: String,
    protocol_versions: Vec<u16>,
    /// How clients reach it, when that is not how it was reached now.
    public_url: Option<String>,
    /// `open` or `access_token`.
    group_creation: &'static str,
    limits: Limits,
}

/// Bytes and seconds.
#[derive(Serialize, ToSchema)]
struct Limits {
    /// Of one sealed blob.
    max_blob_size: u32,
    max_group_storage: u64,
    /// 0: no end.
    default_ttl: u32,
    /// Of one group.
    max_devices: u64,
    /// Of one device.
    messages_per_minute: u32,
    max_invite_size: usize,
    invite_lifetime: u64,
}

/// Who is it?
#[utoipa::path(get, path = "/.well-known/sync-relay", responses(
    (status = OK, body = WellKnown, description = "Its key, and its limits."),
))]
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
