//! What one session has yet to hear: bounded, whatever the others do.

use std::collections::{BTreeMap, VecDeque};

use sync_types::{DeviceId, PeerPresence};

use super::Delivery;
use crate::store::News;

/// Most blobs that a session is told of one by one. Beyond, the newest stands for all: its cursor lets
/// the session pull the rest.
pub(super) const MAX_NEWS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    news: VecDeque<News>,
    presence: BTreeMap<DeviceId, PeerPresence>,
    replaced: Replaced,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Replaced {
    #[default]
    No,
    ToTell,
    Told,
}

impl Mailbox {
    pub(super) fn news(&mut self, news: News) {
        if self.is_replaced() {
            return;
        }
        if self.news.len() >= MAX_NEWS {
            self.news.clear();
        }
        self.news.push_back(news);
    }

    pub(super) fn presence(&mut self, presence: PeerPresence) {
        if !self.is_replaced() {
            self.presence.insert(presence.device_id, presence);
        }
    }

    pub(super) fn replace(&mut self) {
        if self.replaced == Replaced::No {
            self.news.clear();
            self.presence.clear();
            self.replaced = Replaced::ToTell;
        }
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.replaced != Replaced::No
    }

    pub(super) fn take(&mut self) -> Option<Delivery> {
        if self.replaced == Replaced::ToTell {
            self.replaced = Replaced::Told;
            return Some(Delivery::Replaced);
        }
        if let Some(news) = self.news.pop_front() {
            return Some(Delivery::News(news));
        }
        let (_, presence) = self.presence.pop_first()?;
        Some(Delivery::Presence(presence))
    }
}

#[cfg(test)]
impl super::Member {
    pub(super) fn mailbox_len(&self) -> usize {
        self.mailbox.news.len()
    }
}
