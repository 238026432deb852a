//! What to do when the store fails: the engine is ahead of it, so another one is opened from it.

use std::time::Duration;

use gloo_timers::future::sleep;
use sync_engine::Change;
use zeroize::Zeroizing;

use super::{Driver, Pending, Session};
use crate::Error;
use crate::clock::mono_now;
use crate::request::Message;
use crate::store::StoreError;

/// Between attempts to use a store that failed.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Between attempts to use a store that was full.
const FULL_RETRY: Duration = Duration::from_secs(30);
/// What is written to see whether there is room again.
const PROBE: &[u8] = &[0x82];
const PROBE_LEN: usize = 4096;

impl Driver {
    /// Something could be stored: the store is not full, or not any more.
    pub(super) fn has_room(&mut self, session: &mut Session) {
        if self.full_until.take().is_some() && std::mem::take(&mut self.held) {
            self.connect_if_wanted(session);
        }
    }

    /// Looks whether a full store has room again, if it is time to.
    pub(super) async fn probe(&mut self, session: &mut Session) -> Result<(), StoreError> {
        if self.full_until.is_none_or(|at| at > mono_now()) {
            return Ok(());
        }
        let write = Change { key: PROBE.to_vec(), value: Some(Zeroizing::new(vec![0; PROBE_LEN])) };
        match session.store.apply(vec![write]).await {
            Ok(()) => {
                session.store.apply(vec![Change { key: PROBE.to_vec(), value: None }]).await?;
                self.has_room(session);
            }
            Err(StoreError::Full) => self.full_until = Some(mono_now().plus(FULL_RETRY)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The engine is gone; gives what it has not answered.
    pub(super) fn broken(&mut self, error: &StoreError) -> Vec<Pending> {
        let pending: Vec<_> =
            std::mem::take(&mut self.pending).into_iter().map(|(_, pending)| pending).collect();
        if matches!(error, StoreError::Full) {
            self.full_until = Some(mono_now().plus(FULL_RETRY));
            // Where it was a push that found no room, the connection may be made again.
            self.held = pending.iter().all(|pending| pending.push.is_none());
        } else if !matches!(error, StoreError::NotOurs) {
            self.view.error(&error.clone().into());
        }
        self.view.disconnected(self.wanted, self.full_until.is_some());
        pending
    }

    /// Opens the store again. None: nobody needs it any more, or it is not ours.
    pub(super) async fn reopen(&mut self, broken: StoreError) -> Option<Session> {
        let mut error = Error::from(broken);
        loop {
            if matches!(error, Error::Store(StoreError::NotOurs) | Error::State(_)) {
                self.view.lost(&error);
                self.refuse(&error);
                return None;
            }
            match Session::open(&self.store, &self.to_self).await {
                Ok(session) => return Some(session),
                Err(failed) => {
                    self.view.error(&failed);
                    error = failed;
                    if self.refuse(&error) {
                        return None;
                    }
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }

    /// Answers what has been asked meanwhile; gives whether that was to close.
    fn refuse(&mut self, error: &Error) -> bool {
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Ask(_, answer) | Message::Push(_, answer) => answer.give(Err(error.clone())),
                Message::Close(done) => {
                    let _ = done.send(());
                    return true;
                }
                Message::Remember(_, answer) => {
                    let _ = answer.send(Err(error.clone()));
                }
                // Unanswered, which says enough; or from what is not there any more.
                Message::Recall(..)
                | Message::Outcomes(..)
                | Message::Woke
                | Message::Socket(..)
                | Message::StoreLost => {}
            }
        }
        false
    }
}
