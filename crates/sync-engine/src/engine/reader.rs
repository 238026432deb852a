//! The app's side of the log: pages, and the cursor that says what the app durably has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use litemap::LiteMap;
use sync_e2ee::chain::link_hash;
use sync_e2ee::{Content, Kind, Place, blob};
use sync_types::limits::{DEFAULT_PULL, MAX_PULL};
use sync_types::{
    Ack, BlobId, ChainId, Cursor, DeviceId, Devices, GroupDelete, InviteKey, LookupKey, Message, Pull,
    PullResponse, StoredBlob,
};

use super::intake::opened;
use super::request::Request;
use super::rotation::Wish;
use super::{Engine, Then};
use crate::api::{Blob, CommandId, Event, Page, PageEnd, Refused, Reply};
use crate::error::EngineError;
use crate::rows::{Change, PeerChain};
use crate::timer::Timer;
use crate::window::{Opened, Window};

/// An app that has read this recently is about to read more: pulling waits for it when the window is
/// full, so that nothing has to be fetched twice.
const READER_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of app data in one page asked for by cursor; one blob may go past it.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Cursors whose blob ids are remembered.
const MAX_IDS: usize = 4_096;

/// What an app waits for that may need the relay.
#[derive(Debug)]
pub(super) enum Wanted {
    Read { limit: u32 },
    Pull { after: Cursor, limit: u32 },
    Devices,
    Invite { lookup: LookupKey, key: InviteKey },
    Rotate(Wish),
    Leave,
    DeleteGroup,
}

/// What the app was given, and has not said it has.
#[derive(Debug)]
pub(super) struct Delivered {
    up_to: Cursor,
    items: VecDeque<(Cursor, Given)>,
    ids: BTreeMap<Cursor, BlobId>,
    /// What it was given of the generation before, and has not said it has.
    before_reset: Option<(u32, Vec<(Cursor, Given)>)>,
    /// The highest cursor that a page of this life named: an acknowledgement that does not say of which
    /// generation it is counts no further.
    bound: Cursor,
    /// Up to here the app knows that the log has holes.
    pub(super) truncated: Cursor,
    /// Up to here it knows what does not count of what was read before that was known.
    refused: Cursor,
}

/// The place of a blob that the app was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    sender: DeviceId,
    chain_id: ChainId,
    seq: u64,
}

impl From<&Opened> for Given {
    fn from(item: &Opened) -> Self {
        Self { sender: item.blob.sender, chain_id: item.chain_id, seq: item.seq }
    }
}

impl Delivered {
    pub(super) fn at(cursor: Cursor) -> Self {
        Self {
            up_to: cursor,
            items: VecDeque::new(),
            ids: BTreeMap::new(),
            before_reset: None,
            bound: cursor,
            truncated: Cursor::ZERO,
            refused: Cursor::ZERO,
        }
    }
    /// The relay's log starts anew.
    pub(super) fn start_over(&mut self, generation: u32) {
        if !self.items.is_empty() {
            self.before_reset = Some((generation, self.items.drain(..).collect()));
        }
        self.up_to = Cursor::ZERO;
        self.ids.clear();
        self.bound = Cursor::ZERO;
        self.truncated = Cursor::ZERO;
        self.refused = Cursor::ZERO;
    }

    /// Whether the app was given this before the relay started over.
    pub(super) fn before_reset(&self, sender: &DeviceId, place: &Place) -> bool {
        let given = Given { sender: *sender, chain_id: place.chain_id, seq: place.seq };
        self.before_reset.iter().flat_map(|(_, items)| items).any(|(_, item)| *item == given)
    }

    /// A page reached this far.
    fn named(&mut self, cursor: Cursor) {
        self.bound = self.bound.max(cursor);
    }

    /// Remembers which blob is at a cursor.
    pub(super) fn saw(&mut self, cursor: Cursor, blob_id: BlobId) {
        self.ids.insert(cursor, blob_id);
        if self.ids.len() > MAX_IDS {
            self.ids.pop_first();
        }
    }
}

impl Engine {
    /// Answers what can be answered without the relay.
    pub(super) fn serve_local(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (id, wanted) in waiting {
            let served = match &wanted {
                Wanted::Read { limit } => self.serve_read(id, *limit),
                Wanted::Invite { lookup, key } => self.serve_invite(id, lookup, key),
                Wanted::Pull { .. }
                | Wanted::Devices
                | Wanted::Rotate(_)
                | Wanted::Leave
                | Wanted::DeleteGroup => false,
            };
            if !served {
                self.waiting.push_back((id, wanted));
            }
        }
    }

    /// Answers those whose wait is in vain.
    pub(super) fn refuse_waiting(&mut self) {
        if let Some(error) = self.no_connection() {
            for (id, _) in std::mem::take(&mut self.waiting) {
                self.reply(id, Err(error.clone()));
            }
        }
    }

    /// Sends what may be sent now.
    pub(super) fn request(&mut self) {
        if !self.may_ask() {
            return;
        }
        // A rotation needs the log to stand still for a moment.
        if !self.rotation_waits() {
            self.send_outbox();
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (id, wanted) in waiting {
            match wanted {
                Wanted::Pull { .. } if self.is_catching_up() => self.waiting.push_back((id, wanted)),
                Wanted::Pull { after, limit } => self.ask_page(id, after, limit),
                Wanted::Rotate(wish) => {
                    if !self.try_rotate(id, &wish) {
                        self.waiting.push_back((id, Wanted::Rotate(wish)));
                    }
                }
                // What was pushed goes first; and should that never end, nothing has been said.
                Wanted::Leave if self.outbox.len() > 0 => self.waiting.push_back((id, wanted)),
                Wanted::Leave => self.leave(id),
                Wanted::DeleteGroup => {
                    self.send_request(Message::GroupDelete(GroupDelete), Request::DeleteGroup { id });
                }
                // Who joined a moment ago shall not look like a stranger.
                Wanted::Devices if !self.reached_end || self.is_catching_up() => {
                    self.waiting.push_back((id, wanted))
                }
                Wanted::Devices => self.send_request(Message::Devices(Devices), Request::Devices { id }),
                Wanted::Read { .. } => {
                    self.ask_again();
                    self.waiting.push_back((id, wanted));
                }
                Wanted::Invite { .. } => self.waiting.push_back((id, wanted)),
            }
        }
        self.say_goodbye();
        self.sync();
    }

    fn ask_page(&mut self, id: CommandId, after: Cursor, limit: u32) {
        let pull = Message::Pull(Pull { after_cursor: after, limit: page_size(limit) });
        self.send_request(pull, Request::Pull { id, after, limit });
    }

    /// Where the app's next page starts.
    pub(super) fn position(&self) -> Cursor {
        self.delivered.up_to.max(self.state.progress.app_cursor)
    }

    /// Fetches again what the app has not read and the window does not hold.
    fn ask_again(&mut self) {
        let after = self.position();
        let seen = self.state.progress.seen_cursor;
        if self.is_catching_up() {
            return;
        }
        if after < seen && !self.asked(|r| matches!(r, Request::Again { .. })) {
            let pull = Message::Pull(Pull { after_cursor: after, limit: DEFAULT_PULL });
            self.send_request(pull, Request::Again { after, seen });
        }
    }

    /// Answers a read from the window, or says that the log ends here.
    fn serve_read(&mut self, id: CommandId, limit: u32) -> bool {
        self.timers.set(Timer::Reader, self.now.mono.plus(READER_PATIENCE));
        if self.is_catching_up() {
            return false;
        }
        let limit = page_size(limit) as usize;
        while self.window.covers(self.position()) {
            let (items, reach) = self.window.take(self.position(), limit);
            self.delivered.up_to = reach;
            if !items.is_empty() {
                self.deliver(id, items);
                return true;
            }
        }
        let at_end = self.position() >= self.max_cursor && self.may_ask();
        if at_end {
            self.deliver(id, Vec::new());
        } else if self.window.end() != self.state.progress.seen_cursor
            && self.position() >= self.state.progress.seen_cursor
        {
            // The app has caught up with what was seen: from here on the window fills again.
            self.window = Window::at(self.state.progress.seen_cursor);
        }
        at_end
    }

    fn deliver(&mut self, id: CommandId, items: Vec<Opened>) {
        let max_cursor = self.position();
        let given: Vec<_> = items.iter().map(|item| (item.blob.cursor, Given::from(item))).collect();
        let blobs = items.into_iter().map(|item| item.blob).collect();
        let generation = self.state.progress.generation;
        let page = Page { generation, blobs, max_cursor, has_more: max_cursor < self.max_cursor };
        self.delivered.items.extend(given);
        self.delivered.named(max_cursor);
        self.reply(id, Ok(Reply::Page(page)));
    }

    /// The log before what was seen, once more: it becomes the window.
    pub(super) fn reread(
        &mut self,
        page: PullResponse,
        after: Cursor,
        seen: Cursor,
    ) -> Result<(), EngineError> {
        self.compare_again(&page, after, seen)?;
        self.window = Window::at(after);
        for entry in page.blobs.iter().filter(|entry| entry.cursor <= seen) {
            if self.window.is_full() {
                return Ok(());
            }
            self.delivered.saw(entry.cursor, entry.blob_id);
            // The relay may not show one blob at two places.
            let item = self.open_unread(entry).filter(|item| !self.is_given(item));
            if item.is_none() {
                self.refuse_again(entry);
            }
            self.window.extend(entry.cursor, item);
        }
        if !page.has_more || page.max_cursor > seen {
            // Whatever was between the page's end and what was seen is deleted. What came since is not.
            self.window.extend(seen, None);
        }
        Ok(())
    }

    /// Says of what was read before it was known what counts that it does not.
    fn refuse_again(&mut self, entry: &StoredBlob) {
        let (Some(payload), true) = (&entry.payload, entry.cursor > self.delivered.refused) else {
            return;
        };
        let sender = entry.sender_id;
        if let Some((epoch, content)) = self.open_blob(&entry.blob_id, &sender, payload)
            && sender != self.me()
        {
            let link = link_hash(&content, blob::hash(payload));
            if let Err(why @ Refused::AfterRemoval) =
                self.allowed(&sender, epoch, &content.place, &link, false)
            {
                self.delivered.refused = entry.cursor;
                self.refuse(entry, why);
            }
        }
    }

    /// Whether the app was given a blob, or is about to be.
    fn is_given(&self, item: &Opened) -> bool {
        let given = Given::from(item);
        self.delivered.items.iter().any(|(_, had)| *had == given) || self.window.holds(item)
    }

    /// Opens a blob of another device, unless the app has it.
    fn open_unread(&self, entry: &StoredBlob) -> Option<Opened> {
        if entry.sender_id == self.me() || self.is_hidden(entry.cursor) {
            return None;
        }
        let content = self.open_counting(entry)?;
        let chains = &self.state.peers.get(&entry.sender_id)?.chains;
        let app_next = chains.iter().find(|c| c.chain_id == content.place.chain_id).map_or(0, |c| c.app_next);
        let new =
            content.place.seq >= app_next && !self.delivered.before_reset(&entry.sender_id, &content.place);
        (content.kind == Kind::Data && new).then(|| opened(entry, content))
    }

    /// Opens a blob that counts.
    fn open_counting(&self, entry: &StoredBlob) -> Option<Content> {
        let payload = entry.payload.as_ref()?;
        let (epoch, content) = self.open_blob(&entry.blob_id, &entry.sender_id, payload)?;
        let link = link_hash(&content, blob::hash(payload));
        self.allowed(&entry.sender_id, epoch, &content.place, &link, false).ok()?;
        Some(content)
    }

    /// A page that the app asked for by cursor: everything readable, own blobs included.
    pub(super) fn pulled(
        &mut self,
        page: PullResponse,
        id: CommandId,
        after: Cursor,
        limit: u32,
    ) -> Result<(), EngineError> {
        if let Err(error) = self.compare_again(&page, after, self.state.progress.seen_cursor) {
            self.reply(id, Err(error.clone()));
            return Err(error);
        }
        let (mut blobs, mut bytes) = (Vec::new(), 0);
        let (mut max_cursor, mut has_more) = (page.max_cursor.max(after), page.has_more);
        for (index, entry) in page.blobs.iter().enumerate() {
            let blob = self.open_data(entry);
            bytes += blob.as_ref().map_or(0, |blob| blob.data.len());
            blobs.extend(blob);
            // Compressed blobs are larger here than on their way.
            if bytes >= MAX_PAGE_BYTES && index + 1 < page.blobs.len() {
                (max_cursor, has_more) = (entry.cursor, true);
                break;
            }
        }
        if blobs.is_empty() && has_more {
            self.ask_page(id, max_cursor, limit);
        } else {
            self.delivered.named(max_cursor);
            let generation = self.state.progress.generation;
            self.reply(id, Ok(Reply::Page(Page { generation, blobs, max_cursor, has_more })));
        }
        Ok(())
    }

    /// The relay has dropped blobs up to a cursor: said once.
    pub(super) fn truncated(&mut self, up_to: Cursor) {
        if up_to > self.delivered.truncated {
            self.delivered.truncated = up_to;
            self.event(Event::HistoryTruncated { up_to });
        }
    }

    /// Opens a blob for a page, own ones included.
    fn open_data(&self, entry: &StoredBlob) -> Option<Blob> {
        if self.is_hidden(entry.cursor) {
            return None;
        }
        let content = self.open_counting(entry)?;
        (content.kind == Kind::Data).then(|| opened(entry, content).blob)
    }

    /// The app says what it has.
    pub(super) fn app_ack(&mut self, id: CommandId, cursor: Cursor, generation: Option<u32>) {
        match generation {
            Some(generation) => self.app_has_page(PageEnd { generation, cursor }),
            None => self.acknowledge(cursor.min(self.delivered.bound)),
        }
        self.reply_when_stored(id, Reply::Done);
    }

    /// The app says which page it has when it asks for the next one. What it was given besides, it is
    /// given again.
    pub(super) fn app_has(&mut self, has: Option<PageEnd>) {
        if let Some(end) = has {
            self.app_has_page(end);
        }
        if self.delivered.up_to > self.state.progress.app_cursor {
            self.delivered.up_to = self.state.progress.app_cursor;
            self.delivered.items.clear();
        }
    }

    fn app_has_page(&mut self, end: PageEnd) {
        if end.generation == self.state.progress.generation {
            self.acknowledge(end.cursor);
        } else if let Some((generation, given)) = self.delivered.before_reset.take() {
            // The page was of a log that is gone: it is not to be shown again when it comes back.
            if generation == end.generation {
                let read = given.into_iter().filter(|(at, _)| *at <= end.cursor).map(|(_, given)| given);
                let changes = self.mark_given(read.collect());
                self.store(changes);
            }
        }
    }

    fn acknowledge(&mut self, cursor: Cursor) {
        let seen = self.state.progress.seen_cursor;
        let cursor = cursor.min(seen);
        if cursor <= self.state.progress.app_cursor {
            return;
        }
        let mut changes = self.mark_read(cursor);
        if cursor == seen {
            changes.extend(self.mark_all_read());
        }
        let progress = &mut self.state.progress;
        progress.app_cursor = cursor;
        progress.app_blob = self.delivered.ids.get(&cursor).copied();
        let blob_id = progress.app_blob;
        changes.push(progress.change());
        self.delivered.ids = self.delivered.ids.split_off(&cursor);
        self.delivered.up_to = self.delivered.up_to.max(cursor);
        self.store(changes);
        self.then(Then::Ack(cursor, blob_id));
    }

    /// Notes in the senders' chains what the app has now.
    fn mark_read(&mut self, cursor: Cursor) -> Vec<Change> {
        let mut read: Vec<_> = self.window.drop_to(cursor).iter().map(Given::from).collect();
        while self.delivered.items.front().is_some_and(|(at, _)| *at <= cursor) {
            read.extend(self.delivered.items.pop_front().map(|(_, given)| given));
        }
        self.mark_given(read)
    }

    /// The app has everything that was seen, whoever it was given by.
    fn mark_all_read(&mut self) -> Vec<Change> {
        // After a reset a chain may reach further than what has come again.
        let behind = |chain: &PeerChain| chain.app_next < chain.history_next;
        let peers = self.state.peers.iter_mut().filter(|(_, peer)| peer.chains.iter().any(behind));
        peers
            .map(|(id, peer)| {
                peer.chains
                    .iter_mut()
                    .for_each(|chain| chain.app_next = chain.app_next.max(chain.history_next));
                peer.change(id)
            })
            .collect()
    }

    fn mark_given(&mut self, given: Vec<Given>) -> Vec<Change> {
        let mut senders: LiteMap<_, ()> = LiteMap::default();
        let generation = self.state.progress.generation;
        for Given { sender, chain_id, seq } in given {
            let chain = self.state.peers.entry(sender).or_default().chain(chain_id, generation);
            chain.app_next = chain.app_next.max(seq.saturating_add(1));
            senders.insert(sender, ());
        }
        senders.keys().filter_map(|id| Some(self.state.peers.get(id)?.change(id))).collect()
    }

    /// Tells the relay what the app has, now that this is durable.
    pub(super) fn app_cursor_durable(&mut self, cursor: Cursor, blob_id: Option<BlobId>) {
        // After a reset an older cursor means nothing.
        if cursor <= self.state.progress.app_cursor {
            self.durable = (cursor, blob_id);
            self.tell(&Message::Ack(Ack { cursor }));
        }
    }
}

fn page_size(limit: u32) -> u32 {
    if limit == 0 { DEFAULT_PULL } else { limit.min(MAX_PULL) }
}
