//! Errors as RFC 9457 wants them.

use std::time::Duration;

use axum::Json;
use axum::http::header::Entry;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sync_relay_core::Refusal;
use sync_types::ErrorCode;
use utoipa::ToSchema;

use crate::writer::Unavailable;

/// The type of its body.
pub(super) const PROBLEM: &str = "application/problem+json";
/// When to come back after a failure of storage, in seconds.
const RETRY_SECONDS: u64 = 2;

/// A refusal over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Option<String>,
    /// In seconds.
    retry_after: Option<u64>,
}

/// An error, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body {
    /// Always `about:blank`: the status says what it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// What is wrong this time, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode) -> Self {
        let unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
        Self { status, detail: None, retry_after: unavailable.then_some(RETRY_SECONDS) }
    }

    pub(crate) fn because(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(status) }
    }

    /// Too often, from this address.
    pub(crate) fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000);
        let detail = format!("too many requests from this address; try again in {seconds} s");
        let retry_after = Some(u64::try_from(seconds).unwrap_or(u64::MAX));
        Self { retry_after, ..Self::because(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::because(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND)
    }
}

impl From<Unavailable> for Problem {
    fn from(_: Unavailable) -> Self {
        Self::because(StatusCode::SERVICE_UNAVAILABLE, "the relay's storage does not answer")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code() {
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::StorageFull | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::BadRequest
            | ErrorCode::UnsupportedVersion
            | ErrorCode::Unauthenticated
            | ErrorCode::DeviceRevoked
            | ErrorCode::BlobTooLarge
            | ErrorCode::GroupStorageFull
            | ErrorCode::GroupLimit
            | ErrorCode::EpochStale
            | ErrorCode::GroupCreationDenied
            | ErrorCode::Replaced
            | ErrorCode::GroupDeleted
            | ErrorCode::DeviceExpired
            | ErrorCode::EpochUnknown
            | ErrorCode::Behind => StatusCode::BAD_REQUEST,
        };
        Self::because(status, refusal.to_string())
    }
}

/// Puts errors that something else has answered into the one form. What a browser shows stays as it is.
pub(super) async fn of_every_error(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_told = kind.is_some_and(|kind| kind.starts_with(PROBLEM) || kind.starts_with("text/html"));
    if !(status.is_client_error() || status.is_server_error()) || is_told {
        return response;
    }
    let mut problem = Problem::new(status).into_response();
    for (name, value) in response.headers() {
        if let Entry::Vacant(entry) = problem.headers_mut().entry(name)
            && name != header::CONTENT_LENGTH
        {
            entry.insert(value.clone());
        }
    }
    problem
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
