//! The description of the REST part, against the routes.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Relay, http};
use tempfile::TempDir;

/// Address, headers, body, and the status of the answer.
type Call = (&'static str, &'static [&'static str], &'static str, u16);

/// Every operation of the description, and what is asked for to get an answer of each kind.
const OPERATIONS: [(&str, &str, &[Call]); 7] = [
    (
        "POST",
        "/invite",
        &[
            ("/invite", &[JSON], INVITE, 201),
            ("/invite", &[JSON], INVITE, 409),
            ("/invite", &[JSON], "{", 400),
            ("/invite", &[JSON], "{}", 422),
            ("/invite", &[], INVITE, 415),
        ],
    ),
    (
        "GET",
        "/invite/{lookup_key}/status",
        &[
            ("/invite/0123456789/status", &["authorization: Bearer x"], "", 200),
            ("/invite/0123456789/status", &[], "", 401),
            ("/invite/x/status", &["authorization: Bearer x"], "", 400),
        ],
    ),
    (
        "DELETE",
        "/invite/{lookup_key}",
        &[
            ("/invite/0123456789", &["authorization: Bearer x"], "", 404),
            ("/invite/0123456789", &[], "", 401),
            ("/invite/x", &["authorization: Bearer x"], "", 400),
        ],
    ),
    (
        "GET",
        "/invite/{lookup_key}",
        &[
            ("/invite/0123456789", &["claim-id:"], "", 400),
            ("/invite/0123456789", &[], "", 200),
            ("/invite/0123456789", &[], "", 404),
        ],
    ),
    ("GET", "/health", &[("/health", &[], "", 200)]),
    ("GET", "/.well-known/sync-relay", &[("/.well-known/sync-relay", &[], "", 200)]),
    (
        "GET",
        "/metrics",
        &[("/metrics", &[], "", 200), ("/metrics", &["x-forwarded-for: 203.0.113.1"], "", 403)],
    ),
];
const JSON: &str = "content-type: application/json";
const INVITE: &str = r#"{"lookup_key":"0123456789","encrypted_payload":"c2VhbGVk","expires":4000000000}"#;

#[tokio::test]
async fn what_is_described_is_served_and_what_is_served_is_described() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let answer = http(relay.addr, "GET", "/openapi.json", &[], "").await;
    assert!(answer.head.contains("content-type: application/json"));
    let description = answer.json();
    let mut described: Vec<_> = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
        let methods = methods.iter().filter(|method| item.get(**method).is_some());
        described.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
        // What is not described is not served.
        let sample = path.replace("{lookup_key}", "0123456789");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            if item.get(method.to_lowercase()).is_none() {
                let refused = http(relay.addr, method, &sample, &[], "").await;
                assert_eq!(refused.status, 405, "{method} {path}");
            }
        }
    }
    described.sort();
    let mut expected: Vec<_> =
        OPERATIONS.iter().map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned())).collect();
    expected.sort();
    assert_eq!(described, expected);

    for (method, path, calls) in OPERATIONS {
        let operation = &description["paths"][path][method.to_lowercase()];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["schema"]["type"].is_string() || parameter["schema"]["type"].is_array());
        }
        let responses = &operation["responses"];
        for (status, response) in responses.as_object().unwrap() {
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{method} {path} says nothing of {status}");
        }
        for (url, headers, body, status) in calls {
            let answer = http(relay.addr, method, url, headers, body).await;
            assert_eq!(answer.status, *status, "{method} {url}: {answer:?}");
            let response = &responses[status.to_string()];
            assert!(response.is_object(), "{method} {path} does not describe {status}");
            let Some((kind, content)) = response["content"].as_object().and_then(|all| all.iter().next())
            else {
                assert_eq!(answer.body, "", "{method} {path} {status}");
                continue;
            };
            assert!(answer.head.contains(&format!("content-type: {kind}")), "{method} {path} {status}");
            if let Some(name) = content["schema"]["$ref"].as_str() {
                let name = name.strip_prefix("#/components/schemas/").unwrap();
                let schema = &description["components"]["schemas"][name];
                let properties = schema["properties"].as_object().unwrap();
                let answer = answer.json();
                let answer = answer.as_object().unwrap();
                for field in answer.keys() {
                    assert!(properties.contains_key(field), "{name} does not describe {field}");
                }
                for field in schema["required"].as_array().unwrap() {
                    assert!(answer.contains_key(field.as_str().unwrap()), "{name} is promised {field}");
                }
            }
        }
    }
    relay.stop().await;
}
