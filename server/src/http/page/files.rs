//! What the page is made of, found by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use data_encoding::HEXLOWER;
use rust_embed::Embed;

/// How the name of a file ends that is another one compressed with brotli.
const BROTLI: &str = ".br";

/// What `cargo xtask page` puts together. Empty when that has not been run.
#[derive(Embed)]
#[folder = "../web-demo/dist"]
#[allow_missing = true]
struct Dist;

/// The files of the page, or none.
#[derive(Debug, Clone)]
pub(in crate::http) struct Page {
    /// A name that is not in here leads nowhere: no path ever reaches a file system.
    files: Arc<BTreeMap<String, File>>,
}

#[derive(Debug)]
struct File {
    content_type: &'static str,
    plain: Body,
    brotli: Option<Body>,
}

#[derive(Debug)]
struct Body {
    bytes: Bytes,
    tag: HeaderValue,
}

/// One form of a file, as it goes out.
pub(super) struct Variant<'a> {
    pub(super) bytes: &'a Bytes,
    pub(super) tag: &'a HeaderValue,
    pub(super) content_type: &'static str,
    pub(super) encoding: Option<&'static str>,
}

impl Page {
    /// What this binary was built with.
    pub(in crate::http) fn embedded() -> Self {
        Self::of(Dist::iter().filter_map(|name| {
            let file = Dist::get(&name)?;
            Some((name.into_owned(), file.data, file.metadata.sha256_hash()))
        }))
    }

    /// Names, contents and their hashes.
    pub(super) fn of(all: impl IntoIterator<Item = (String, Cow<'static, [u8]>, [u8; 32])>) -> Self {
        let mut files = BTreeMap::new();
        let mut compressed = Vec::new();
        for (name, data, hash) in all {
            let body = Body::new(data, &hash);
            match name.strip_suffix(BROTLI) {
                Some(of) => compressed.push((of.to_owned(), body)),
                None => {
                    let file = File { content_type: content_type(&name), plain: body, brotli: None };
                    files.insert(name, file);
                }
            }
        }
        for (of, body) in compressed {
            if let Some(file) = files.get_mut(&of) {
                file.brotli = Some(body);
            }
        }
        Self { files: Arc::new(files) }
    }

    /// A file, in the form that the caller can read.
    pub(super) fn find(&self, name: &str, headers: &HeaderMap) -> Option<Variant<'_>> {
        let file = self.files.get(name)?;
        let brotli = file.brotli.as_ref().filter(|_| reads_brotli(headers));
        let body = brotli.unwrap_or(&file.plain);
        Some(Variant {
            bytes: &body.bytes,
            tag: &body.tag,
            content_type: file.content_type,
            encoding: brotli.map(|_| "br"),
        })
    }
}

impl Body {
    fn new(data: Cow<'static, [u8]>, hash: &[u8; 32]) -> Self {
        let bytes = match data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let tag = format!("\"{}\"", HEXLOWER.encode(&hash[..16]));
        // Hexadecimal digits in quotes are always a header's value.
        let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { bytes, tag }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "md" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the caller takes brotli. A weight of zero says no.
fn reads_brotli(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|list| list.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("br"));
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}
