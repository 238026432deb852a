//! What the relay says while the connection stands: answers to requests, and what nobody asked for.

use std::time::Duration;

use sync_types::{DeviceId, Envelope, ErrorBody, ErrorCode, GroupId, Message, Presence, StoreId, shown};

use super::Engine;
use super::link::{Link, REPLACED_PAUSE};
use super::outbox::MAX_PAUSE;
use super::reader::Wanted;
use super::request::Request;
use crate::api::{CommandId, Event, Reply};
use crate::error::{EngineError, StopReason};
use crate::timer::Timer;

/// How long to wait when the relay has a newer epoch's key, and not the rotation that led there.
const STALE_PAUSE: Duration = Duration::from_secs(10);

impl Engine {
    /// An envelope from the relay while on-line.
    pub(super) fn envelope(&mut self, bytes: &[u8]) {
        let Some((envelope, message)) = self.read(bytes) else {
            return self.misbehaved();
        };
        let Link::Online(session) = &mut self.link else {
            return;
        };
        let request = session.requests.remove(&envelope.nonce);
        if request.as_ref().is_some_and(|request| *request != Request::Presence) {
            self.watch_answers();
        }
        let handled = match (message, request) {
            (Message::PushAck(ack), Some(Request::Push)) => self.push_acked(&ack),
            (Message::PushBatchAck(ack), Some(Request::Push)) => self.batch_acked(&ack),
            (Message::PullResponse(page), Some(Request::Sync { after, known })) => {
                self.synced(page, after, known)
            }
            (Message::PullResponse(page), Some(Request::Again { after, seen })) => {
                self.reread(page, after, seen)
            }
            (Message::PullResponse(page), Some(Request::Search { after })) => self.searched(&page, after),
            (Message::PullResponse(page), Some(Request::Pull { id, after, limit })) => {
                self.pulled(page, id, after, limit)
            }
            (Message::DevicesResponse(list), Some(Request::Devices { id })) => {
                self.devices_told(id, &list);
                Ok(())
            }
            (Message::DevicesResponse(list), Some(Request::Roll)) => {
                self.roll_called(&list);
                Ok(())
            }
            (Message::RotateAck(ack), Some(Request::Rotate { .. } | Request::Resend)) => {
                self.rotate_acked(&ack)
            }
            (Message::LeaveAck(_), Some(Request::Leave { id })) => {
                self.reply(id, Ok(Reply::Done));
                self.stop(StopReason::Left);
                Ok(())
            }
            (Message::GroupDeleteAck(_), Some(Request::DeleteGroup { id })) => {
                self.reply(id, Ok(Reply::Done));
                let code = ErrorCode::GroupDeleted;
                self.stop(StopReason::Refused { code, message: code.to_string() });
                Ok(())
            }
            (Message::Presence(Presence::Own(_)), Some(Request::Presence)) => {
                self.timers.stop(Timer::Presence);
                Ok(())
            }
            (Message::Presence(Presence::Peer(peer)), None) => {
                // One that goes is no reason to worry: so does one that was removed.
                if peer.status != 0 {
                    self.met(peer.device_id);
                }
                self.event(Event::PresenceChanged { device_id: peer.device_id, online: peer.status != 0 });
                Ok(())
            }
            (Message::Notify(notify), None) => self.notified(notify),
            (Message::Error(error), Some(request)) => {
                self.refused(request, &error);
                Ok(())
            }
            (Message::Error(error), None) => {
                self.turned_away(ErrorCode::from_u16(error.code), error);
                Ok(())
            }
            (_, request) => {
                if let Some(id) = request.and_then(|request| request.asker()) {
                    // Whoever rotates is answered here, and not once more when the line breaks.
                    self.rotating.take_if(|rotating| rotating.id == id);
                    self.reply(id, Err(EngineError::RelayMisbehaved));
                }
                Err(EngineError::RelayMisbehaved)
            }
        };
        if handled.is_err() {
            self.misbehaved();
        }
    }

    /// Decodes an envelope that names this group and comes from this relay.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<(Envelope, Message)> {
        let (envelope, message) = Envelope::open(bytes).ok()?;
        let group_id = self.state.group.as_ref().map_or(GroupId::NONE, |group| group.group_id);
        let right_group = envelope.group_id == group_id || envelope.group_id == GroupId::NONE;
        let from_relay = self.state.relay.pin.map(DeviceId::from) == Some(envelope.sender_id);
        let mut message = message.ok().filter(|_| right_group && from_relay)?;
        if let Message::Error(error) = &mut message {
            error.message = shown(&error.message);
        }
        Some((envelope, message))
    }

    /// ERROR in answer to a request.
    fn refused(&mut self, request: Request, error: &ErrorBody) {
        let code = ErrorCode::from_u16(error.code);
        let wait = Duration::from_secs(1);
        match request {
            Request::Push => self.push_refused(code, error),
            Request::Presence => self.timers.stop(Timer::Presence),
            Request::Sync { .. } | Request::Again { .. } => self.pause(error, wait),
            Request::Pull { id, after, limit } => match code {
                Some(ErrorCode::RateLimited) => {
                    self.pause(error, wait);
                    self.waiting.push_back((id, Wanted::Pull { after, limit }));
                }
                _ => self.reply_refused(id, code, error),
            },
            Request::Devices { id } => match code {
                Some(ErrorCode::RateLimited) => {
                    self.pause(error, wait);
                    self.waiting.push_back((id, Wanted::Devices));
                }
                _ => self.reply_refused(id, code, error),
            },
            Request::Rotate { id, wish } => {
                if !self.rotate_refused(id, wish, code) {
                    self.reply_refused(id, code, error);
                } else if matches!(code, Some(ErrorCode::RateLimited | ErrorCode::Unavailable)) {
                    self.pause(error, wait);
                }
            }
            // What the relay does not want of this, it has, or has no use for.
            Request::Roll | Request::Resend | Request::Search { .. } => {}
            Request::Leave { id } | Request::DeleteGroup { id } => self.reply_refused(id, code, error),
        }
    }

    fn reply_refused(&mut self, id: CommandId, code: Option<ErrorCode>, error: &ErrorBody) {
        let code = code.unwrap_or(ErrorCode::BadRequest);
        self.reply(id, Err(EngineError::Refused { code, message: error.message.clone() }));
    }

    /// The relay ends the session, or does not begin one.
    pub(super) fn turned_away(&mut self, code: Option<ErrorCode>, error: ErrorBody) {
        use ErrorCode as C;
        match code {
            Some(
                code @ (C::UnsupportedVersion
                | C::Unauthenticated
                | C::DeviceRevoked
                | C::GroupLimit
                | C::Conflict
                | C::GroupCreationDenied
                | C::GroupDeleted
                | C::DeviceExpired),
            ) => self.stop(StopReason::Refused { code, message: error.message }),
            // Its invite is from before a rotation: it needs another one.
            Some(code @ C::EpochStale) if self.state.progress.store_id == StoreId::NONE => {
                self.stop(StopReason::Refused { code, message: error.message });
            }
            Some(C::Replaced) => self.back_off(REPLACED_PAUSE),
            // Removed, or the rotation that lists this device was lost and will be sent again.
            Some(code @ C::EpochStale) => {
                self.back_off(STALE_PAUSE);
                self.shut_out = Some(EngineError::Refused { code, message: error.message });
            }
            _ => {
                let wait = Duration::from_millis(error.retry_after_ms.unwrap_or(0).into());
                self.back_off(wait.min(MAX_PAUSE));
            }
        }
    }
}
