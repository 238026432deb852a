//! Warnings that are told only once: kept until a webview is there to hear them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::events::Told;

/// So many are kept: a relay can cause as many as it likes.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Whether a webview listens.
    heard: bool,
    missed: Vec<Told>,
}

impl Warnings {
    /// A webview listens from now on: what it has missed.
    pub(crate) fn listen(&self) -> Vec<Told> {
        let mut kept = self.kept();
        kept.heard = true;
        std::mem::take(&mut kept.missed)
    }

    /// No webview is there any more.
    pub(crate) fn nobody_listens(&self) {
        self.kept().heard = false;
    }

    /// Gives back what is to be told now.
    pub(crate) fn pass(&self, told: Told) -> Option<Told> {
        let mut kept = self.kept();
        if !told.is_warning || kept.heard {
            return Some(told);
        }
        if kept.missed.len() < MOST {
            kept.missed.push(told);
        }
        None
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sync_client::Event;

    use super::*;
    use crate::events::told;

    #[test]
    fn warnings_wait_for_a_webview_and_other_events_do_not() {
        let warnings = Warnings::default();
        assert!(warnings.pass(told(&Event::Connected)).is_some());
        assert!(warnings.pass(told(&Event::InviteMisused)).is_none());
        assert_eq!(warnings.listen(), [told(&Event::InviteMisused)]);
        assert!(warnings.pass(told(&Event::InviteMisused)).is_some());
        assert!(warnings.listen().is_empty(), "what was heard is not told twice");
        warnings.nobody_listens();
        for _ in 0..2 * MOST {
            assert!(warnings.pass(told(&Event::RestoreWaits)).is_none());
        }
        assert_eq!(warnings.listen().len(), MOST);
    }
}
