//! The WebSocket to a relay: frames in, frames out.

use std::cell::Cell;
use std::rc::Rc;

use futures_channel::mpsc::UnboundedSender;
use js_sys::{ArrayBuffer, Uint8Array};
use sync_types::RelayUrl;
use sync_types::limits::{MAX_NOISE_MESSAGE, SUBPROTOCOL};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use crate::request::Message;

/// Bytes of frames that may wait for this tab: the largest page, and some more. What a relay sends beyond that is the end.
const MAX_WAITING: usize = 80 * 1024 * 1024;
/// What a frame takes beside its bytes.
const FRAME: usize = 128;
/// What a browser reports when there was no close code.
const NO_CODE: [u16; 2] = [1005, 1006];

/// Tells one WebSocket from those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketId(pub(crate) u64);

/// What comes from a socket. After `Closed` nothing more comes.
#[derive(Debug)]
pub(crate) enum Incoming {
    Opened,
    Frame(Vec<u8>),
    Closed(Option<u16>),
}

impl Incoming {
    /// What it takes while it waits.
    fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len() + FRAME,
            Self::Opened | Self::Closed(_) => 0,
        }
    }
}

/// A WebSocket that is being opened, or is open. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: SocketId,
    /// None: the browser would not even try.
    inner: Option<WebSocket>,
    /// Bytes of frames that came and were not [taken](Self::taken).
    waiting: Rc<Cell<usize>>,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    pub(crate) fn open(relay: &RelayUrl, id: SocketId, events: &UnboundedSender<Message>) -> Self {
        let tell = {
            let events = events.clone();
            move |incoming| {
                let _ = events.unbounded_send(Message::Socket(id, incoming));
            }
        };
        let on_open = Closure::<dyn FnMut()>::new({
            let tell = tell.clone();
            move || tell(Incoming::Opened)
        });
        let waiting = Rc::new(Cell::new(0));
        let on_message = Closure::<dyn FnMut(_)>::new({
            let (tell, waiting) = (tell.clone(), Rc::clone(&waiting));
            move |event: MessageEvent| {
                if waiting.get() > MAX_WAITING {
                    return;
                }
                let incoming = frame(&event);
                waiting.set(waiting.get() + incoming.bytes());
                if waiting.get() <= MAX_WAITING {
                    return tell(incoming);
                }
                // For good: nothing of it is taken any more.
                waiting.set(usize::MAX);
                tell(Incoming::Closed(None));
                if let Some(socket) = event.target().and_then(|target| target.dyn_into::<WebSocket>().ok()) {
                    let _ = socket.close();
                }
            }
        });
        let on_close = Closure::<dyn FnMut(_)>::new({
            let tell = tell.clone();
            move |event: CloseEvent| {
                tell(Incoming::Closed(Some(event.code()).filter(|code| !NO_CODE.contains(code))));
            }
        });
        // Refused at once where the page's policy does not allow the address.
        let inner = WebSocket::new_with_str(&relay.websocket(), SUBPROTOCOL).ok();
        match &inner {
            Some(socket) => {
                socket.set_binary_type(BinaryType::Arraybuffer);
                socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
                socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
                socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
            }
            None => tell(Incoming::Closed(None)),
        }
        Self { id, inner, waiting, _on_open: on_open, _on_message: on_message, _on_close: on_close }
    }

    /// Something that came was dealt with.
    pub(crate) fn taken(&self, incoming: &Incoming) {
        if self.waiting.get() <= MAX_WAITING {
            self.waiting.set(self.waiting.get().saturating_sub(incoming.bytes()));
        }
    }

    /// Sends a frame, after those before it. Nothing happens when the socket is closed: `Closed` is
    /// on its way then. How much can pile up is the engine's to bound.
    pub(crate) fn send(&self, frame: &[u8]) {
        if let Some(socket) = &self.inner {
            let _ = socket.send_with_u8_array(frame);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(socket) = &self.inner {
            socket.set_onopen(None);
            socket.set_onmessage(None);
            socket.set_onclose(None);
            let _ = socket.close();
        }
    }
}

/// The protocol is binary, in messages of bounded size; anything else is the end.
fn frame(event: &MessageEvent) -> Incoming {
    match event.data().dyn_into::<ArrayBuffer>() {
        Ok(buffer) if buffer.byte_length() as usize <= MAX_NOISE_MESSAGE => {
            Incoming::Frame(Uint8Array::new(&buffer).to_vec())
        }
        _ => Incoming::Closed(None),
    }
}
