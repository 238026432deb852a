//! Keys of invite codes, which take long and much memory: in a worker, seen from both of its ends.

use js_sys::{Function, Promise, Uint8Array};
use sync_e2ee::derive_code;
use sync_types::{InviteCode, InviteKey, LookupKey};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use zeroize::Zeroizing;

use crate::Error;

const NO_MEMORY: Error = Error::Browser("the code's keys cannot be derived: 64 MiB of memory are needed");

/// Derives the two keys of an invite code: 10 bytes in, 48 out. Takes about half a second and 64 MiB,
/// so it belongs into a worker.
///
/// # Errors
/// When the memory cannot be had.
#[wasm_bindgen(js_name = deriveCodeKeys)]
pub fn derive_code_keys(code: &[u8]) -> Result<Vec<u8>, Error> {
    let bytes = code.try_into().map_err(|_| NO_MEMORY)?;
    let (lookup, key) = derive_code(&InviteCode::from_bytes(bytes)).map_err(|_| NO_MEMORY)?;
    Ok([&lookup.0[..], key.expose_bytes()].concat())
}

/// Has them derived by a function of the page's, which asks a worker.
pub(crate) async fn in_worker(derive: &Function, code: &InviteCode) -> Result<(LookupKey, InviteKey), Error> {
    let code = Uint8Array::from(&code.expose_bytes()[..]);
    let promise = derive.call1(&JsValue::NULL, &code).map_err(|_| NO_MEMORY)?;
    let keys = JsFuture::from(Promise::resolve(&promise)).await.map_err(|_| NO_MEMORY)?;
    let keys = keys.dyn_into::<Uint8Array>().map_err(|_| NO_MEMORY)?;
    let bytes = Zeroizing::new(keys.to_vec());
    let (lookup, key) = bytes.split_first_chunk::<16>().ok_or(NO_MEMORY)?;
    let key = key.try_into().map_err(|_| NO_MEMORY)?;
    Ok((LookupKey(*lookup), InviteKey::from_bytes(key)))
}
