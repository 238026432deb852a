//! Promises about invites.

use sync_relay_core::Policy;
use sync_relay_core::store::{InviteStatus, Refusal, RevokeInvite, WriteOp, WriteResult};
use sync_types::UnixMs;

use super::Fixture;
use super::tools::{TOKEN, apply, claim, claimed, invite, status, write};

pub(super) async fn an_invite_is_claimed_once<F: Fixture>(fixture: &F) {
    let store = fixture.fresh(Policy::default()).await;
    let gone = Err(Refusal::InviteNotFound);
    assert_eq!(claimed(&store, claim("one", None, 0)).await, gone);
    assert_eq!(write(&store, invite("one", 0)).await, Ok(WriteResult::InviteCreated));
    assert_eq!(write(&store, invite("one", 1)).await, Err(Refusal::InviteTaken));
    assert_eq!(status(&store, "one", TOKEN, 1).await, InviteStatus::Pending);
    let race = apply(&store, &[claim("one", None, 5), claim("one", None, 5)]).await;
    assert!(race[0].is_ok(), "of two at once, one gets it");
    assert_eq!(race[1], Err(Refusal::InviteNotFound));
    assert_eq!(status(&store, "one", TOKEN, 6).await, InviteStatus::Claimed);
    assert_eq!(status(&store, "one", [8; 32], 6).await, InviteStatus::Gone);

    write(&store, invite("two", 0)).await.expect("laid down");
    let me = Some([1; 32]);
    assert_eq!(claimed(&store, claim("two", me, 1000)).await, Ok(b"two".to_vec()));
    let store = fixture.reopen(store).await;
    assert_eq!(claimed(&store, claim("two", me, 60_999)).await, Ok(b"two".to_vec()), "a lost response");
    assert_eq!(claimed(&store, claim("two", Some([2; 32]), 2000)).await, gone);
    assert_eq!(claimed(&store, claim("two", None, 2000)).await, gone);
    assert_eq!(claimed(&store, claim("two", me, 61_000)).await, gone);
}

pub(super) async fn an_invite_expires_and_is_taken_back<F: Fixture>(fixture: &F) {
    let store = fixture.fresh(Policy::default()).await;
    let revoke = |lookup: &str, revoke_hash| {
        WriteOp::RevokeInvite(RevokeInvite { lookup: lookup.to_owned(), revoke_hash, now: UnixMs(5) })
    };
    for lookup in ["one", "two", "three"] {
        write(&store, invite(lookup, 0)).await.expect("laid down");
    }
    assert_eq!(write(&store, revoke("one", [8; 32])).await, Err(Refusal::InviteNotFound));
    assert_eq!(write(&store, revoke("one", TOKEN)).await, Ok(WriteResult::InviteRevoked));
    assert_eq!(write(&store, revoke("one", TOKEN)).await, Err(Refusal::InviteNotFound));
    assert_eq!(claimed(&store, claim("one", None, 6)).await, Err(Refusal::InviteNotFound));
    assert_eq!(status(&store, "one", TOKEN, 6).await, InviteStatus::Gone);
    claimed(&store, claim("two", None, 6)).await.expect("given");
    assert_eq!(write(&store, revoke("two", TOKEN)).await, Err(Refusal::InviteUsed));
    assert_eq!(status(&store, "three", TOKEN, 600_000).await, InviteStatus::Gone);
    assert_eq!(claimed(&store, claim("three", None, 600_000)).await, Err(Refusal::InviteNotFound));
    let again = write(&store, invite("three", 600_000)).await;
    assert_eq!(again, Ok(WriteResult::InviteCreated), "in an expired one's place");
}
