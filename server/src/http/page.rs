//! The page behind a join link: the files of `web-demo`, carried in the binary.
//!
//! Asking for the page does nothing but hand it out. What follows the `#` of a link never comes here, and
//! an invite is claimed only when a person says so in the page.

mod files;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
pub(super) use files::Page;
use files::Variant;

/// What the page may do. Scripts and styles come from here alone, and none is written into the page.
///
/// `connect-src` is wide because a link may name another relay than the one that serves the page; what the
/// page may load stays narrow. `http` and `ws` are allowed to this machine only, where browsers count them as
/// secure. The name of the one policy for trusted types is in `web-demo/src/fragment.js`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self'; \
    img-src 'self' data: blob:; \
    media-src 'self' blob:; \
    worker-src 'self'; \
    manifest-src 'self'; \
    connect-src 'self' https: wss: http://localhost:* http://127.0.0.1:* ws://localhost:* ws://127.0.0.1:*; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types default";

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The camera reads QR codes. Nothing else is asked of the machine.
const PERMISSIONS: &str = "camera=(self), microphone=(), geolocation=(), display-capture=(), usb=(), serial=(), \
    midi=(), payment=()";

/// May change with every release: asked for again each time.
const CHANGES: HeaderValue = HeaderValue::from_static("no-cache");
/// Has its version in its path.
const NEVER_CHANGES: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// What `/` and `/join` say when the relay was built without the page.
const MISSING: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Sync Relay</title>\
    <h1>This relay has no page</h1>\
    <p>This relay was built without its page: run <code>cargo xtask page</code> before building it, or open \
    the link with an installed app.</p>\
    <p>In a terminal: <code>sync-cli pair --join 'LINK'</code>, with the whole link, including everything \
    after the <code>#</code>.</p></html>";

/// Every path of the page.
pub(super) fn routes(page: Page) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/join", get(index))
        .route("/sw.js", get(async |page: _, headers: _| at_root("sw.js", &page, &headers)))
        .route(
            "/manifest.webmanifest",
            get(async |page: _, headers: _| at_root("manifest.webmanifest", &page, &headers)),
        )
        .route("/icons/{name}", get(icon))
        .route("/assets/{*path}", get(asset))
        .with_state(page)
}

async fn index(State(page): State<Page>, headers: HeaderMap) -> Response {
    match page.find("index.html", &headers) {
        Some(found) => answer(found, &headers, CHANGES),
        None => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, html)], MISSING).into_response()
        }
    }
}

async fn icon(State(page): State<Page>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    at_root(&format!("icons/{name}"), &State(page), &headers)
}

async fn asset(State(page): State<Page>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    match page.find(&format!("assets/{path}"), &headers) {
        Some(found) => answer(found, &headers, NEVER_CHANGES),
        None => Problem::not_found().into_response(),
    }
}

fn at_root(name: &str, State(page): &State<Page>, headers: &HeaderMap) -> Response {
    match page.find(name, headers) {
        Some(found) => answer(found, headers, CHANGES),
        None => Problem::not_found().into_response(),
    }
}

/// A file, or the word that the caller has it already.
fn answer(found: Variant<'_>, headers: &HeaderMap, cache: HeaderValue) -> Response {
    let mut response = if has_it(headers, found.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = found.bytes.clone().into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(found.content_type));
        if let Some(encoding) = found.encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let fixed = HeaderValue::from_static;
    response.headers_mut().extend([
        (header::ETAG, found.tag.clone()),
        (header::CACHE_CONTROL, cache),
        (header::VARY, fixed("accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, fixed(CONTENT_SECURITY_POLICY)),
        (PERMISSIONS_POLICY, fixed(PERMISSIONS)),
        (OPENER_POLICY, fixed("same-origin")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
    ]);
    response
}

/// Whether the caller named this tag as one that it holds.
fn has_it(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut named = named.flat_map(|list| list.split(',')).map(str::trim);
    named.any(|one| one == "*" || tag == one.trim_start_matches("W/"))
}
