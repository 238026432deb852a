use sync_client::{Error, Event, Fault};

use crate::proxy::{Line, Proxy};
use crate::relay::Relay;
use crate::support::{Shortcuts, device, pair, wait_for};

#[tokio::test]
async fn two_devices_pair_by_code_and_hear_each_other() {
    let relay = Relay::start();
    let (a, b) = (device(&relay.url(), "laptop").await, device(&relay.url(), "phone").await);
    let mut events = a.client.subscribe();
    let invite = a.client.create_invite_connected().await;
    // As a person types it.
    b.client.join(&invite.code().to_lowercase().replace('-', " ")).await.unwrap();
    b.client.connect().await.unwrap();
    let joined = wait_for(&mut events, |event| matches!(event, Event::DeviceJoined { .. })).await;
    let Event::DeviceJoined { device_id, name, .. } = joined else { unreachable!() };
    assert_eq!((device_id, name.as_str()), (b.client.status().device_id, "phone"));
    assert_eq!(a.client.status().group_id, b.client.status().group_id);

    let mut names: Vec<_> = a.client.devices().await.unwrap().into_iter().map(|d| d.name).collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|name| name.as_ref().unwrap().as_str()).collect();
    assert_eq!(names, ["laptop", "phone"]);

    a.client.send("from a").await;
    b.client.send("from b").await;
    assert_eq!(b.client.read_until("from a").await, ["from a"]);
    assert_eq!(a.client.read_until("from b").await, ["from b"]);
}

#[tokio::test]
async fn a_link_and_a_qr_bring_the_relay_with_them() {
    let relay = Relay::start();
    let a = device(&relay.url(), "laptop").await;
    for form in ["link", "link to a page", "qr"] {
        let invite = a.client.create_invite_connected().await;
        assert!(matches!(invite.link_to("notes.example"), Err(Error::RelayUrl(_))));
        assert_eq!(invite.link_to(&relay.url()).unwrap(), invite.link());
        let text = match form {
            "link" => invite.link(),
            "qr" => invite.app_url("notes"),
            _ => invite.link_to("https://notes.example/app/").unwrap(),
        };
        assert_eq!(text.starts_with("https://notes.example/app/join#v1."), form == "link to a page");
        // A device that knows another relay: the link counts.
        let b = device("http://127.0.0.1:9", form).await;
        b.client.join(&text).await.unwrap();
        b.client.connect().await.unwrap();
        b.client.send(form).await;
        assert_eq!(a.client.read_until(form).await, [form]);
    }
}

#[tokio::test]
async fn a_wrong_a_used_and_a_revoked_code_are_all_not_found() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let c = device(&relay.url(), "tablet").await;
    let refused = |error: Error| {
        assert_eq!(error.fault(), Fault::InviteNotFound);
        assert_eq!(error.to_string(), "no invite under this code: mistyped, used, or expired");
    };
    refused(c.client.join("0123-4567-89AB-CDEF").await.unwrap_err());

    let used = a.client.create_invite_connected().await;
    let d = device(&relay.url(), "desktop").await;
    d.client.join(&used.code()).await.unwrap();
    refused(c.client.join(&used.code()).await.unwrap_err());
    refused(c.client.join(&used.link()).await.unwrap_err());
    assert!(matches!(a.client.revoke_invite(&used).await, Err(Error::InviteUsed)));

    let revoked = b.client.create_invite().await.unwrap();
    b.client.revoke_last_invite().await.unwrap();
    refused(c.client.join(&revoked.code()).await.unwrap_err());
    assert!(matches!(b.client.revoke_last_invite().await, Err(Error::NothingToRevoke)));
}

#[tokio::test]
async fn of_two_joins_at_once_one_wins() {
    let relay = Relay::start();
    let a = device(&relay.url(), "laptop").await;
    let (b, c) = (device(&relay.url(), "b").await, device(&relay.url(), "c").await);
    let code = a.client.create_invite_connected().await.code();
    let (first, second) = tokio::join!(b.client.join(&code), c.client.join(&code));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let lost = first.err().or(second.err()).unwrap();
    assert!(matches!(lost, Error::InviteNotFound));
}

#[tokio::test]
async fn a_lost_answer_does_not_use_the_invite_up() {
    let relay = Relay::start();
    let proxy = Proxy::start(relay.address()).await;
    let (a, b) = (device(&relay.url(), "laptop").await, device(&proxy.url(), "phone").await);
    let code = a.client.create_invite_connected().await.code();
    proxy.set(Line::Deaf);
    let lose = async {
        proxy.lost_something().await;
        proxy.cut().await;
        proxy.set(Line::Open);
    };
    let (joined, ()) = tokio::join!(b.client.join(&code), lose);
    joined.unwrap();
    assert_eq!(b.client.status().group_id, a.client.status().group_id);
    // For anybody else it is used.
    let c = device(&relay.url(), "tablet").await;
    assert!(matches!(c.client.join(&code).await, Err(Error::InviteNotFound)));
}

#[tokio::test]
async fn a_device_with_a_group_does_not_use_an_invite_up() {
    let relay = Relay::start();
    let a = device(&relay.url(), "laptop").await;
    let member = device(&relay.url(), "member of another").await;
    member.client.push("makes a group").await.unwrap();
    let invite = a.client.create_invite_connected().await;
    assert!(matches!(member.client.join(&invite.code()).await, Err(Error::AlreadyInGroup)));
    let b = device(&relay.url(), "phone").await;
    b.client.join(&invite.code()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_invite_and_a_code_without_a_relay_are_refused_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let config =
        sync_client::SyncConfig { relay_url: None, ..crate::support::config("http://a", folder.path(), "x") };
    let client = sync_client::SyncClient::new(config).await.unwrap();
    for (text, is) in
        [("hello", "code"), ("https://relay.example/join", "link"), ("0123-4567-89AB-CDEF", "relay")]
    {
        let error = client.join(text).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Usage);
        assert!(error.to_string().contains(is), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_group_key_handed_out_beforehand_makes_members() {
    let relay = Relay::start();
    let mut devices = Vec::new();
    for name in ["one", "two"] {
        let folder = tempfile::TempDir::new().unwrap();
        let group_key = Some(sync_client::EpochSecret::from_bytes([7; 32]));
        let config = crate::support::config(&relay.url(), folder.path(), name);
        let client =
            sync_client::SyncClient::new(sync_client::SyncConfig { group_key, ..config }).await.unwrap();
        client.connect().await.unwrap();
        devices.push((client, folder));
    }
    devices[0].0.send("shared").await;
    assert_eq!(devices[1].0.read_until("shared").await, ["shared"]);
}
