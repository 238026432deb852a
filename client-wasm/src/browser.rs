//! What a page and a worker both find around them, and small things that JavaScript makes long.

use futures_channel::oneshot;
use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, Performance};

/// A property of the global object, as the type that it is meant to be.
pub(crate) fn global<T: JsCast>(name: &str) -> Option<T> {
    get(&js_sys::global(), name).dyn_into().ok()
}

/// A property; `undefined` where there is none.
pub(crate) fn get(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// An object of these properties.
pub(crate) fn object<const N: usize>(properties: [(&str, JsValue); N]) -> JsValue {
    let object = js_sys::Object::new();
    for (name, value) in properties {
        // A fresh object takes every property.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

/// Milliseconds on a clock that never goes back.
pub(crate) fn performance_now() -> f64 {
    global::<Performance>("performance").map_or_else(js_sys::Date::now, |performance| performance.now())
}

/// Lets the page do everything else that waits: draw, answer clicks, take messages. Unlike a timer this
/// is not slowed down in a tab that is hidden.
pub(crate) async fn breathe() {
    let Ok(channel) = MessageChannel::new() else { return };
    let (done, over) = oneshot::channel::<()>();
    let on_message = Closure::once(move || {
        let _ = done.send(());
    });
    let port = channel.port1();
    port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    if channel.port2().post_message(&JsValue::NULL).is_ok() {
        let _ = over.await;
    }
    port.set_onmessage(None);
    port.close();
}
