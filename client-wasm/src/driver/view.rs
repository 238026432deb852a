//! What the page sees of a device: its status, and what happens.

use std::cell::RefCell;

use js_sys::Function;
use sync_engine::{Event, Status};
use wasm_bindgen::JsValue;

use crate::{Error, values};

/// What was published last, and who is told of changes: a function of a name and a detail.
#[derive(Debug)]
pub(crate) struct View {
    shown: RefCell<Shown>,
    listener: Function,
}

#[derive(Debug, Clone, PartialEq)]
struct Shown {
    status: Status,
    wanted: bool,
    full: bool,
}

impl View {
    pub(crate) fn new(status: Status, listener: Function) -> Self {
        Self { shown: RefCell::new(Shown { status, wanted: false, full: false }), listener }
    }

    pub(crate) fn status(&self) -> Status {
        self.shown.borrow().status.clone()
    }

    /// The status as the page gets it.
    pub(crate) fn to_js(&self) -> JsValue {
        let Shown { status, wanted, full } = &*self.shown.borrow();
        values::status(status, *wanted, *full)
    }

    pub(super) fn publish(&self, status: Status, wanted: bool, full: bool) {
        let shown = Shown { status, wanted, full };
        if self.shown.replace(shown.clone()) != shown {
            self.tell("statusChanged", &self.to_js());
        }
    }

    /// The connection is gone with the engine that had it.
    pub(super) fn disconnected(&self, wanted: bool, full: bool) {
        self.publish(Status { connected: false, ..self.status() }, wanted, full);
    }

    pub(super) fn event(&self, event: &Event) {
        let (name, detail) = values::event(event);
        self.tell(name, &detail);
    }

    /// Something that no call can report.
    pub(super) fn error(&self, error: &Error) {
        self.tell("error", &error.to_js());
    }

    /// The device cannot be used from here any more.
    pub(super) fn lost(&self, error: &Error) {
        self.tell("lost", &error.to_js());
    }

    /// The error with the relay's address in it.
    pub(super) fn named(&self, error: Error) -> Error {
        if let Error::Unreachable(None) = error {
            return Error::Unreachable(self.status().relay);
        }
        error
    }

    fn tell(&self, name: &str, detail: &JsValue) {
        // What a listener throws is the page's.
        let _ = self.listener.call2(&JsValue::NULL, &name.into(), detail);
    }
}
