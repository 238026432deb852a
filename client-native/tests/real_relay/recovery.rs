use sync_client::{
    Cursor, Error, ErrorCode, Fault, PassphraseError, PassphraseGroup, PhraseError, SyncClient, SyncConfig,
};

use crate::relay::Relay;
use crate::support::{Device, Shortcuts, alarms, config, device, pair, texts};

#[tokio::test]
async fn when_every_device_is_lost_a_file_and_six_words_bring_the_group_back() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    a.client.rotate(true).await.unwrap();
    a.client.send("remember me").await;
    let kept = tempfile::TempDir::new().unwrap();
    let path = kept.path().join("recovery");
    let recovery = a.client.export_recovery().await.unwrap();
    recovery.save(&path).unwrap();
    let words = recovery.expose_phrase().to_owned();
    assert_eq!(words.split(' ').count(), 6);
    assert!(!format!("{recovery:?}").contains(words.split(' ').next().unwrap()));
    let lost = [&a, &b].map(|device| device.client.status().device_id);
    for device in [a, b] {
        device.client.close().await;
    }

    // Made without a relay: the file knows it.
    let folder = tempfile::TempDir::new().unwrap();
    let nowhere = SyncConfig { relay_url: None, ..config(&relay.url(), folder.path(), "new laptop") };
    let client = SyncClient::create(nowhere).await.unwrap();
    let mut events = client.subscribe();
    let typed = words.to_uppercase().replace(' ', "  ");
    client.import_recovery(&std::fs::read(&path).unwrap(), &typed).await.unwrap();
    client.connect().await.unwrap();
    assert_eq!(client.read_until("remember me").await, ["remember me"]);
    client.remove_devices(&lost, true).await.unwrap();
    let devices = client.devices().await.unwrap();
    assert!(devices.len() == 1 && devices[0].this_device, "{devices:?}");
    client.send("still here").await;
    assert_eq!(texts(&client.pull(Cursor::ZERO, 0).await.unwrap()), ["remember me", "still here"]);
    assert_eq!(alarms(&mut events), []);
}

#[tokio::test]
async fn a_recovery_file_is_private_written_once_and_opens_for_its_own_words_only() {
    let relay = Relay::start();
    let (a, member) = pair(&relay.url()).await;
    let recovery = a.client.export_recovery().await.unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("recovery");
    recovery.save(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(matches!(recovery.save(&path), Err(Error::FileExists(_))));
    assert!(matches!(recovery.save(&folder.path().join("no/where")), Err(Error::Store(_))));
    assert_eq!(std::fs::read(&path).unwrap(), recovery.bytes());

    let b = device(&relay.url(), "phone").await;
    let refused = async |bytes: &[u8], words: &str| {
        let error = b.client.import_recovery(bytes, words).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Usage, "{error}");
        assert_eq!(b.client.status().group_id, None);
        error
    };
    let words = recovery.expose_phrase();
    let other = a.client.export_recovery().await.unwrap();
    assert_ne!(other.expose_phrase(), words, "each file has words of its own");
    let error = refused(recovery.bytes(), other.expose_phrase()).await;
    assert!(matches!(error, Error::RecoveryClosed));
    let mut changed = recovery.bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(refused(&changed, words).await, Error::RecoveryClosed));
    assert!(matches!(refused(b"something else", words).await, Error::NotARecoveryFile));
    let five = words.rsplit_once(' ').unwrap().0;
    let error = refused(recovery.bytes(), five).await;
    assert!(matches!(error, Error::RecoveryPhrase(PhraseError::WordCount { found: 5 })));
    let error = refused(recovery.bytes(), &format!("{five} xyzzy")).await;
    assert!(matches!(error, Error::RecoveryPhrase(PhraseError::UnknownWord { position: 6 })));
    assert!(!error.to_string().contains("xyzzy"));
    let taken = member.client.import_recovery(recovery.bytes(), words).await;
    assert!(matches!(taken, Err(Error::AlreadyInGroup)));
    let alone = device(&relay.url(), "alone").await;
    assert!(matches!(alone.client.export_recovery().await, Err(Error::NoGroup)));
}

#[tokio::test]
async fn a_recovery_file_from_before_a_new_key_says_that_it_is_too_old() {
    let relay = Relay::start();
    let (a, _b) = pair(&relay.url()).await;
    let old = a.client.export_recovery().await.unwrap();
    a.client.rotate(true).await.unwrap();
    let c = device(&relay.url(), "new laptop").await;
    c.client.import_recovery(old.bytes(), old.expose_phrase()).await.unwrap();
    let refused = c.client.connect().await.unwrap_err();
    assert!(matches!(refused, Error::Refused { code: Some(ErrorCode::EpochStale), .. }), "{refused:?}");
    assert!(refused.to_string().contains("newer recovery file"), "{refused}");
}

async fn with_passphrase(relay: &Relay, name: &str) -> Device {
    let group = PassphraseGroup::new("home", "orbit walnut staple quiz").unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let config = config(&relay.url(), folder.path(), name);
    let client = SyncClient::new(SyncConfig { passphrase_group: Some(group), ..config }).await.unwrap();
    Device { client, folder }
}

#[tokio::test]
async fn a_name_and_a_passphrase_make_one_group_on_two_devices_until_its_key_is_changed() {
    let relay = Relay::start();
    let (a, b) = (with_passphrase(&relay, "laptop").await, with_passphrase(&relay, "phone").await);
    for device in [&a, &b] {
        device.client.connect().await.unwrap();
    }
    assert_eq!(a.client.status().fingerprint, b.client.status().fingerprint);
    a.client.send("shared").await;
    assert_eq!(b.client.read_until("shared").await, ["shared"]);
    b.client.send("answer").await;
    assert_eq!(a.client.read_until("answer").await, ["answer"]);
    let again = PassphraseGroup::new("home", "orbit walnut staple quiz").unwrap();
    assert!(matches!(a.client.join_passphrase_group(again).await, Err(Error::AlreadyInGroup)));

    a.client.rotate(true).await.unwrap();
    let c = with_passphrase(&relay, "tablet").await;
    let refused = c.client.connect().await.unwrap_err();
    assert!(matches!(refused, Error::Refused { code: Some(ErrorCode::EpochStale), .. }), "{refused:?}");
}

#[test]
fn a_weak_passphrase_is_a_typed_error() {
    let error = Error::from(PassphraseGroup::new("home", "password1234").unwrap_err());
    assert_eq!(error.fault(), Fault::Usage);
    assert!(matches!(error, Error::Passphrase(PassphraseError::TooWeak { .. })));
}
