//! One request by `fetch`: bounded in time and size, and with nothing that the page did not ask for.

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Promise, Uint8Array};
use sync_types::RelayUrl;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, ReferrerPolicy, Request, RequestCache,
    RequestCredentials, RequestInit, RequestRedirect, Response,
};

use crate::Error;
use crate::browser::{get, global};

const REQUEST_TIMEOUT_MS: u32 = 20_000;
/// Bytes of an answer that are read: what a relay can make a client hold.
const MAX_ANSWER: usize = 64 * 1024;

/// What to ask.
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) header: Option<(&'static str, String)>,
    /// JSON.
    pub(super) body: Option<JsValue>,
}

impl Ask {
    pub(super) fn new(method: &'static str) -> Self {
        Self { method, header: None, body: None }
    }
}

/// What came back, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    /// In seconds.
    pub(super) retry_after: Option<u32>,
    body: Vec<u8>,
}

impl Answer {
    /// The body's JSON.
    pub(super) fn json(&self) -> Result<JsValue, Error> {
        let text = str::from_utf8(&self.body).map_err(|_| Error::Malformed)?;
        js_sys::JSON::parse(text).map_err(|_| Error::Malformed)
    }
}

/// Asks a relay.
///
/// # Errors
/// [`Error::Unreachable`] when there is no answer, or it is lost on the way; [`Error::Malformed`] when
/// it is too long.
pub(super) async fn fetch(relay: &RelayUrl, path: &str, ask: Ask) -> Result<Answer, Error> {
    let unreachable = || Error::Unreachable(Some(relay.clone()));
    let abort = AbortController::new().map_err(|_| unreachable())?;
    let request = request(&relay.join(path), ask, &abort).map_err(|_| unreachable())?;
    let exchange = std::pin::pin!(exchange(&request));
    let result = match select(exchange, TimeoutFuture::new(REQUEST_TIMEOUT_MS)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Failed::Lost),
    };
    if result.is_err() {
        abort.abort();
    }
    result.map_err(|failed| match failed {
        Failed::Lost => unreachable(),
        Failed::TooLong => Error::Malformed,
    })
}

enum Failed {
    Lost,
    TooLong,
}

impl From<JsValue> for Failed {
    fn from(_: JsValue) -> Self {
        Self::Lost
    }
}

fn request(url: &str, ask: Ask, abort: &AbortController) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    if let Some((name, value)) = ask.header {
        headers.set(name, &value)?;
    }
    let init = RequestInit::new();
    if let Some(body) = ask.body {
        headers.set("content-type", "application/json")?;
        init.set_body(&body);
    }
    init.set_method(ask.method);
    init.set_headers(&headers);
    init.set_signal(Some(&abort.signal()));
    // Whoever redirects could send us anywhere; the WebSocket follows nobody either.
    init.set_redirect(RequestRedirect::Error);
    init.set_credentials(RequestCredentials::Omit);
    init.set_cache(RequestCache::NoStore);
    init.set_referrer_policy(ReferrerPolicy::NoReferrer);
    Request::new_with_str_and_init(url, &init)
}

async fn exchange(request: &Request) -> Result<Answer, Failed> {
    let fetch: Function = global("fetch").ok_or(Failed::Lost)?;
    let promise: Promise = fetch.call1(&JsValue::UNDEFINED, request)?.unchecked_into();
    let response: Response = JsFuture::from(promise).await?.unchecked_into();
    let retry_after = response.headers().get("retry-after")?.and_then(|text| text.parse().ok());
    let mut body = Vec::new();
    if let Some(stream) = response.body() {
        let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
        loop {
            let chunk = JsFuture::from(reader.read()).await?;
            if get(&chunk, "done").is_truthy() {
                break;
            }
            let bytes = Uint8Array::new(&get(&chunk, "value"));
            if body.len() + bytes.length() as usize > MAX_ANSWER {
                return Err(Failed::TooLong);
            }
            body.extend(bytes.to_vec());
        }
    }
    Ok(Answer { status: response.status(), retry_after, body })
}
