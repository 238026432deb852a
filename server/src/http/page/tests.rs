use std::borrow::Cow;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::{Page, routes};

const PAGE: &[u8] = b"<!doctype html><title>page</title>";
const SCRIPT: &[u8] = b"export const answer = 42;";

fn page() -> Router {
    let files: [(&str, &'static [u8]); 7] = [
        ("index.html", PAGE),
        ("sw.js", b"self"),
        ("manifest.webmanifest", b"{}"),
        ("icons/icon.svg", b"<svg/>"),
        ("assets/abc/main.js", SCRIPT),
        ("assets/abc/main.js.br", b"compressed"),
        ("assets/abc/sync/client.wasm", b"\0asm"),
    ];
    let files = files.map(|(name, data)| (name.to_owned(), Cow::Borrowed(data), Sha256::digest(data).into()));
    routes(Page::of(files))
}

async fn ask(
    router: Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, head.headers, to_bytes(body, 1 << 20).await.unwrap())
}

async fn get(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Bytes) {
    ask(page(), Method::GET, path, headers).await
}

#[tokio::test]
async fn the_page_is_the_same_at_both_places_and_asked_for_each_time() {
    for path in ["/", "/join", "/join?from=mail"] {
        let (status, headers, body) = get(path, &[]).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, PAGE), "{path}");
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
        assert!(headers["permissions-policy"].to_str().unwrap().contains("camera=(self), microphone=()"));
    }
}

#[tokio::test]
async fn no_foreign_or_written_in_script_runs() {
    for path in ["/join", "/sw.js", "/assets/abc/main.js"] {
        let (_, headers, _) = get(path, &[]).await;
        let policy = headers["content-security-policy"].to_str().unwrap().to_owned();
        let directive = |name: &str| {
            let found = policy.split("; ").find_map(|part| part.strip_prefix(&format!("{name} ")));
            found.unwrap_or_else(|| panic!("{path} has no {name}")).to_owned()
        };
        assert_eq!(directive("default-src"), "'none'");
        assert_eq!(directive("script-src"), "'self' 'wasm-unsafe-eval'");
        assert_eq!(directive("style-src"), "'self'");
        assert_eq!(directive("worker-src"), "'self'");
        for nothing in ["base-uri", "form-action", "frame-ancestors"] {
            assert_eq!(directive(nothing), "'none'");
        }
        assert_eq!(directive("require-trusted-types-for"), "'script'");
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        assert!(
            directive("connect-src")
                .split(' ')
                .all(|source| source != "*" && source != "http:" && source != "ws:")
        );
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_have_their_types() {
    for (path, content_type) in [
        ("/assets/abc/main.js", "text/javascript; charset=utf-8"),
        ("/assets/abc/sync/client.wasm", "application/wasm"),
    ] {
        let (status, headers, _) = get(path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(headers["content-type"], content_type);
    }
    for path in ["/sw.js", "/manifest.webmanifest", "/icons/icon.svg"] {
        let (status, headers, _) = get(path, &[]).await;
        assert_eq!(
            (status, &headers["cache-control"]),
            (StatusCode::OK, &"no-cache".parse().unwrap()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn who_has_it_is_not_sent_it_again() {
    let (_, headers, _) = get("/join", &[]).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
    for held in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
        let (status, headers, body) = get("/join", &[("if-none-match", &held)]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{held}");
        assert_eq!(headers["etag"], tag);
        assert_eq!(headers["cache-control"], "no-cache");
        assert!(headers.contains_key("content-security-policy"));
    }
    let (status, _, body) = get("/join", &[("if-none-match", "\"other\"")]).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, PAGE));
}

#[tokio::test]
async fn who_reads_brotli_gets_brotli() {
    let path = "/assets/abc/main.js";
    let (_, plain, body) = get(path, &[("accept-encoding", "gzip, br;q=0")]).await;
    assert_eq!(&body[..], SCRIPT);
    assert!(!plain.contains_key("content-encoding"));
    assert_eq!(plain["vary"], "accept-encoding");
    let (_, small, body) = get(path, &[("accept-encoding", "gzip, deflate, br, zstd")]).await;
    assert_eq!(&body[..], b"compressed");
    assert_eq!(small["content-encoding"], "br");
    assert_eq!(small["content-type"], "text/javascript; charset=utf-8");
    assert_ne!(plain["etag"], small["etag"], "the tag is of the bytes that are sent");
    let (status, _, _) = get("/assets/abc/main.js.br", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "a form of a file is no file");
}

#[tokio::test]
async fn head_gives_the_head() {
    let (status, headers, body) = ask(page(), Method::HEAD, "/join", &[]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(headers["content-length"], PAGE.len().to_string());
    assert!(headers.contains_key("etag"));
}

#[tokio::test]
async fn nothing_is_found_outside() {
    for path in [
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/assets/..%2findex.html",
        "/assets/abc/../../sw.js",
        "/assets//etc/passwd",
        "/assets/abc/nothing.js",
        "/icons/..%2findex.html",
        "/icons/%2e%2e%2fsw.js",
        "/index.html",
    ] {
        let (status, headers, body) = get(path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path} gave {body:?}");
        assert!(!headers.contains_key("cache-control"), "what is not there is not kept");
    }
}

#[tokio::test]
async fn a_relay_without_its_page_says_so() {
    for path in ["/", "/join"] {
        let (status, headers, body) = ask(routes(Page::of([])), Method::GET, path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("built without its page") && text.contains("cargo xtask page"), "{text}");
    }
    let (status, _, _) = ask(routes(Page::of([])), Method::GET, "/sw.js", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
