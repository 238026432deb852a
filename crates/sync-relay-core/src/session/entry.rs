//! HELLO: who may come in. A stranger reaches a read of storage at most, never its writer.

use std::sync::Arc;

use sync_types::limits::{MAX_ACCESS_TOKEN, MAX_PENDING_NOTIFY, MAX_SEALED_NAME, PROTOCOL_VERSION};
use sync_types::{
    AccessToken, Cursor, DecodeError, Envelope, ErrorBody, ErrorCode, FEATURE_INLINE_NOTIFY, Hello, KeyLog,
    KeyLogError, MembershipProof, Message, Nonce, Now, Welcome,
};

use super::requests::Member;
use super::{Output, Phase, RETRY_MS, Session};
use crate::bucket::Bucket;
use crate::hub::Registration;
use crate::store::{Admit, Admitted, Backlog, OpId, ReadOp, ReadResult, StoreReply, WriteOp, WriteResult};

/// HELLOs that a connection may send before it is let in: one, and one with the key log, and some
/// grace. Each may cost hundreds of signature checks.
const MAX_HELLOS: u8 = 4;

/// A HELLO on its way through storage.
pub(super) struct Entry {
    pub(super) step: Step,
    hello: Hello,
    nonce: Nonce,
}

/// What it waits for.
pub(super) enum Step {
    /// The key log that the relay has.
    KeyLog(OpId),
    /// The transaction that lets the device in.
    Admit(OpId),
    /// The hub.
    Register(Admitted),
    /// What there is to tell. Read after registering, so that nothing falls between the two.
    Backlog { id: OpId, admitted: Admitted, bucket: Arc<Bucket> },
}

impl Session {
    pub(super) fn on_hello(&mut self, envelope: Envelope, message: Result<Message, DecodeError>, now: Now) {
        let nonce = envelope.nonce;
        let hello = match message {
            Ok(Message::Hello(hello)) => hello,
            Ok(_) => return self.misused("HELLO comes first", nonce, now),
            Err(error) => return self.misused(&error.to_string(), nonce, now),
        };
        self.group = hello.group_id;
        let too_long = hello.device_name.len() > MAX_SEALED_NAME
            || hello.access_token.as_ref().is_some_and(|t| t.expose_str().len() > MAX_ACCESS_TOKEN);
        if envelope.group_id != hello.group_id {
            return self.misused("HELLO and its envelope name two groups", nonce, now);
        }
        if hello.version == 0 {
            return self.fail(ErrorBody::new(ErrorCode::UnsupportedVersion), nonce, now);
        }
        if too_long {
            return self.misused("a field of HELLO is too long", nonce, now);
        }
        let (id, group) = (self.op_id(), self.group);
        let step = Step::KeyLog(id);
        self.phase = Phase::Entering(Box::new(Entry { step, hello, nonce }));
        let op = ReadOp::KeyLog { group };
        self.outputs.push_back(Output::Read { id, op });
    }

    pub(super) fn on_entry_stored(&mut self, id: OpId, reply: StoreReply, now: Now) {
        let Phase::Entering(entry) = core::mem::replace(&mut self.phase, Phase::Handshake) else {
            return;
        };
        match (&entry.step, reply) {
            (Step::KeyLog(asked), StoreReply::Read(ReadResult::KeyLog(known))) if *asked == id => {
                self.on_key_log(entry, known, now);
            }
            (Step::Admit(asked), StoreReply::Written(outcome)) if *asked == id => match outcome {
                Ok(WriteResult::Admitted(admitted)) => self.on_admitted(entry, admitted),
                Ok(_) => self.phase = Phase::Entering(entry),
                Err(refusal) => self.refuse_hello(refusal.into(), entry.nonce, now),
            },
            (Step::Backlog { id: asked, .. }, StoreReply::Read(ReadResult::Backlog(backlog)))
                if *asked == id =>
            {
                self.on_backlog(*entry, backlog, now);
            }
            // Removed between the two: the hub did not know it yet.
            (Step::Backlog { id: asked, .. }, StoreReply::Read(ReadResult::Refused(refusal)))
                if *asked == id =>
            {
                self.fail(refusal.into(), entry.nonce, now);
            }
            (
                Step::KeyLog(asked) | Step::Admit(asked) | Step::Backlog { id: asked, .. },
                StoreReply::Unavailable,
            ) if *asked == id => {
                let error = ErrorBody::new(ErrorCode::Unavailable).retry_after_ms(RETRY_MS);
                self.fail(error, entry.nonce, now);
            }
            _ => self.phase = Phase::Entering(entry),
        }
    }

    fn on_key_log(&mut self, mut entry: Box<Entry>, known: Option<KeyLog>, now: Now) {
        let log = match self.verify(&entry.hello, known) {
            Ok(log) => log,
            Err(code) => return self.refuse_hello(ErrorBody::new(code), entry.nonce, now),
        };
        let Some(device) = self.peer() else { return };
        let id = self.op_id();
        let hello = &mut entry.hello;
        let token = hello.access_token.take();
        let admit = Admit {
            group: self.group,
            device,
            name: core::mem::take(&mut hello.device_name),
            epoch: hello.epoch,
            key_log: log,
            last_cursor: hello.last_cursor,
            store_id: hello.store_id,
            may_create: self.relay.policy.group_creation.allows(token.as_ref().map(AccessToken::expose_str)),
            origin: None,
            now: now.unix,
        };
        entry.step = Step::Admit(id);
        self.phase = Phase::Entering(entry);
        let op = WriteOp::Admit(admit);
        self.outputs.push_back(Output::Write { id, op });
    }

    /// Verifies the log that the client brought, if any, and its proof; gives the log to keep when it
    /// is longer than the known one.
    fn verify(&self, hello: &Hello, known: Option<KeyLog>) -> Result<Option<KeyLog>, ErrorCode> {
        let refused = |error: KeyLogError| match error {
            KeyLogError::Conflict => ErrorCode::Conflict,
            KeyLogError::WrongGroup | KeyLogError::InvalidKey | KeyLogError::BadSignature => {
                ErrorCode::Unauthenticated
            }
        };
        let group = &self.group;
        let (brought, known) = (hello.key_log.as_ref(), known.as_ref());
        match (brought, known) {
            (Some(brought), Some(known)) => brought.verify_beyond(group, known).map_err(refused)?,
            (Some(brought), None) => brought.verify(group).map_err(refused)?,
            (None, _) => {}
        }
        let longer = brought.filter(|b| known.is_none_or(|known| b.links.len() > known.links.len()));
        let log = longer.or(known).ok_or(ErrorCode::EpochUnknown)?;
        let key = log.key(hello.epoch).ok_or(ErrorCode::EpochUnknown)?;
        let (Some(device_id), Some(handshake_hash)) = (self.peer(), self.line.handshake_hash()) else {
            return Err(ErrorCode::Unauthenticated);
        };
        let proof =
            MembershipProof { handshake_hash, group_id: group, epoch: hello.epoch, device_id: &device_id };
        proof.verify(key, &hello.proof).map_err(refused)?;
        Ok(longer.cloned())
    }

    fn on_admitted(&mut self, mut entry: Box<Entry>, admitted: Admitted) {
        let Some(device) = self.peer() else { return };
        self.admitted = true;
        entry.step = Step::Register(admitted);
        self.phase = Phase::Entering(entry);
        let group = self.group;
        self.outputs.push_back(Output::Register(Registration { group, device }));
    }

    pub(super) fn on_registered(&mut self, bucket: Arc<Bucket>) {
        let id = self.op_id();
        let Some(device) = self.peer() else { return };
        let Phase::Entering(entry) = &mut self.phase else {
            return;
        };
        let Step::Register(admitted) = &entry.step else {
            return;
        };
        let op = ReadOp::Backlog {
            group: self.group,
            device,
            last_cursor: known_cursor(&entry.hello, &self.relay),
            limit: MAX_PENDING_NOTIFY,
            inline: wants_inline(&entry.hello),
        };
        entry.step = Step::Backlog { id, admitted: admitted.clone(), bucket };
        self.outputs.push_back(Output::Read { id, op });
    }

    fn on_backlog(&mut self, entry: Entry, backlog: Backlog, now: Now) {
        let Entry { step, hello, nonce } = entry;
        let Step::Backlog { admitted, bucket, .. } = step else {
            return;
        };
        let last_cursor = known_cursor(&hello, &self.relay);
        let gone = last_cursor.max(backlog.oldest_cursor.prev());
        let pending = backlog.max_cursor.get().saturating_sub(gone.get());
        let policy = &self.relay.policy;
        let welcome = Welcome {
            version: hello.version.min(PROTOCOL_VERSION),
            relay_id: self.relay.name.clone(),
            max_cursor: backlog.max_cursor,
            pending_count: u32::try_from(pending).unwrap_or(u32::MAX),
            store_id: self.relay.store_id,
            oldest_cursor: backlog.oldest_cursor,
            at_cursor: backlog.at_cursor,
            epoch: admitted.epoch,
            max_blob_size: policy.max_blob_size,
            default_ttl: policy.default_ttl,
            features: hello.features & FEATURE_INLINE_NOTIFY,
        };
        self.line.set_max_envelope(policy.max_envelope());
        self.phase = Phase::Ready(Box::new(Member::new(
            hello.epoch,
            wants_inline(&hello),
            backlog.max_cursor,
            admitted.acked,
            bucket,
        )));
        self.send(welcome, nonce, now);
        for news in backlog.newest {
            self.notify(news, wants_inline(&hello), now);
        }
    }

    /// Says why a HELLO is refused. The session is over, unless bringing the key log would help.
    fn refuse_hello(&mut self, error: ErrorBody, nonce: Nonce, now: Now) {
        let refused = self.refused + 1;
        if error.code == ErrorCode::EpochUnknown.as_u16() && refused < MAX_HELLOS {
            self.phase = Phase::Hello { refused };
            self.send(error, nonce, now);
        } else {
            self.fail(error, nonce, now);
        }
    }
}

fn wants_inline(hello: &Hello) -> bool {
    hello.features & FEATURE_INLINE_NOTIFY != 0
}

/// What the device has, as far as it speaks of this store.
fn known_cursor(hello: &Hello, relay: &super::RelayIdentity) -> Cursor {
    if hello.store_id == relay.store_id { hello.last_cursor } else { Cursor::ZERO }
}
