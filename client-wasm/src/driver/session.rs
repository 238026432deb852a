//! An engine with everything it needs.

use futures_channel::mpsc::UnboundedSender;
use sync_engine::{Engine, Input, NewDevice, Output, StateError};

use crate::Error;
use crate::clock::{now, random};
use crate::request::Message;
use crate::socket::Socket;
use crate::store::{Rows, Store};

/// The state in use.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) own_rows: Rows,
    pub(crate) socket: Option<Socket>,
    pub(crate) store: Store,
}

impl Session {
    /// Opens the device that must be there.
    pub(super) async fn open(name: &str, events: &UnboundedSender<Message>) -> Result<Self, Error> {
        Self::open_or(name, events, || Err(StateError::Incomplete.into())).await
    }

    /// Opens the stored device, or makes and stores the one that is given.
    pub(crate) async fn open_or(
        name: &str,
        events: &UnboundedSender<Message>,
        new: impl FnOnce() -> Result<NewDevice, Error>,
    ) -> Result<Self, Error> {
        let (store, loaded) = Store::open(name, events).await?;
        let seed = *random()?;
        let engine = if loaded.engine.is_empty() {
            let mut engine = Engine::create(seed, new()?);
            while let Some(output) = engine.poll_output() {
                if let Output::Store(batch, changes) = output {
                    store.apply(changes).await?;
                    engine.handle(now(), Input::Stored(batch));
                }
            }
            engine
        } else {
            Engine::open(seed, loaded.engine)?
        };
        Ok(Self { engine, own_rows: loaded.own, socket: None, store })
    }
}
