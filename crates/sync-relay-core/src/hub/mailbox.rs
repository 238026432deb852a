//! What one session has yet to hear: bounded, whatever the others do.

use std::collections::{BTreeMap, VecDeque};

use sync_types::{DeviceId, PeerPresence};

use super::{Delivery, Ending};
use crate::store::News;

/// Most blobs that a session is told of one by one. Beyond, the newest stands for all: its cursor lets
/// the session pull the rest.
pub(super) const MAX_NEWS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    news: VecDeque<News>,
    presence: BTreeMap<DeviceId, PeerPresence>,
    ended: Ended,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Ended {
    #[default]
    No,
    ToTell(Ending),
    Told,
}

impl Mailbox {
    pub(super) fn news(&mut self, news: News) {
        if self.is_ended() {
            return;
        }
        if self.news.len() >= MAX_NEWS {
            self.news.clear();
        }
        self.news.push_back(news);
    }

    pub(super) fn presence(&mut self, presence: PeerPresence) {
        if !self.is_ended() {
            self.presence.insert(presence.device_id, presence);
        }
    }

    /// Nothing is heard after this. The first reason is the one that is told.
    pub(super) fn end(&mut self, why: Ending) {
        if self.ended == Ended::No {
            self.news.clear();
            self.presence.clear();
            self.ended = Ended::ToTell(why);
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended != Ended::No
    }

    pub(super) fn take(&mut self) -> Option<Delivery> {
        if let Ended::ToTell(why) = self.ended {
            self.ended = Ended::Told;
            return Some(Delivery::Ended(why));
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
