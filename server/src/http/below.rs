//! A relay below a path, as in `https://example.org/relay`. Some proxies take that path away before they ask
//! the relay, others pass it on as it came: either way the relay is found.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::response::{IntoResponse, Redirect, Response};
use tower::ServiceExt;

/// The path of an address, without a slash at its end; none where it ends with the host.
pub(super) fn path_of(address: &str) -> Option<String> {
    let uri = address.parse::<Uri>().ok()?;
    let path = uri.path().trim_end_matches('/');
    (!path.is_empty()).then(|| path.to_owned())
}

/// Answers everything below a path (`/relay`) as well as at the root.
pub(super) fn also_below(path: String, router: Router) -> Router {
    Router::new().fallback(async move |mut request: Request| -> Response {
        let asked = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        match asked.strip_prefix(&path).map(str::to_owned) {
            // The page's parts are where its address ends with a slash.
            Some(rest) if rest.is_empty() || rest.starts_with('?') => {
                return Redirect::permanent(&format!("{path}/{rest}")).into_response();
            }
            Some(rest) if rest.starts_with('/') => {
                if let Ok(uri) = rest.parse::<Uri>() {
                    *request.uri_mut() = uri;
                }
            }
            Some(_) | None => {}
        }
        router.oneshot(request).await.into_response()
    })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    async fn ask(path: &str) -> (StatusCode, String) {
        let echo = async |uri: Uri| uri.to_string();
        let router =
            Router::new().route("/", get(echo)).route("/join", get(echo)).route("/a/{*b}", get(echo));
        let router = also_below("/my/relay".to_owned(), router);
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let place = head.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
        let body = to_bytes(body, 1 << 10).await.unwrap();
        (head.status, place.unwrap_or_else(|| String::from_utf8(body.to_vec()).unwrap()))
    }

    #[test]
    fn an_address_has_a_path_or_none() {
        assert_eq!(path_of("https://a.example/my/relay/"), Some("/my/relay".to_owned()));
        for none in ["https://a.example", "https://a.example/", "https://a.example:8443//"] {
            assert_eq!(path_of(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn the_path_may_be_there_or_taken_away() {
        for (path, seen) in [
            ("/", "/"),
            ("/join", "/join"),
            ("/my/relay/", "/"),
            ("/my/relay/join?a=b", "/join?a=b"),
            ("/my/relay/a/b/c", "/a/b/c"),
        ] {
            assert_eq!(ask(path).await, (StatusCode::OK, seen.to_owned()), "{path}");
        }
        for path in ["/my/relay2/join", "/my/join", "/my/relay/nothing", "/x/my/relay/join"] {
            assert_eq!(ask(path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn without_its_slash_the_path_leads_to_the_page() {
        for (path, place) in [("/my/relay", "/my/relay/"), ("/my/relay?a=b", "/my/relay/?a=b")] {
            assert_eq!(ask(path).await, (StatusCode::PERMANENT_REDIRECT, place.to_owned()), "{path}");
        }
    }
}
