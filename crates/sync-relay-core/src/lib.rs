//! The relay without its input and output: what it decides, as values.
//!
//! Three parts, none of which reads a clock, opens a socket or touches a disk:
//!
//! - [`Session`]: one connection. Noise, envelopes, who may come in, which message gets which answer.
//! - [`Hub`]: who is online, and what each of them has yet to hear.
//! - [`store`]: storage as a *value*: a session asks for a [`WriteOp`] or a [`ReadOp`] and is later
//!   told the answer. What must hold inside a transaction is decided by the functions in [`decide`],
//!   so that every storage decides alike.
//!
//! What this crate is not: it opens no blob and links nothing that could, and it does no waiting.
//!
//! # The loop around it
//!
//! One task owns one session. Whatever came in goes to a `handle_*` method, with the time; then
//! [`Session::poll_output`] is called until it gives nothing, and [`Session::poll_timeout`] says when
//! to call [`Session::handle_timeout`] if nothing else happens before.
//!
//! | [`Output`] | what the driver does with it |
//! |---|---|
//! | `Send` | one WebSocket message to the peer |
//! | `Write` | applies it in a transaction with others, gives [`Committed::of`] it to [`Hub::committed`], then the result to [`Session::handle_stored`]; in the order of commits |
//! | `Read` | reads, fills in who is online ([`Hub::mark_online`]), gives it to [`Session::handle_stored`] |
//! | `Register` | [`Hub::register`], then [`Session::handle_registered`] |
//! | `Presence` | [`Hub::presence`] |
//! | `Close` | closes the connection; the session is over |
//!
//! While [`Session::wants_deliveries`], what [`Hub::take`] gives goes to [`Session::handle_delivery`].
//! At the end, [`Hub::unregister`] and, if there is one, the write of [`Session::farewell`].
//!
//! Beside the sessions, a driver cleans up from time to time: a [`store::Seen`] of [`Hub::registrations`],
//! so that who is online is not taken for away, then each [`store::Chore`] of [`store::Chore::ALL`],
//! piece by piece.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bucket;
pub mod decide;
mod hub;
mod policy;
mod session;
pub mod store;

pub use bucket::Bucket;
pub use hub::{Delivery, Ending, Hub, Registration, SessionNo};
pub use policy::{GroupCreation, Policy, StoredBytes};
pub use session::{Output, RelayIdentity, Session};
pub use store::{
    Committed, OpId, Payload, ReadOp, ReadResult, Refusal, Store, StoreError, StoreReply, WriteOp,
    WriteOutcome, WriteResult,
};
