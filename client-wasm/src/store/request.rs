//! IndexedDB's events, as futures.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::prelude::*;
use web_sys::{DomException, IdbRequest, IdbTransaction};

use super::StoreError;

/// The result of a request. Its handlers are set when this is called, not when it is awaited.
pub(super) fn answered(request: &IdbRequest) -> impl Future<Output = Result<JsValue, StoreError>> + use<> {
    let request = request.clone();
    let (done, end) = oneshot::channel();
    let done = Rc::new(RefCell::new(Some(done)));
    let on_success = once(&done, true);
    let on_error = once(&done, false);
    request.set_onsuccess(Some(on_success.as_ref().unchecked_ref()));
    request.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    async move {
        let _handlers = (on_success, on_error);
        let succeeded = end.await.unwrap_or(false);
        request.set_onsuccess(None);
        request.set_onerror(None);
        if succeeded {
            request.result().map_err(|error| failure(&error))
        } else {
            Err(of(request.error().ok().flatten()))
        }
    }
}

/// The end of a transaction: durable, or undone.
pub(super) fn complete(transaction: &IdbTransaction) -> impl Future<Output = Result<(), StoreError>> + use<> {
    let transaction = transaction.clone();
    let (done, end) = oneshot::channel();
    let done = Rc::new(RefCell::new(Some(done)));
    let on_complete = once(&done, true);
    let on_abort = once(&done, false);
    transaction.set_oncomplete(Some(on_complete.as_ref().unchecked_ref()));
    transaction.set_onabort(Some(on_abort.as_ref().unchecked_ref()));
    async move {
        let _handlers = (on_complete, on_abort);
        let completed = end.await.unwrap_or(false);
        transaction.set_oncomplete(None);
        transaction.set_onabort(None);
        if completed { Ok(()) } else { Err(of(transaction.error())) }
    }
}

type Done = Rc<RefCell<Option<oneshot::Sender<bool>>>>;

fn once(done: &Done, result: bool) -> Closure<dyn FnMut()> {
    let done = Rc::clone(done);
    Closure::new(move || {
        if let Some(done) = done.borrow_mut().take() {
            let _ = done.send(result);
        }
    })
}

/// What IndexedDB threw.
pub(super) fn failure(thrown: &JsValue) -> StoreError {
    of(thrown.dyn_ref::<DomException>().cloned())
}

fn of(error: Option<DomException>) -> StoreError {
    let Some(error) = error else { return StoreError::Failed("it was interrupted".to_owned()) };
    match error.name().as_str() {
        "QuotaExceededError" => StoreError::Full,
        "VersionError" => StoreError::Newer,
        name => StoreError::Failed(format!("{name}: {}", error.message())),
    }
}
