//! Whether an invite was taken: its maker's device looks, for whoever takes it announces himself, or is
//! somebody who should not have it.

use std::time::Duration;

use sync_engine::Status;
use sync_types::UnixMs;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::http::{self, Fate, Place};
use crate::request::{Answer, Ask, Request};
use crate::{Error, SyncClient};

/// How often to look.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// However long the relay asks to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// An invite that was taken in its last moment is still known as taken for a while.
const GRACE: Duration = Duration::from_secs(30);

/// Looks until the invite was taken, or is over, or nobody uses the client any more.
pub(super) fn spawn(
    client: &SyncClient,
    invite: Place,
    expires_at: UnixMs,
    pause: Duration,
) -> JoinHandle<()> {
    let (requests, status) = client.observe();
    let clock = client.clock();
    tokio::spawn(async move {
        let taken = tokio::select! {
            taken = is_taken(&invite, clock, expires_at, pause) => taken,
            () = closed(status) => false,
        };
        if let Some(requests) = requests.upgrade().filter(|_| taken) {
            let _ = requests.send(Request::Ask(Ask::InviteTaken, Answer::Nobody));
        }
    })
}

async fn is_taken(invite: &Place, clock: Clock, expires_at: UnixMs, pause: Duration) -> bool {
    let mut wait = pause;
    while clock.unix() < expires_at.plus(GRACE) {
        sleep(wait).await;
        wait = match http::fate_of_invite(invite).await {
            Ok(Fate::Claimed) => return true,
            Ok(Fate::Gone) => return false,
            Err(Error::TooManyRequests { seconds }) => {
                Duration::from_secs(seconds).clamp(pause, LONGEST_PAUSE)
            }
            Ok(Fate::Pending) | Err(_) => pause,
        };
    }
    false
}

/// Ends when the client's driver does.
async fn closed(mut status: watch::Receiver<Status>) {
    while status.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sync_types::{LookupKey, RelayUrl};

    use super::*;
    use crate::http::tests::{relay, with_body};
    use crate::{Keychain, SyncConfig};

    const SOON: Duration = Duration::from_millis(1);

    fn place(relay: RelayUrl) -> Place {
        Place { relay, lookup: LookupKey([1; 16]), revoke_token: "token".to_owned() }
    }

    fn status(text: &str) -> String {
        with_body("200 OK", &format!(r#"{{"status":"{text}"}}"#))
    }

    async fn looked(answers: &[String]) -> (bool, usize) {
        let (url, asked) = relay(answers.to_vec()).await;
        let clock = Clock::start(SystemTime::now);
        let until = clock.unix().plus(Duration::from_secs(600));
        let taken = is_taken(&place(url), clock, until, SOON).await;
        let asked = asked.await.unwrap();
        assert!(asked.iter().all(|request| request.to_lowercase().contains("authorization: bearer token")));
        (taken, asked.len())
    }

    #[tokio::test]
    async fn it_looks_until_the_invite_was_taken_or_is_gone() {
        let trouble = with_body("503 Service Unavailable", "");
        let wait = with_body("429 Too Many Requests\r\nretry-after: 0", "");
        let answers = [status("pending"), trouble, wait, status("pending"), status("claimed")];
        assert_eq!(looked(&answers).await, (true, 5));
        assert_eq!(looked(&[status("pending"), status("gone")]).await, (false, 2));
    }

    #[tokio::test]
    async fn it_stops_when_the_invite_is_over_or_the_client_is_dropped() {
        let nowhere: RelayUrl = "http://127.0.0.1:9".parse().unwrap();
        let clock = Clock::start(SystemTime::now);
        assert!(!is_taken(&place(nowhere.clone()), clock, UnixMs(1_000), SOON).await);

        let folder = tempfile::tempdir().unwrap();
        let config = SyncConfig { keychain: Keychain::Off, ..SyncConfig::default().in_folder(folder.path()) };
        let client = SyncClient::new(config).await.unwrap();
        let until = clock.unix().plus(Duration::from_secs(600));
        let watching = spawn(&client, place(nowhere), until, Duration::from_secs(600));
        drop(client);
        watching.await.unwrap();
    }
}
