//! The opened blobs that wait for the app: one run of the log without a hole.

use std::collections::VecDeque;

use sync_types::{ChainId, Cursor};

use crate::api::Blob;

/// Bytes of app data that a window holds at most; one blob may go past it.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Blobs that a window holds at most.
const MAX_ITEMS: usize = 4_096;

/// A blob with its place in its sender's chain.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) blob: Blob,
    pub(crate) chain_id: ChainId,
    pub(crate) seq: u64,
}

/// Everything after `start` and up to `end` that is the app's to read.
#[derive(Debug)]
pub(crate) struct Window {
    start: Cursor,
    end: Cursor,
    items: VecDeque<Opened>,
    bytes: usize,
}

impl Window {
    pub(crate) fn at(start: Cursor) -> Self {
        Self { start, end: start, items: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn end(&self) -> Cursor {
        self.end
    }

    /// Whether the blobs right after `cursor` are here.
    pub(crate) fn covers(&self, cursor: Cursor) -> bool {
        self.start <= cursor && cursor < self.end
    }

    /// Whether a blob is here already.
    pub(crate) fn holds(&self, item: &Opened) -> bool {
        self.items.iter().any(|held| held.blob.blob_id == item.blob.blob_id)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES || self.items.len() >= MAX_ITEMS
    }

    /// Extends the window to `cursor`, with the blob there if it is one for the app.
    pub(crate) fn extend(&mut self, cursor: Cursor, item: Option<Opened>) {
        self.end = cursor;
        if let Some(item) = item {
            self.bytes += item.blob.data.len();
            self.items.push_back(item);
        }
    }

    /// Takes the blobs after `from`, at most `limit`; and says how far they reach.
    pub(crate) fn take(&mut self, from: Cursor, limit: usize) -> (Vec<Opened>, Cursor) {
        self.drop_to(from);
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(item) = self.items.pop_front() else { break };
            self.bytes -= item.blob.data.len();
            taken.push(item);
        }
        // What was left out before the next blob for the app belongs to this page, too.
        let reach = self.items.front().map_or(self.end, |next| next.blob.cursor.prev());
        self.start = reach;
        (taken, reach)
    }

    /// Forgets everything up to `cursor`; gives back what was the app's.
    pub(crate) fn drop_to(&mut self, cursor: Cursor) -> Vec<Opened> {
        let mut dropped = Vec::new();
        while self.items.front().is_some_and(|item| item.blob.cursor <= cursor) {
            dropped.extend(self.items.pop_front().inspect(|item| self.bytes -= item.blob.data.len()));
        }
        self.start = self.start.max(cursor);
        self.end = self.end.max(self.start);
        dropped
    }
}

#[cfg(test)]
mod tests {
    use sync_types::{BlobId, DeviceSecret, UnixMs};

    use super::*;

    fn cursor(n: u64) -> Cursor {
        Cursor::new(n).unwrap()
    }

    fn item(n: u64) -> Opened {
        let blob = Blob {
            cursor: cursor(n),
            blob_id: BlobId([0; 16]),
            sender: DeviceSecret::from_bytes([1; 32]).id(),
            timestamp: UnixMs(0),
            data: vec![0; 10],
        };
        Opened { blob, chain_id: ChainId([0; 16]), seq: n }
    }

    #[test]
    fn a_page_reaches_to_just_before_the_next_blob() {
        let mut window = Window::at(cursor(5));
        for (n, for_app) in [(6, true), (7, false), (8, true), (9, false)] {
            window.extend(cursor(n), for_app.then(|| item(n)));
        }
        let (page, reach) = window.take(cursor(5), 1);
        assert_eq!((page[0].blob.cursor, reach), (cursor(6), cursor(7)));
        assert!(window.covers(cursor(7)));
        let (page, reach) = window.take(cursor(7), 10);
        assert_eq!((page.len(), reach), (1, cursor(9)));
        assert!(!window.covers(cursor(9)));
        assert_eq!(window.bytes, 0);
    }

    #[test]
    fn what_the_app_has_is_forgotten() {
        let mut window = Window::at(Cursor::ZERO);
        (1..=4).for_each(|n| window.extend(cursor(n), Some(item(n))));
        assert_eq!(window.drop_to(cursor(3)).len(), 3);
        assert!(!window.covers(cursor(2)) && window.covers(cursor(3)));
        assert!(window.drop_to(cursor(9)).len() == 1 && window.end() == cursor(9));
    }
}
