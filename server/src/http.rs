//! Every route of the relay.

mod below;
mod info;
mod invite;
mod metrics;
mod openapi;
mod page;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, head};
use axum::{Extension, Json, Router};
use tower_http::cors::{Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accept::Arrived;
use crate::relay::Relay;
use crate::socket;
pub(crate) use metrics::router as metrics_router;
use page::Page;
pub(crate) use problem::Problem;

/// Largest body of a request, in bytes: a sealed invite in base64 and what stands around it.
const MAX_BODY: usize = 24 * 1024;
/// How long a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// By which a claimer may repeat its call.
const CLAIM_ID: HeaderName = HeaderName::from_static("claim-id");

pub(crate) fn router(relay: Arc<Relay>) -> Router {
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let below = relay.public_url.as_deref().and_then(below::path_of);
    let (described, mut description) = OpenApiRouter::with_openapi(openapi::about())
        .routes(routes!(invite::create))
        .routes(routes!(invite::claim, invite::revoke))
        .routes(routes!(invite::status))
        .routes(routes!(info::health))
        .routes(routes!(info::well_known))
        .split_for_parts();
    let (private, of_private) = OpenApiRouter::new().routes(routes!(metrics::guarded)).split_for_parts();
    description.merge(of_private);
    let open = described
        .route("/sync", get(socket::upgrade))
        // HEAD would otherwise be a GET whose answer is thrown away, and the invite with it.
        .route("/invite/{lookup_key}", head(method_not_allowed))
        .route("/openapi.json", get(async || Json(description)))
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(&relay))
        .merge(page::routes(Page::embedded()));
    // Without CORS: no page of another origin may read it in the owner's browser.
    let private = private.method_not_allowed_fallback(method_not_allowed).with_state(Arc::clone(&relay));
    let router = bounded(open, &relay)
        .layer(cors())
        .merge(bounded(private, &relay))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(header(header::CACHE_CONTROL, "no-store"))
        .layer(header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(from_fn_with_state(relay, count));
    match below {
        Some(path) => below::also_below(path, router),
        None => router,
    }
}

/// What holds for every request.
fn bounded(router: Router, relay: &Arc<Relay>) -> Router {
    router
        .layer(from_fn_with_state(Arc::clone(relay), identify))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIME))
        .layer(map_response(problem::of_every_error))
}

/// Counts what is refused.
async fn count(State(relay): State<Arc<Relay>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    relay.metrics.answered(response.status());
    response
}

/// Notes whose request it is.
async fn identify(
    State(relay): State<Arc<Relay>>,
    Extension(arrived): Extension<Arrived>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = relay.proxies.caller(arrived.peer, request.headers());
    arrived.guest.is_of(caller.counted);
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
}

/// Open to pages of every origin, without credentials: apps bring their own origins, and there is no
/// cookie to protect.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, CLAIM_ID])
        .max_age(Duration::from_secs(3600))
}
