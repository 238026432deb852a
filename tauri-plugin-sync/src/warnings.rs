//! Warnings that are told only once: kept until a webview is there to hear them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::events::Told;

/// So many are kept: a relay can cause as many as it likes.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The webviews that listen, and the window of each.
    listening: BTreeMap<String, String>,
    missed: Vec<Told>,
}

impl Warnings {
    /// The page in this webview listens from now on: what nobody has heard.
    pub(crate) fn listen(&self, webview: &str, window: &str) -> Vec<Told> {
        let mut kept = self.kept();
        kept.listening.insert(webview.to_owned(), window.to_owned());
        std::mem::take(&mut kept.missed)
    }

    /// The page that was in this webview is gone.
    pub(crate) fn page_is_gone(&self, webview: &str) {
        self.kept().listening.remove(webview);
    }

    /// This window is gone, with what was in it.
    pub(crate) fn window_is_gone(&self, gone: &str) {
        self.kept().listening.retain(|_, window| window != gone);
    }

    /// What they were about is gone.
    pub(crate) fn forget(&self) {
        self.kept().missed.clear();
    }

    /// Gives back what is to be told now.
    pub(crate) fn pass(&self, told: Told) -> Option<Told> {
        let mut kept = self.kept();
        if !told.is_warning || !kept.listening.is_empty() {
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

    /// Whether a warning is told at once.
    fn is_heard(warnings: &Warnings) -> bool {
        warnings.pass(told(&Event::InviteMisused)).is_some()
    }

    #[test]
    fn warnings_wait_for_a_webview_and_other_events_do_not() {
        let warnings = Warnings::default();
        assert!(warnings.pass(told(&Event::Connected)).is_some());
        assert!(!is_heard(&warnings));
        assert_eq!(warnings.listen("main", "main"), [told(&Event::InviteMisused)]);
        assert!(is_heard(&warnings));
        assert!(warnings.listen("main", "main").is_empty(), "what was heard is not told twice");
    }

    #[test]
    fn somebody_hears_as_long_as_one_page_that_listens_is_there() {
        let warnings = Warnings::default();
        warnings.listen("notes", "left");
        warnings.listen("search", "right");
        warnings.page_is_gone("a page that never listened");
        warnings.page_is_gone("notes");
        assert!(is_heard(&warnings));
        warnings.window_is_gone("left");
        assert!(is_heard(&warnings));
        warnings.window_is_gone("right");
        assert!(!is_heard(&warnings));
    }

    #[test]
    fn what_is_forgotten_is_told_to_nobody() {
        let warnings = Warnings::default();
        assert!(!is_heard(&warnings));
        warnings.forget();
        assert_eq!(warnings.listen("main", "main"), []);
    }

    #[test]
    fn no_more_is_kept_than_a_person_reads() {
        let warnings = Warnings::default();
        for _ in 0..2 * MOST {
            assert!(!is_heard(&warnings));
        }
        assert_eq!(warnings.listen("main", "main").len(), MOST);
    }
}
