//! What must hold of a device whatever its relay says.

use sync_engine::{Command, Event, Status};
use sync_types::{Cursor, Epoch};

use crate::liar::{Device, World};

/// Rows that a device may keep for each byte of an input, in bytes: a push is three bytes of a script, and
/// some hundred of the outbox.
const ROWS_PER_BYTE: usize = 512;
/// Rows that a device may keep besides, in bytes.
const ROWS_BESIDES: usize = 64 * 1024;
/// What devices may send for each byte of an input, in messages.
const SENT_PER_BYTE: usize = 16;
/// What they may send besides.
const SENT_BESIDES: usize = 500;

/// One device, from step to step.
#[derive(Debug)]
pub(super) struct Watch {
    epoch: Option<Epoch>,
    last_cursor: Cursor,
    /// The power went while something was being written.
    lost_writes: bool,
    /// It has proof that others were shown another log.
    forked: bool,
    /// It wanted to leave: what it has then is of no use.
    leaves: bool,
}

impl Watch {
    pub(super) fn new(device: &Device) -> Self {
        let Status { epoch, last_cursor, .. } = device.engine.status();
        Self { epoch, last_cursor, lost_writes: false, forked: false, leaves: false }
    }

    /// Its app wants something.
    pub(super) fn asked(&mut self, command: &Command) {
        self.leaves |= matches!(command, Command::Leave | Command::DeleteGroup);
    }

    /// Its power goes, and with it what was not written yet.
    pub(super) fn loses_power(&mut self, device: &Device) {
        if device.unwritten() > 0 {
            self.lost_writes = true;
            // What was never stored never was.
            self.epoch = None;
            self.last_cursor = Cursor::ZERO;
        }
    }

    /// Whether something may be shown twice: after a power cut that lost what was being written, a page; after a
    /// fork, of which its sender was told, what was pushed again because the relay showed its sender something else in
    /// its place.
    pub(super) fn explains_twice(&self) -> bool {
        self.lost_writes || self.forked
    }

    /// After a step, with what the app heard in it.
    pub(super) fn look(&mut self, device: &Device, events: &[Event]) {
        let Status { epoch, last_cursor, max_cursor, .. } = device.engine.status();
        self.forked |= events.iter().any(|event| matches!(event, Event::Forked { .. }));
        if events.iter().any(|event| matches!(event, Event::RelayReset)) {
            self.last_cursor = Cursor::ZERO;
        }
        assert!(self.leaves || epoch >= self.epoch, "an epoch went back, from {:?} to {epoch:?}", self.epoch);
        let before = self.last_cursor;
        assert!(last_cursor >= before, "a cursor went back without a word, from {before} to {last_cursor}");
        assert!(last_cursor <= max_cursor, "an app has {last_cursor}, and {max_cursor} is the newest");
        (self.epoch, self.last_cursor) = (epoch, last_cursor);
    }
}

/// Nothing grows by what a relay merely claims.
pub(super) fn bounded(world: &World, input: usize) {
    for device in &world.devices {
        let rows: usize = device.disk.iter().map(|(key, value)| key.len() + value.len()).sum();
        let most = ROWS_BESIDES + ROWS_PER_BYTE * input;
        assert!(rows <= most, "{rows} bytes of rows after an input of {input}");
    }
    let (sent, most) = (world.relay.heard.len(), SENT_BESIDES + SENT_PER_BYTE * input);
    assert!(sent <= most, "{sent} messages were sent for an input of {input}");
}
