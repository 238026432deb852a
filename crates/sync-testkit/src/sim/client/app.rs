//! What an app does, what it is told, and what it remembers.

use std::collections::{BTreeMap, BTreeSet};

use sync_engine::{Command, Event, Page, PageEnd, StopReason};
use sync_types::{BlobId, Cursor, DeviceId, ErrorCode};
use zeroize::Zeroizing;

use super::{Asked, ascending};
use crate::sim::World;

/// What an app remembers over crashes of its device.
#[derive(Debug, Default)]
pub(in crate::sim) struct App {
    /// What it pushed and was promised, by blob id.
    pub(in crate::sim) promised: BTreeMap<BlobId, Vec<u8>>,
    /// What it pushed without hearing of it again: the device crashed before.
    pub(in crate::sim) unheard: Vec<Vec<u8>>,
    /// What the relay acknowledged, with its cursor.
    pub(in crate::sim) acked: BTreeMap<BlobId, Cursor>,
    /// What it read, by the number of the relay's store and the cursor.
    pub(in crate::sim) read: BTreeMap<(usize, Cursor), (DeviceId, Vec<u8>)>,
    /// Of whose blobs it was told that some were refused, or missing.
    pub(in crate::sim) warned_of: BTreeSet<DeviceId>,
    /// What it was told not to count on; a rotation that comes back late may say that it counts.
    pub(super) refused: BTreeSet<(usize, Cursor)>,
    /// Who has joined, as far as it was told.
    pub(super) joined: BTreeSet<DeviceId>,
    /// How often the relay was reset, as far as it heard.
    pub(in crate::sim) resets: usize,
    /// Up to here it has everything, by its own book.
    pub(in crate::sim) saved: Cursor,
    /// What it read and its device had not stored as read when it crashed: it may be shown again.
    pub(in crate::sim) may_repeat: BTreeSet<Vec<u8>>,
    /// What its device knew to be read when the app last looked.
    pub(super) known_read: Cursor,
    /// What it read of a store that is gone, and its device did not know to be read when it was lost.
    pub(super) unsure: Vec<Vec<u8>>,
    /// The end of the last page that it saved; not every app remembers that over a crash.
    pub(super) has: Option<PageEnd>,
    pub(super) pushed: u64,
}

impl World {
    pub(in crate::sim) fn app_pushes(&mut self, n: usize) -> Result<(), String> {
        for _ in 0..1 + self.below(4) {
            let size = match self.below(30) {
                0 => 70_000,
                1 => 6_000,
                2 => 0,
                _ => self.below(300),
            };
            let app = &mut self.clients[n].app;
            app.pushed += 1;
            let mut data = format!("{n}:{}:", app.pushed).into_bytes();
            data.resize(data.len() + size as usize, b'.');
            let command = Command::Push { data: Zeroizing::new(data.clone()), ttl: None, token: None };
            self.command(n, Asked::Push(data), command)?;
        }
        Ok(())
    }

    pub(in crate::sim) fn app_reads(&mut self, n: usize) -> Result<(), String> {
        if std::mem::take(&mut self.clients[n].agrees) {
            self.command(n, Asked::Other, Command::Restore)?;
        }
        if self.clients[n].asked.values().any(|asked| matches!(asked, Asked::Read)) {
            return Ok(());
        }
        let limit = [0, 1, 7][self.below(3) as usize];
        let has = self.clients[n].app.has;
        self.command(n, Asked::Read, Command::Read { limit, has })
    }

    pub(in crate::sim) fn app_pages(&mut self, n: usize) -> Result<(), String> {
        let newest = self.clients[n].app.saved.get();
        let after = Cursor::new(self.below(newest + 1)).unwrap_or_default();
        self.command(n, Asked::Pull { after }, Command::Pull { after, limit: 5 })
    }

    pub(in crate::sim) fn app_acks(&mut self, n: usize) -> Result<(), String> {
        let Some(end) = self.clients[n].app.has else { return Ok(()) };
        let command = Command::Ack { cursor: end.cursor, generation: Some(end.generation) };
        self.command(n, Asked::Other, command)
    }

    pub(super) fn heard(&mut self, n: usize, event: Event) -> Result<(), String> {
        if let Event::DeviceRemoved { device_id, .. } = &event
            && let Some(client) = self.clients.iter_mut().find(|client| client.id == *device_id)
        {
            client.removed = true;
        }
        let stopped = matches!(event, Event::Disconnected { stopped: Some(_) });
        // Of two keys for one epoch, made before and after the relay lost its store, the one that comes back
        // first counts: whoever has the other one needs another invite.
        let outdone = self.rotation_lost
            && matches!(
                &event,
                Event::Disconnected {
                    stopped: Some(StopReason::Refused { code: ErrorCode::Unauthenticated, .. })
                }
            );
        self.clients[n].removed |= stopped && (outdone || self.clients[n].may_be_outside());
        let outside = !self.takes_part(n);
        let quiet = |id| self.clients.iter().any(|c| c.id == id && c.app.acked.is_empty());
        // A newcomer that crashed before it could announce itself is named, and rightly.
        if matches!(event, Event::UnknownDevice { device_id } if quiet(device_id)) {
            return Ok(());
        }
        // A rotation may overtake what comes back after a reset: said, and then pushed again.
        let overtaken = self.rotation_lost
            && matches!(
                event,
                Event::BlobRefused { .. }
                    | Event::ChainBroken { .. }
                    | Event::RotationRefused { .. }
                    | Event::PushRenamed { .. }
            );
        let app = &mut self.clients[n].app;
        if let Event::DeviceJoined { device_id, .. } = &event {
            app.joined.insert(*device_id);
        }
        if let Event::BlobRefused { sender, .. } | Event::ChainBroken { sender, .. } = &event {
            app.warned_of.insert(*sender);
        }
        match event {
            Event::RelayReset => {
                let (life, known) = (app.resets, app.known_read);
                let unsure = app.read.range((life, known.next())..(life + 1, Cursor::ZERO));
                app.unsure.extend(unsure.map(|(_, (_, data))| data.clone()));
                app.resets += 1;
                app.known_read = Cursor::ZERO;
                app.saved = Cursor::ZERO;
                if !self.plan.wipes {
                    return Err(format!("client {n} saw a reset where there was none"));
                }
            }
            Event::RestoreWaits => self.clients[n].agrees = true,
            Event::PushRenamed { from, .. } if outside || overtaken => {
                self.renamed.extend(app.promised.get(&from).cloned());
            }
            Event::BlobRefused { cursor, .. } if outside || overtaken => {
                app.refused.insert((app.resets, cursor));
            }
            _ if outside || overtaken => {}
            Event::PushAcked { blob_id, cursor } => {
                if let Some(before) = app.acked.insert(blob_id, cursor)
                    && before != cursor
                    && !self.plan.wipes
                {
                    return Err(format!("client {n}: {blob_id:?} was acked as {before} and as {cursor}"));
                }
            }
            Event::HistoryTruncated { .. } if self.plan.wipes => {}
            event @ (Event::PushRejected { .. }
            | Event::PushRenamed { .. }
            | Event::BlobRefused { .. }
            | Event::ChainBroken { .. }
            | Event::Forked { .. }
            | Event::RotationRefused { .. }
            | Event::RotationWithheld { .. }
            | Event::UnknownDevice { .. }
            | Event::InviteMisused
            | Event::HistoryTruncated { .. }
            | Event::Disconnected { stopped: Some(_) }) => {
                return Err(format!("client {n}: {event:?}"));
            }
            Event::Connected
            | Event::Disconnected { stopped: None }
            | Event::BlobAvailable { .. }
            | Event::RelayFull { .. }
            | Event::DeviceJoined { .. }
            | Event::DeviceRemoved { .. }
            | Event::KeyRotated { .. }
            | Event::PresenceChanged { .. }
            | Event::RelayMisbehaved => {}
        }
        Ok(())
    }

    /// The app saves a page together with its cursor. After a crash it may be given a page again; it
    /// must then be the same one.
    pub(super) fn app_saves(&mut self, n: usize, page: Page) -> Result<(), String> {
        ascending(&page, Cursor::ZERO)?;
        let me = self.clients[n].id;
        let app = &mut self.clients[n].app;
        app.has = Some(page.end());
        for blob in page.blobs {
            let at = format!("client {n} cursor {}", blob.cursor);
            if blob.sender == me {
                return Err(format!("{at}: an own blob"));
            }
            let new = (blob.sender, blob.data);
            match app.read.get(&(app.resets, blob.cursor)) {
                Some(known) if *known != new => return Err(format!("{at}: another blob than before")),
                Some(_) if blob.cursor > app.saved => return Err(format!("{at}: read before it was there")),
                Some(_) => {}
                // What was left out after a reset, as read before it, may be shown after a crash.
                None if blob.cursor <= app.saved
                    && !app.refused.contains(&(app.resets, blob.cursor))
                    && !app.may_repeat.contains(&new.1) =>
                {
                    return Err(format!("{at}: appeared behind the reader"));
                }
                None => {
                    app.read.insert((app.resets, blob.cursor), new);
                }
            }
        }
        app.saved = app.saved.max(page.max_cursor);
        Ok(())
    }
}
