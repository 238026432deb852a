//! Whether an invite was taken: its maker's device looks, for whoever takes it announces himself, or is
//! somebody who should not have it.

use std::time::Duration;

use futures_channel::mpsc::UnboundedSender;
use gloo_timers::future::sleep;
use sync_engine::Command;
use sync_types::{RelayUrl, UnixMs};
use wasm_bindgen_futures::spawn_local;

use super::Revocation;
use crate::Error;
use crate::clock::unix_now;
use crate::http::{self, Fate};
use crate::request::{Answer, Message};

/// How often to look.
const PAUSE: Duration = Duration::from_secs(10);
/// However long the relay asks to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// An invite that was taken in its last moment is still known as taken for a while.
const GRACE: Duration = Duration::from_secs(30);

/// Looks until the invite was taken, or is over, or the device is closed.
pub(super) fn spawn(
    driver: UnboundedSender<Message>,
    relay: RelayUrl,
    invite: Revocation,
    expires_at: UnixMs,
) {
    spawn_local(async move {
        let until = expires_at.plus(GRACE);
        let mut wait = PAUSE;
        while !driver.is_closed() && unix_now() < until {
            sleep(wait).await;
            wait = match http::fate_of_invite(&relay, &invite.lookup, &invite.token).await {
                Ok(Fate::Claimed) => {
                    // Nobody hears it if the device was closed meanwhile.
                    let _ = driver.unbounded_send(Message::Ask(Command::InviteTaken, Answer::nobody()));
                    return;
                }
                Ok(Fate::Gone) => return,
                Err(Error::TooManyRequests { seconds }) => {
                    Duration::from_secs(seconds.into()).clamp(PAUSE, LONGEST_PAUSE)
                }
                Ok(Fate::Pending) | Err(_) => PAUSE,
            };
        }
    });
}
