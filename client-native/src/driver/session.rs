//! One turn's engine with everything it needs.

use std::collections::BTreeMap;

use sync_e2ee::at_rest::StoreKey;
use sync_engine::{Engine, Input, NewDevice, Output};
use zeroize::Zeroizing;

use crate::Error;
use crate::clock::{Clock, random_seed};
use crate::home::{Home, Turn};
use crate::socket::Socket;
use crate::store::{self, Loaded, Store};

/// Rows of this crate's own in the store, by key.
pub(crate) type OwnRows = BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>;

/// What it takes to open the state once more.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) home: Home,
    pub(crate) key: StoreKey,
    /// Bytes of acknowledged pushes to keep.
    pub(crate) keep_sent: usize,
}

/// The state in use.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) own_rows: OwnRows,
    pub(crate) socket: Option<Socket>,
    pub(crate) store: Store,
    /// Last: it is given back after everything else.
    pub(crate) turn: Turn,
}

impl Opening {
    /// Waits for a turn, and opens the device that must be there.
    pub(super) async fn next(self) -> Result<Session, Error> {
        let turn = self.home.wait().await?;
        if !store::path(self.home.folder()).exists() {
            // Another process has wiped it.
            return Err(Error::NoDevice(self.home.folder().to_owned()));
        }
        let (store, loaded) = Store::open(self.home.folder(), self.key.clone()).await?;
        self.session(turn, store, loaded)
    }

    /// Opens a stored device.
    pub(crate) fn session(&self, turn: Turn, store: Store, loaded: Loaded) -> Result<Session, Error> {
        let mut engine = Engine::open(*random_seed()?, loaded.engine)
            .map_err(|error| Error::State(self.home.folder().to_owned(), error))?;
        engine.keep_sent(self.keep_sent);
        Ok(Session { engine, own_rows: loaded.own, socket: None, store, turn })
    }

    /// Makes a device, and stores it.
    pub(crate) async fn create(
        &self,
        clock: &Clock,
        turn: Turn,
        mut store: Store,
        device: NewDevice,
    ) -> Result<Session, Error> {
        let mut engine = Engine::create(*random_seed()?, device);
        engine.keep_sent(self.keep_sent);
        while let Some(output) = engine.poll_output() {
            if let Output::Store(batch, changes) = output {
                store.apply(changes).await?;
                engine.handle(clock.now(), Input::Stored(batch));
            }
        }
        Ok(Session { engine, own_rows: OwnRows::new(), socket: None, store, turn })
    }
}

impl Session {
    /// Says good-bye to the relay, closes the store, and gives the turn back.
    pub(crate) async fn end(self) {
        let Self { engine, own_rows: _, socket, store, turn } = self;
        if let Some(socket) = socket {
            socket.close().await;
        }
        drop(engine);
        store.close().await;
        drop(turn);
    }
}
