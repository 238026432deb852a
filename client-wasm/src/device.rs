//! What JavaScript holds.

use std::rc::Rc;

use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_channel::oneshot;
use js_sys::{Array, Function};
use sync_e2ee::DeviceName;
use sync_engine::{Command, NewDevice, Reply, StateError, Status};
use sync_types::{AccessToken, DeviceId, DeviceSecret, RelayAddress, RelayKey};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use zeroize::Zeroizing;

use crate::browser::object;
use crate::clock::rng;
use crate::driver::{Driver, Session, View};
use crate::request::{Answer, Message, Push};
use crate::warm::warm_up;
use crate::{Error, values};

const NO_DEVICE: Error = Error::State(StateError::Incomplete);

/// The device of one store, in use. The package's `SyncClient` has the documentation of what it does;
/// every method here is one of its, with arguments and results that can be sent to other tabs.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Device {
    messages: UnboundedSender<Message>,
    view: Rc<View>,
    derive: Function,
}

#[wasm_bindgen]
impl Device {
    /// Uses the device of a store, and makes it when there is none and `create` says so; does not
    /// connect. Nobody else may use the store. `listener` is called with each event's name and detail, `derive` with 10 bytes of
    /// a code for a promise of the 48 bytes that `deriveCodeKeys` gives.
    ///
    /// # Errors
    /// When an argument of a new device cannot be used, or the store fails.
    pub async fn open(
        store: String,
        name: Option<String>,
        relay: Option<String>,
        access_token: Option<String>,
        create: bool,
        listener: Function,
        derive: Function,
    ) -> Result<Device, Error> {
        let (messages, receiver) = unbounded();
        let new = || if create { new_device(name, relay, access_token) } else { Err(NO_DEVICE) };
        let session = Session::open_or(&store, &messages, new).await?;
        let view = Rc::new(View::new(session.engine.status(), listener));
        let driver = Driver::new(store, receiver, messages.clone(), Rc::clone(&view));
        spawn_local(driver.run(session));
        spawn_local(warm_up());
        Ok(Self { messages, view, derive })
    }

    /// How things stand.
    pub fn status(&self) -> JsValue {
        self.view.to_js()
    }

    /// Connects, and stays connected.
    ///
    /// # Errors
    /// When the attempt fails.
    pub async fn connect(&self) -> Result<(), Error> {
        self.done(Command::Connect).await
    }

    /// Closes the connection and stays away.
    ///
    /// # Errors
    /// When the device is closed.
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.done(Command::Disconnect).await
    }

    /// The network or the window came back.
    pub fn woke(&self) {
        let _ = self.send(Message::Woke);
    }

    /// Stores a push in the outbox; gives its blob id. The same 16 bytes of `token` again are the same
    /// push. `own`: whether its result is for this tab, and need not be kept for another one.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn push(
        &self,
        data: Vec<u8>,
        ttl: Option<u32>,
        token: Vec<u8>,
        own: bool,
    ) -> Result<JsValue, Error> {
        let data = Zeroizing::new(data);
        let token = token.try_into().map_err(|_| Error::Argument("a token has 16 bytes"))?;
        let (answer, reply) = oneshot::channel();
        self.send(Message::Push(Push { data, ttl, token, own }, Answer::to(answer)))?;
        match reply.await.unwrap_or(Err(Error::Closed))? {
            Reply::Queued(blob_id) => Ok(values::blob_id(blob_id)),
            Reply::Done | Reply::Page(_) | Reply::Devices(_) | Reply::Invite(_) | Reply::Membership(_) => {
                Err(Error::Closed)
            }
        }
    }

    /// The cursors, or error codes, of those pushes whose results were kept: `{blobId, cursor, code}`.
    ///
    /// # Errors
    /// When the device is closed.
    pub async fn outcomes(&self, blob_ids: Vec<String>) -> Result<JsValue, Error> {
        let wanted = blob_ids.iter().filter_map(|text| values::read_blob_id(text)).collect();
        let (answer, found) = oneshot::channel();
        self.send(Message::Outcomes(wanted, answer))?;
        let found = found.await.map_err(|_| Error::Closed)?;
        Ok(found.into_iter().map(values::outcome).collect::<Array>().into())
    }

    /// The next blobs of other devices. The first two numbers name the end of the page that the tab has.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub async fn read(
        &self,
        has_generation: Option<u32>,
        has_cursor: Option<f64>,
        limit: u32,
    ) -> Result<JsValue, Error> {
        let has = values::read_page_end(has_generation, has_cursor)?;
        self.page(Command::Read { limit, has }).await
    }

    /// Any page of the log.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub async fn pull(&self, after: f64, limit: u32) -> Result<JsValue, Error> {
        self.page(Command::Pull { after: values::read_cursor(after)?, limit }).await
    }

    /// The app durably has everything up to this cursor.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub async fn ack(&self, cursor: f64, generation: Option<u32>) -> Result<(), Error> {
        self.done(Command::Ack { cursor: values::read_cursor(cursor)?, generation }).await
    }

    /// Waits until the outbox is empty.
    ///
    /// # Errors
    /// Why it will not be.
    pub async fn flush(&self) -> Result<(), Error> {
        self.done(Command::Flush).await
    }

    /// The group's devices.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub async fn devices(&self) -> Result<JsValue, Error> {
        match self.ask(Command::Devices).await? {
            Reply::Devices(devices) => Ok(values::devices(&devices)),
            Reply::Done | Reply::Queued(_) | Reply::Page(_) | Reply::Invite(_) | Reply::Membership(_) => {
                Err(Error::Closed)
            }
        }
    }

    /// Removes a device for good, by a new key of the group.
    ///
    /// # Errors
    /// When there is no such device, or it is this one; and when there is no connection, or it breaks.
    #[wasm_bindgen(js_name = removeDevice)]
    pub async fn remove_device(&self, device_id: String, keep_history: bool) -> Result<(), Error> {
        let device = DeviceId::from_text(&device_id).ok_or(Error::Argument("this is no device's id"))?;
        self.done(Command::Rotate { remove: vec![device], keep_history }).await
    }

    /// Gives the group a new key without removing anybody.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub async fn rotate(&self, keep_history: bool) -> Result<(), Error> {
        self.done(Command::Rotate { remove: Vec::new(), keep_history }).await
    }

    /// Agrees to push again what the relay has lost.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub async fn restore(&self) -> Result<(), Error> {
        self.done(Command::Restore).await
    }

    /// Tells the others and the relay that this device goes for good. The store stays.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub async fn leave(&self) -> Result<(), Error> {
        self.done(Command::Leave).await
    }

    /// Erases the group at the relay.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    #[wasm_bindgen(js_name = deleteGroup)]
    pub async fn delete_group(&self) -> Result<(), Error> {
        self.done(Command::DeleteGroup).await
    }

    /// Accepts another key of the relay.
    ///
    /// # Errors
    /// When the text is no key, or cannot be stored.
    #[wasm_bindgen(js_name = trustRelay)]
    pub async fn trust_relay(&self, key: String) -> Result<(), Error> {
        let key = RelayKey::from_text(&key);
        self.done(Command::TrustRelay(key.ok_or(Error::Argument("this is no key of a relay"))?)).await
    }

    /// Makes an invite: `{code, link, appUrl, expiresAt, revocation}`; `appUrl` lacks its scheme.
    ///
    /// # Errors
    /// When there is no connection, or the relay refuses.
    #[wasm_bindgen(js_name = createInvite)]
    pub async fn create_invite(&self) -> Result<JsValue, Error> {
        let made = self.make_invite().await?;
        Ok(object([
            ("code", made.code.into()),
            ("link", made.link.into()),
            ("appUrl", made.app_url.into()),
            ("expiresAt", values::time(made.expires_at)),
            ("revocation", made.revocation.to_js()),
        ]))
    }

    /// Takes an invite back, by the `revocation` that came with it; without one, the last.
    ///
    /// # Errors
    /// When there is none, it is used or over, or the relay cannot be reached.
    #[wasm_bindgen(js_name = revokeInvite)]
    pub async fn revoke_invite(&self, revocation: JsValue) -> Result<(), Error> {
        self.take_back(&revocation).await
    }

    /// Becomes a member. `relay` is where a code lies, if the device knows none yet; `claim_id` names
    /// this attempt: the same again gets the same answer, for a minute.
    ///
    /// # Errors
    /// When the text is no invite, there is none, or the relay cannot be reached.
    pub async fn join(&self, invite: String, relay: Option<String>, claim_id: String) -> Result<(), Error> {
        let relay = relay.map(|text| text.parse::<RelayAddress>()).transpose()?;
        self.become_member(&Zeroizing::new(invite), relay, &claim_id).await
    }

    /// Closes connection and store.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.send(Message::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }
}

impl Device {
    pub(crate) fn engine_status(&self) -> Status {
        self.view.status()
    }

    pub(crate) fn derive(&self) -> &Function {
        &self.derive
    }

    pub(crate) fn messages(&self) -> UnboundedSender<Message> {
        self.messages.clone()
    }

    pub(crate) fn send(&self, message: Message) -> Result<(), Error> {
        self.messages.unbounded_send(message).map_err(|_| Error::Closed)
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<Reply, Error> {
        let (answer, reply) = oneshot::channel();
        self.send(Message::Ask(command, Answer::to(answer)))?;
        reply.await.unwrap_or(Err(Error::Closed))
    }

    pub(crate) async fn done(&self, command: Command) -> Result<(), Error> {
        self.ask(command).await.map(drop)
    }

    async fn page(&self, command: Command) -> Result<JsValue, Error> {
        match self.ask(command).await? {
            Reply::Page(page) => Ok(values::page(&page)),
            Reply::Done | Reply::Queued(_) | Reply::Devices(_) | Reply::Invite(_) | Reply::Membership(_) => {
                Err(Error::Closed)
            }
        }
    }
}

fn new_device(
    name: Option<String>,
    relay: Option<String>,
    access_token: Option<String>,
) -> Result<NewDevice, Error> {
    let name = name.as_deref().unwrap_or("Browser");
    let name = DeviceName::new(name)
        .ok_or(Error::Argument("a device name has 1 to 62 bytes and no control characters"))?;
    Ok(NewDevice {
        secret: DeviceSecret::generate(&mut rng()?),
        name,
        platform: "web".to_owned(),
        relay: relay.map(|text| text.parse()).transpose()?,
        access_token: access_token.map(AccessToken::from),
    })
}
