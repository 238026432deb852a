//! What an admitted device may ask, and the answers.

use core::time::Duration;
use std::sync::Arc;

use sync_types::limits::{DEFAULT_PULL, MAX_PULL};
use sync_types::{
    BlobId, Cursor, DecodeError, Delete, DeleteAck, DevicesResponse, Epoch, ErrorBody, ErrorCode,
    GroupDeleteAck, LeaveAck, Message, Nonce, Now, Presence, PullResponse, Push, PushAck, PushBatchAck,
    Rotate, RotateAck, Rotation, Stored, UnixMs,
};

use super::queue::{Purpose, Queue, Request, Underway};
use super::{CLOSE_NORMAL, Output, Phase, RETRY_MS, Session};
use crate::bucket::Bucket;
use crate::hub::HERE;
use crate::store::{
    Acknowledge, DeleteOp, Deleted, GroupDeleteOp, LeaveOp, NewBlob, OpId, Payload, PullPage, PushOp, Pushed,
    ReadOp, ReadResult, RotateOp, StoreReply, WriteOp, WriteResult,
};

/// Room in a page's envelope for everything but its blobs, in bytes.
const PAGE_OVERHEAD: usize = 1024;

/// An admitted device.
pub(super) struct Member {
    epoch: Epoch,
    pub(super) inline: bool,
    /// Up to here the device was told of blobs.
    pub(super) told: Cursor,
    bucket: Arc<Bucket>,
    /// Full pages up to here cost nothing.
    given: Cursor,
    /// What the device last said of itself.
    status: u8,
    pub(super) queue: Queue,
}

impl Member {
    pub(super) fn new(epoch: Epoch, inline: bool, told: Cursor, acked: Cursor, bucket: Arc<Bucket>) -> Self {
        let queue = Queue::new(acked);
        Self { epoch, inline, told, bucket, given: Cursor::ZERO, status: HERE, queue }
    }
}

impl Session {
    pub(super) fn on_request(&mut self, nonce: Nonce, message: Result<Message, DecodeError>, now: Now) {
        let Phase::Ready(member) = &mut self.phase else {
            return;
        };
        if member.queue.is_draining() {
            return;
        }
        match message {
            Ok(Message::Ack(ack)) => {
                member.queue.acknowledge(ack.cursor);
                return self.issue(now);
            }
            // As a sign of life it is free; news for the others is not.
            Ok(Message::Presence(Presence::Own(status))) => {
                if status != member.status {
                    if let Err(wait) = member.bucket.take(now.mono) {
                        return self.ration(wait, nonce, now);
                    }
                    member.status = status;
                }
                self.send(Presence::Own(status), nonce, now);
                return self.outputs.push_back(Output::Presence { status });
            }
            Ok(_) | Err(_) => {}
        }
        if let Err(wait) = member.bucket.take(now.mono) {
            return self.ration(wait, nonce, now);
        }
        match self.request(nonce, message, now) {
            Ok(request) => {
                if let Phase::Ready(member) = &mut self.phase {
                    member.queue.add(request);
                }
                self.issue(now);
            }
            Err(error) => self.send(error, nonce, now),
        }
    }

    /// Says when the device may send again.
    fn ration(&mut self, wait: Duration, nonce: Nonce, now: Now) {
        let millis = u32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
        let error = ErrorBody::new(ErrorCode::RateLimited).retry_after_ms(millis);
        self.send(error, nonce, now);
    }

    /// Reads a message as a request to storage.
    fn request(
        &self,
        nonce: Nonce,
        message: Result<Message, DecodeError>,
        now: Now,
    ) -> Result<Request, ErrorBody> {
        let message =
            message.map_err(|error| ErrorBody::because(ErrorCode::BadRequest, error.to_string()))?;
        let (Phase::Ready(member), Some(device)) = (&self.phase, self.peer()) else {
            return Err(ErrorBody::new(ErrorCode::BadRequest));
        };
        let (group, epoch, now) = (self.group, member.epoch, now.unix);
        let write = |op, purpose| Ok(Request::Write { nonce, op, purpose });
        let name = message.name();
        match message {
            Message::Push(push) => {
                let blobs = self.blobs(vec![push], now)?;
                write(WriteOp::Push(PushOp { group, device, epoch, blobs, now }), Purpose::Push)
            }
            Message::PushBatch(batch) if batch.blobs.is_empty() => {
                Err(ErrorBody::because(ErrorCode::BadRequest, "a batch of no blobs"))
            }
            Message::PushBatch(batch) => {
                let blobs = self.blobs(batch.blobs, now)?;
                write(WriteOp::Push(PushOp { group, device, epoch, blobs, now }), Purpose::PushBatch)
            }
            Message::Rotate(Rotate { blob_id, after, payload }) => {
                let (rotation, blob) = self.rotation(blob_id, payload)?;
                let op = RotateOp { group, device, epoch, after, rotation, blob, now };
                write(WriteOp::Rotate(Box::new(op)), Purpose::Rotate)
            }
            Message::Delete(Delete { blob_id }) => {
                let op = DeleteOp { group, device, epoch, blob_id, now };
                write(WriteOp::Delete(op), Purpose::Delete(blob_id))
            }
            Message::Leave(_) => write(WriteOp::Leave(LeaveOp { group, device, now }), Purpose::Leave),
            Message::GroupDelete(_) => {
                let op = GroupDeleteOp { group, device, epoch, now };
                write(WriteOp::GroupDelete(op), Purpose::GroupDelete)
            }
            Message::Pull(pull) => {
                let limit = match pull.limit {
                    0 => DEFAULT_PULL,
                    limit => limit.min(MAX_PULL),
                };
                let max_bytes = self.relay.policy.max_envelope() - PAGE_OVERHEAD;
                let page = PullPage { group, device, after: pull.after_cursor, limit, max_bytes };
                Ok(Request::Pull { nonce, page })
            }
            Message::Devices(_) => Ok(Request::Devices { nonce }),
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::PushAck(_)
            | Message::PushBatchAck(_)
            | Message::PullResponse(_)
            | Message::Ack(_)
            | Message::Presence(_)
            | Message::Notify(_)
            | Message::DeleteAck(_)
            | Message::DevicesResponse(_)
            | Message::RotateAck(_)
            | Message::LeaveAck(_)
            | Message::GroupDeleteAck(_)
            | Message::Error(_) => {
                let why = format!("{name} has no place here");
                Err(ErrorBody::because(ErrorCode::BadRequest, why))
            }
        }
    }

    fn blobs(&self, pushed: Vec<Push>, now: UnixMs) -> Result<Vec<NewBlob>, ErrorBody> {
        let policy = &self.relay.policy;
        let too_large = |blob: &Push| blob.payload.len() > policy.max_blob_size as usize;
        if pushed.iter().any(too_large) {
            return Err(ErrorBody::new(ErrorCode::BlobTooLarge));
        }
        // It would pass as one without anything of it having been checked.
        if pushed.iter().any(|blob| Rotation::is_one(&blob.payload)) {
            return Err(ErrorBody::because(ErrorCode::BadRequest, "a rotation comes by ROTATE only"));
        }
        let blobs =
            pushed.into_iter().map(|blob| new_blob(blob.blob_id, blob.payload, policy.expiry(blob.ttl, now)));
        Ok(blobs.collect())
    }

    fn rotation(&self, blob_id: BlobId, payload: Vec<u8>) -> Result<(Rotation, NewBlob), ErrorBody> {
        if payload.len() > self.relay.policy.max_blob_size as usize {
            return Err(ErrorBody::new(ErrorCode::BlobTooLarge));
        }
        let rotation = Rotation::decode(&payload)
            .map_err(|error| ErrorBody::because(ErrorCode::BadRequest, error.to_string()))?;
        Ok((rotation, new_blob(blob_id, payload, None)))
    }

    /// Gives storage what may go there now.
    pub(super) fn issue(&mut self, now: Now) {
        loop {
            let id = OpId(self.ops + 1);
            let Some(device) = self.peer() else { return };
            let Phase::Ready(member) = &mut self.phase else {
                return;
            };
            let Some(request) = member.queue.next() else {
                return;
            };
            let (underway, output) = match request {
                Request::Acknowledge(cursor) => {
                    let acknowledge = Acknowledge { group: self.group, device, cursor, now: now.unix };
                    let op = WriteOp::Acknowledge(acknowledge);
                    (Underway::Acknowledge, Output::Write { id, op })
                }
                Request::Write { nonce, op, purpose } => {
                    let bytes = op.bytes();
                    (Underway::Write { nonce, bytes, purpose }, Output::Write { id, op })
                }
                Request::Pull { nonce, page } => {
                    let op = ReadOp::Pull(page);
                    (Underway::Pull { nonce, page }, Output::Read { id, op })
                }
                Request::Devices { nonce } => {
                    let op = ReadOp::Devices { group: self.group, device };
                    (Underway::Devices { nonce }, Output::Read { id, op })
                }
            };
            member.queue.started(id, underway);
            self.ops = id.0;
            self.outputs.push_back(output);
        }
    }

    pub(super) fn on_request_stored(&mut self, id: OpId, reply: StoreReply, now: Now) {
        let Phase::Ready(member) = &mut self.phase else {
            return;
        };
        let Some(underway) = member.queue.finished(id) else {
            return;
        };
        match (underway, reply) {
            (Underway::Acknowledge, _) => {}
            (Underway::Write { nonce, purpose, .. }, StoreReply::Written(Ok(result))) => {
                return self.on_written(nonce, purpose, result, now);
            }
            (Underway::Write { nonce, .. }, StoreReply::Written(Err(refusal)))
            | (
                Underway::Pull { nonce, .. } | Underway::Devices { nonce },
                StoreReply::Read(ReadResult::Refused(refusal)),
            ) => {
                if refusal.ends_session() {
                    return self.fail(refusal.into(), nonce, now);
                }
                self.send(ErrorBody::from(refusal), nonce, now);
            }
            (Underway::Pull { nonce, page }, StoreReply::Read(ReadResult::Page(response))) => {
                // Once each: who reads the same again pays for it.
                if is_full(&response, &page) && page.after >= member.given {
                    member.given = response.max_cursor;
                    member.bucket.give_back();
                }
                self.send(response, nonce, now);
            }
            (Underway::Devices { nonce }, StoreReply::Read(ReadResult::Devices(devices))) => {
                self.send(DevicesResponse { devices }, nonce, now);
            }
            (
                Underway::Write { nonce, .. } | Underway::Pull { nonce, .. } | Underway::Devices { nonce },
                _,
            ) => self.unavailable(nonce, now),
        }
        self.after_stored(now);
    }

    /// A write was done; most go on after it, two of them end the session.
    fn on_written(&mut self, nonce: Nonce, purpose: Purpose, result: WriteResult, now: Now) {
        match (purpose, result) {
            (Purpose::Push, WriteResult::Pushed(pushed)) => self.on_pushed(nonce, pushed, false, now),
            (Purpose::PushBatch, WriteResult::Pushed(pushed)) => self.on_pushed(nonce, pushed, true, now),
            (Purpose::Rotate, WriteResult::Rotated(rotated)) => {
                let ack = RotateAck { epoch: rotated.epoch, cursor: rotated.placed.cursor };
                self.send(ack, nonce, now);
            }
            (Purpose::Delete(blob_id), WriteResult::Deleted(deleted)) => {
                let state = match deleted {
                    Deleted::Gone => 0,
                    Deleted::Marked => 1,
                };
                self.send(DeleteAck { blob_id, state }, nonce, now);
            }
            (Purpose::Leave, WriteResult::Left) => {
                self.send(LeaveAck, nonce, now);
                return self.close(CLOSE_NORMAL, "this device has left the group".to_owned());
            }
            (Purpose::GroupDelete, WriteResult::GroupDeleted) => {
                self.send(GroupDeleteAck, nonce, now);
                return self.close(CLOSE_NORMAL, "the group was deleted".to_owned());
            }
            _ => self.unavailable(nonce, now),
        }
        self.after_stored(now);
    }

    fn unavailable(&mut self, nonce: Nonce, now: Now) {
        let error = ErrorBody::new(ErrorCode::Unavailable).retry_after_ms(RETRY_MS);
        self.send(error, nonce, now);
    }

    fn on_pushed(&mut self, nonce: Nonce, pushed: Pushed, batch: bool, now: Now) {
        let mut placed = pushed.placed.into_iter();
        if batch {
            let stored = placed.map(|placed| Stored { blob_id: placed.blob_id, cursor: placed.cursor });
            let ack = PushBatchAck { stored: stored.collect(), timestamp: now.unix };
            self.send(ack, nonce, now);
        } else if let Some(placed) = placed.next() {
            let ack = PushAck { blob_id: placed.blob_id, cursor: placed.cursor, timestamp: placed.stored_at };
            self.send(ack, nonce, now);
        }
    }

    fn after_stored(&mut self, now: Now) {
        match &self.phase {
            Phase::Ready(member) if member.queue.is_drained() => self.go_away(now),
            Phase::Ready(_) => self.issue(now),
            Phase::Handshake | Phase::Hello { .. } | Phase::Entering(_) | Phase::Closed => {}
        }
    }
}

fn new_blob(blob_id: BlobId, payload: Vec<u8>, expires_at: Option<UnixMs>) -> NewBlob {
    let payload = Payload::from(payload);
    NewBlob { blob_id, hash: payload.hash(), payload, expires_at }
}

/// Whether a page is as large as the relay makes them: a long first sync should not be rationed by its
/// own pages, and small pages should not be free.
fn is_full(response: &PullResponse, page: &PullPage) -> bool {
    let bytes = |blob: &sync_types::StoredBlob| blob.payload.as_ref().map_or(0, Vec::len);
    let total: usize = response.blobs.iter().map(bytes).sum();
    response.has_more && (response.blobs.len() >= DEFAULT_PULL as usize || total >= page.max_bytes / 2)
}
