//! A session's requests to storage, in its own order.
//!
//! Writes follow each other without waiting; a read waits for everything before it, so that a pull
//! sees what was pushed before it, and is alone on its way, so that a session never holds two pages.

use std::collections::VecDeque;

use sync_types::{BlobId, Cursor, Nonce};

use crate::store::{OpId, PullPage, WriteOp};

/// One request of the peer's.
pub(super) enum Request {
    Write { nonce: Nonce, op: WriteOp, purpose: Purpose },
    Pull { nonce: Nonce, page: PullPage },
    Devices { nonce: Nonce },
    Acknowledge(Cursor),
}

/// What a write is for, and so how it is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Push,
    PushBatch,
    Rotate,
    Delete(BlobId),
    Leave,
    GroupDelete,
}

impl Purpose {
    /// Whether the device goes away for good, if it is done.
    fn is_farewell(self) -> bool {
        matches!(self, Self::Leave | Self::GroupDelete)
    }
}

/// What is remembered of a request that storage has.
pub(super) enum Underway {
    Write { nonce: Nonce, bytes: usize, purpose: Purpose },
    Pull { nonce: Nonce, page: PullPage },
    Devices { nonce: Nonce },
    Acknowledge,
}

pub(super) struct Queue {
    waiting: VecDeque<Request>,
    underway: VecDeque<(OpId, Underway)>,
    unstored: usize,
    draining: bool,
    acked: Cursor,
    to_ack: Cursor,
}

impl Queue {
    /// Empty; the peer has acknowledged up to `acked`.
    pub(super) fn new(acked: Cursor) -> Self {
        Self {
            waiting: VecDeque::new(),
            underway: VecDeque::new(),
            unstored: 0,
            draining: false,
            acked,
            to_ack: acked,
        }
    }

    pub(super) fn add(&mut self, request: Request) {
        if self.draining {
            return;
        }
        if let Request::Write { op, .. } = &request {
            self.unstored += op.bytes();
        }
        self.waiting.push_back(request);
    }

    /// Acknowledgements overtake: only the newest matters, and one at a time is enough.
    pub(super) fn acknowledge(&mut self, cursor: Cursor) {
        self.to_ack = self.to_ack.max(cursor);
    }

    /// Takes nothing more; whether something is still under way.
    pub(super) fn drain(&mut self) -> bool {
        self.draining = true;
        for request in self.waiting.drain(..) {
            if let Request::Write { op, .. } = request {
                self.unstored -= op.bytes();
            }
        }
        !self.is_drained()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn is_drained(&self) -> bool {
        self.draining && self.underway.is_empty()
    }

    /// Bytes of blobs that are not stored yet.
    pub(super) fn unstored(&self) -> usize {
        self.unstored
    }

    /// Of those, the bytes that storage has been given.
    pub(super) fn submitted(&self) -> usize {
        let bytes = |(_, underway): &(OpId, Underway)| match underway {
            Underway::Write { bytes, .. } => *bytes,
            Underway::Pull { .. } | Underway::Devices { .. } | Underway::Acknowledge => 0,
        };
        self.underway.iter().map(bytes).sum()
    }

    /// Whether storage has been asked to let the device, or its whole group, go.
    pub(super) fn is_leaving(&self) -> bool {
        let leaves = |(_, underway): &(OpId, Underway)| match underway {
            Underway::Write { purpose, .. } => purpose.is_farewell(),
            Underway::Pull { .. } | Underway::Devices { .. } | Underway::Acknowledge => false,
        };
        self.underway.iter().any(leaves)
    }

    /// The next request that may go to storage; to be followed by [`started`](Self::started).
    pub(super) fn next(&mut self) -> Option<Request> {
        let acking = |(_, u): &(OpId, Underway)| matches!(u, Underway::Acknowledge);
        if self.to_ack > self.acked && !self.draining && !self.underway.iter().any(acking) {
            self.acked = self.to_ack;
            return Some(Request::Acknowledge(self.acked));
        }
        let may = match self.waiting.front()? {
            Request::Write { .. } | Request::Acknowledge(_) => {
                !self.underway.iter().any(|(_, u)| u.is_read())
            }
            Request::Pull { .. } | Request::Devices { .. } => self.underway.is_empty(),
        };
        if may { self.waiting.pop_front() } else { None }
    }

    pub(super) fn started(&mut self, id: OpId, underway: Underway) {
        self.underway.push_back((id, underway));
    }

    /// Storage has answered.
    pub(super) fn finished(&mut self, id: OpId) -> Option<Underway> {
        let at = self.underway.iter().position(|(other, _)| *other == id)?;
        let (_, underway) = self.underway.remove(at)?;
        if let Underway::Write { bytes, .. } = &underway {
            self.unstored -= bytes;
        }
        Some(underway)
    }
}

impl Underway {
    fn is_read(&self) -> bool {
        match self {
            Self::Pull { .. } | Self::Devices { .. } => true,
            Self::Write { .. } | Self::Acknowledge => false,
        }
    }
}
