//! What people type, paste, press and scan.

use sync_types::{InviteCode, InviteTarget, JoinLink, RelayUrl};
use sync_vectors::hostile::accept;

/// Codes and keys. Phrases are left to `sync-e2ee`: each word is looked for in a long list, slowly.
pub fn invite_text(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    accept::invite_code(&text);
    accept::lookup_key(&text);
    accept::device_id(&text);
    if let Ok(code) = text.parse::<InviteCode>() {
        // Read aloud, it has no case.
        for variant in [text.to_ascii_lowercase(), text.to_ascii_uppercase()] {
            assert_eq!(variant.parse().as_ref(), Ok(&code), "{variant:?}");
        }
        assert_eq!(code.expose_text().len(), "XXXX-XXXX-XXXX-XXXX".len());
    }
}

/// Links, addresses, and what a QR holds.
pub fn join_link(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    accept::join_link(&text);
    accept::app_url(&text);
    accept::relay_url(&text);
    accept::relay_address(&text);
    if let Ok(link) = text.parse::<JoinLink>() {
        is_an_address(&link.page);
        is_an_address(&link.relay);
        let shown = link.expose_text();
        let (before, fragment) = shown.split_once('#').expect("a link with a fragment");
        assert!(before.starts_with(link.page.as_str()));
        assert!(!fragment.contains('#') && shown.is_ascii(), "{shown:?}");
    }
    if let Ok(target) = InviteTarget::from_app_url(&text) {
        is_an_address(&target.relay);
    }
    if let Ok(url) = text.parse::<RelayUrl>() {
        is_an_address(&url);
    }
}

/// What a driver is given to connect to is nothing but a host and perhaps a path: no user, no query, no
/// fragment, nothing that would start another line of a request.
fn is_an_address(url: &RelayUrl) {
    let text = url.as_str();
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://")).expect("a scheme");
    let odd = |c: char| !c.is_ascii_graphic() || c == '?' || c == '#';
    assert!(!rest.contains(odd) && !text.ends_with('/'), "{text:?}");
    let host = rest.split('/').next().unwrap_or_default();
    assert!(!host.is_empty() && !host.contains('@'), "{text:?}");
    assert_eq!(RelayUrl::from_canonical(text).as_ref(), Some(url));
    let socket = url.websocket();
    assert!(socket.starts_with("ws") && socket.ends_with("/sync"), "{socket:?}");
}
