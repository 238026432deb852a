//! The local store: one IndexedDB database, one object store of rows, bytes to bytes.
//!
//! A step of the engine is one transaction that the browser has written through to the disk before it
//! reports it as complete. Every transaction looks first whether the store still belongs to whoever
//! opened it: a tab that slept while another took over finds out before it changes anything.

mod request;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::mpsc::UnboundedSender;
use js_sys::{Array, Function, Reflect, Uint8Array};
use sync_engine::Change;
use wasm_bindgen::prelude::*;
use web_sys::{IdbDatabase, IdbFactory, IdbObjectStore, IdbTransaction, IdbTransactionMode};
use zeroize::Zeroizing;

use crate::browser::{global, object};
use crate::request::Message;
use crate::{Error, clock};
use request::{answered, complete, failure};

/// The layout of the database.
const VERSION: u32 = 1;
const ROWS: &str = "rows";
/// Key of the row that names who may write.
const OWNER: &[u8] = &[0x8f];
/// Keys of engines start below this, keys of this crate's own at 0x80.
const ENGINE_KEYS: u8 = 32;

/// Why the store fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The browser has no more room for this site. Nothing was changed.
    #[error("the browser has no more room for this site: free some, on the disk or in its settings")]
    Full,
    /// IndexedDB fails, in its own words; nothing was changed.
    #[error("the browser's storage fails: {0}")]
    Failed(String),
    /// A newer version made it.
    #[error("the local store was made by a newer version: reload this page")]
    Newer,
    /// Another tab has taken over.
    #[error("another tab uses this store now")]
    NotOurs,
}

/// Rows of keys and values.
pub(crate) type Rows = BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>;

/// What a store holds when it is opened.
#[derive(Default)]
pub(crate) struct Loaded {
    /// The engine's rows. None: no device was made here yet.
    pub(crate) engine: Rows,
    /// This crate's own.
    pub(crate) own: Rows,
}

/// The open store. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Store {
    database: IdbDatabase,
    owner: [u8; 16],
    /// Whether the store says that it is ours. Where it is full it could not be told yet.
    claimed: Cell<bool>,
    _on_version_change: Closure<dyn FnMut()>,
    _on_close: Closure<dyn FnMut()>,
}

impl Store {
    /// Opens the store, makes it if it is not there, and takes it over from whoever had it.
    pub(crate) async fn open(name: &str, events: &UnboundedSender<Message>) -> Result<(Self, Loaded), Error> {
        let factory: IdbFactory =
            global("indexedDB").ok_or(Error::Browser("this browser has no IndexedDB"))?;
        let database = open_database(&factory, name).await?;
        let lost = {
            let events = events.clone();
            move || drop(events.unbounded_send(Message::StoreLost))
        };
        // Somebody erases it, or a newer version changes it: that must not wait for us.
        let on_version_change = Closure::<dyn FnMut()>::new({
            let (database, lost) = (database.clone(), lost.clone());
            move || {
                database.close();
                lost();
            }
        });
        let on_close = Closure::<dyn FnMut()>::new(lost);
        database.set_onversionchange(Some(on_version_change.as_ref().unchecked_ref()));
        database.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        let store = Self {
            database,
            owner: *clock::random()?,
            claimed: Cell::new(false),
            _on_version_change: on_version_change,
            _on_close: on_close,
        };
        match store.apply(Vec::new()).await {
            // A full store can still be read.
            Ok(()) | Err(StoreError::Full) => {}
            Err(error) => return Err(error.into()),
        }
        let loaded = store.load().await?;
        Ok((store, loaded))
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        let transaction = self.transaction(IdbTransactionMode::Readonly)?;
        let rows = rows_of(&transaction)?;
        let keys = answered(&rows.get_all_keys().map_err(|error| failure(&error))?);
        let values = answered(&rows.get_all().map_err(|error| failure(&error))?);
        let (keys, values) = (Array::from(&keys.await?), Array::from(&values.await?));
        let mut loaded = Loaded::default();
        for (key, value) in keys.iter().zip(values.iter()) {
            let (key, value) = (bytes(&key), Zeroizing::new(bytes(&value)));
            if key.first().is_some_and(|first| *first < ENGINE_KEYS) {
                loaded.engine.insert(key, value);
            } else if key != OWNER {
                loaded.own.insert(key, value);
            }
        }
        Ok(loaded)
    }

    /// Makes changes durable, all or none; of several to one row, the last counts.
    pub(crate) async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let transaction = self.transaction(IdbTransactionMode::Readwrite)?;
        let ended = complete(&transaction);
        let rows = rows_of(&transaction)?;
        let not_ours = Rc::new(Cell::new(false));
        // Answered before the transaction can complete, and alive until then.
        let check;
        if self.claimed.get() {
            let request = rows.get(&js_bytes(OWNER)).map_err(|error| failure(&error))?;
            check = Closure::<dyn FnMut()>::new({
                let (request, transaction) = (request.clone(), transaction.clone());
                let (owner, not_ours) = (self.owner, Rc::clone(&not_ours));
                move || {
                    if request.result().is_ok_and(|found| bytes(&found) != owner) {
                        not_ours.set(true);
                        let _ = transaction.abort();
                    }
                }
            });
            request.set_onsuccess(Some(check.as_ref().unchecked_ref()));
        } else {
            put(&rows, OWNER, &self.owner)?;
        }
        for Change { key, value } in changes {
            match value {
                Some(value) => put(&rows, &key, &value)?,
                None => drop(rows.delete(&js_bytes(&key)).map_err(|error| failure(&error))?),
            }
        }
        let ended = ended.await;
        if not_ours.get() {
            return Err(StoreError::NotOurs);
        }
        ended?;
        self.claimed.set(true);
        Ok(())
    }

    fn transaction(&self, mode: IdbTransactionMode) -> Result<IdbTransaction, StoreError> {
        // web-sys has no options here yet.
        let begin: Function = Reflect::get(&self.database, &"transaction".into())
            .ok()
            .and_then(|method| method.dyn_into().ok())
            .ok_or_else(|| StoreError::Failed("no transactions".to_owned()))?;
        let options = object([("durability", "strict".into())]);
        let transaction = begin.call3(&self.database, &ROWS.into(), &mode.into(), &options);
        transaction.map(JsCast::unchecked_into).map_err(|error| failure(&error))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.database.set_onversionchange(None);
        self.database.set_onclose(None);
        self.database.close();
    }
}

async fn open_database(factory: &IdbFactory, name: &str) -> Result<IdbDatabase, StoreError> {
    let request = factory.open_with_u32(name, VERSION).map_err(|error| failure(&error))?;
    let upgrade = Closure::<dyn FnMut()>::new({
        let request = request.clone();
        move || {
            let database: Option<IdbDatabase> = request.result().ok().and_then(|found| found.dyn_into().ok());
            // When this fails the first transaction does, and says so.
            let _ = database.map(|database| database.create_object_store(ROWS));
        }
    });
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    answered(&request).await?.dyn_into().map_err(|_| StoreError::Failed("no database".to_owned()))
}

fn rows_of(transaction: &IdbTransaction) -> Result<IdbObjectStore, StoreError> {
    transaction.object_store(ROWS).map_err(|error| failure(&error))
}

fn put(rows: &IdbObjectStore, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    rows.put_with_key(&js_bytes(value), &js_bytes(key)).map(drop).map_err(|error| failure(&error))
}

fn js_bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// Of a `Uint8Array` or an `ArrayBuffer`; nothing of anything else.
fn bytes(value: &JsValue) -> Vec<u8> {
    if value.is_undefined() { Vec::new() } else { Uint8Array::new(value).to_vec() }
}
