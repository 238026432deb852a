//! `GET /metrics`, and who may read it: somebody on this machine, somebody with the token, or whoever
//! reaches the listener that the owner has given it. Never whoever comes through the tunnel.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::problem::{Body, PROBLEM, Problem};
use crate::caller::Caller;
use crate::metrics::Snapshot;
use crate::relay::Relay;

/// How long storage has to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The listener of its own: nothing but this, for everybody who reaches it.
pub(crate) fn router(relay: Arc<Relay>) -> Router {
    Router::new().route("/metrics", get(open)).fallback(async || Problem::not_found()).with_state(relay)
}

async fn open(State(relay): State<Arc<Relay>>) -> Response {
    answer(&relay).await
}

/// What the relay counts of itself, as Prometheus reads it
#[utoipa::path(get, path = "/metrics", security((), ("metrics_token" = [])), responses(
    (status = OK, body = String, content_type = "text/plain", description = "Prometheus' text format."),
    (status = FORBIDDEN, body = Body, content_type = PROBLEM,
        description = "Only for callers on the relay's own machine, or with metrics.token."),
))]
pub(super) async fn guarded(
    State(relay): State<Arc<Relay>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let knows_token = relay.metrics_token.as_deref().is_some_and(|token| brings(&headers, token));
    if knows_token || (caller.is_local && names_this_machine(&headers)) {
        return Ok(answer(&relay).await);
    }
    let why = "for callers on the relay's own machine, with metrics.token, or at metrics.bind";
    Err(Problem::because(StatusCode::FORBIDDEN, why))
}

async fn answer(relay: &Relay) -> Response {
    let storage = relay.store.inner();
    let totals = timeout(PATIENCE, storage.totals()).await;
    let writes = timeout(PATIENCE, relay.can_store()).await;
    let snapshot = Snapshot {
        connections: relay.connected(),
        strangers: relay.lobby.count(),
        evictions: relay.lobby.evicted(),
        queued_writes: relay.writer.waiting(),
        uptime: relay.clock.uptime(),
        totals: totals.ok().and_then(Result::ok),
        writes: writes.unwrap_or(false),
    };
    ([(header::CONTENT_TYPE, TEXT)], relay.metrics.render(&snapshot)).into_response()
}

/// Whether the token is there. Constant-time.
fn brings(headers: &HeaderMap, token: &str) -> bool {
    let brought =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    brought.is_some_and(|brought| Sha256::digest(brought).ct_eq(&Sha256::digest(token)).into())
}

/// Whether the caller asks for this machine by number or as localhost. A page in a browser on this machine
/// that has made its own name point here does not, and neither does a proxy that passes on the name.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let number = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || number.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn this_machine_has_few_names() {
        let names = |host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            names_this_machine(&headers)
        };
        for ours in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
            assert!(names(ours), "{ours}");
        }
        for other in ["relay.example", "relay.example:8080", "192.0.2.1:8080", "", "localhost.example", "::"]
        {
            assert!(!names(other), "{other}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }
}
