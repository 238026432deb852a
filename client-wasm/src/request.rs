//! What a device asks of its driver.

use futures_channel::oneshot;
use sync_engine::{Change, Command, Reply};
use sync_types::{BlobId, Cursor, ErrorCode};
use zeroize::Zeroizing;

use crate::Error;
use crate::socket::{Incoming, SocketId};

/// Everything that reaches the driver comes this way.
pub(crate) enum Message {
    /// A command for the engine.
    Ask(Command, Answer),
    /// A push, with whether this very tab waits for it.
    Push(Push, Answer),
    /// The network or the window came back.
    Woke,
    /// Something came from a WebSocket.
    Socket(SocketId, Incoming),
    /// The browser closed the store.
    StoreLost,
    /// Gives a row of this crate's own.
    Recall(Vec<u8>, oneshot::Sender<Option<Zeroizing<Vec<u8>>>>),
    /// Stores a row of this crate's own.
    Remember(Change, oneshot::Sender<Result<(), Error>>),
    /// Gives the results of pushes that were left behind.
    Outcomes(Vec<BlobId>, oneshot::Sender<Vec<Outcome>>),
    /// Ends the driver.
    Close(oneshot::Sender<()>),
}

/// What became of a push.
pub(crate) type Outcome = (BlobId, Result<Cursor, ErrorCode>);

/// Data to push.
pub(crate) struct Push {
    pub(crate) data: Zeroizing<Vec<u8>>,
    pub(crate) ttl: Option<u32>,
    pub(crate) token: [u8; 16],
    /// Whether the result matters to this tab only.
    pub(crate) own: bool,
}

/// Who waits for a command's answer. Dropped unanswered, it means that the client was closed.
pub(crate) struct Answer(Option<oneshot::Sender<Result<Reply, Error>>>);

impl Answer {
    pub(crate) fn nobody() -> Self {
        Self(None)
    }

    pub(crate) fn to(asker: oneshot::Sender<Result<Reply, Error>>) -> Self {
        Self(Some(asker))
    }

    pub(crate) fn give(self, result: Result<Reply, Error>) {
        if let Some(asker) = self.0 {
            // Who does not wait any more needs no answer.
            let _ = asker.send(result);
        }
    }
}

impl Push {
    pub(crate) fn command(self) -> Command {
        Command::Push { data: self.data, ttl: self.ttl, token: Some(self.token) }
    }
}
