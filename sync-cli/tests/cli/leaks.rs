//! Nothing that only members may know is anywhere but with them.

use std::path::Path;

use serde_json::Value;

use crate::device::Device;
use crate::relay::Relay;

const TEXT: &str = "the treasure lies under the old oak tree";
const PASSPHRASE: &str = "orbit walnut staple quiz";
const NAME: &str = "Adas geheimer Rechner";

/// The names of what is found in the files of a folder.
fn found(folder: &Path, secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            found.extend(found_in(&std::fs::read(&path).unwrap(), secrets));
        }
    }
    found
}

fn found_in(bytes: &[u8], secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let has = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    secrets.iter().filter(|(_, secret)| has(secret)).map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn neither_the_relay_nor_a_log_nor_the_local_store_shows_a_secret() {
    let relay = Relay::start();
    let kept = tempfile::TempDir::new().unwrap();
    let a = Device::none();
    let mut logs = String::new();
    let mut run_with = |device: &Device, args: &[&str], stdin: &str| {
        let ended = device.run_with(args, stdin);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.stderr);
        logs.push_str(&ended.stderr);
        ended.stdout
    };
    let mut run = |device: &Device, args: &[&str]| run_with(device, args, "");
    let parse = |json: &str| -> Value { serde_json::from_str(json).unwrap() };
    run(&a, &["init", "--name", NAME, "--relay", &relay.url(), "--access-token", "open sesame please"]);
    let created = parse(&run(&a, &["--json", "pair", "--create"]));
    let (code, link) = (created["code"].as_str().unwrap(), created["link"].as_str().unwrap());
    let [b, c, d, e] = std::array::from_fn(|_| Device::none());
    for device in [&b, &c, &d, &e] {
        run(device, &["init", "--name", "another secret name", "--relay", &relay.url()]);
    }
    run(&b, &["pair", "--join", code]);
    run(&a, &["push", TEXT]);
    assert!(run(&b, &["pull"]).contains(TEXT));
    run(&b, &["devices"]);

    // A device that is removed, one that comes with the recovery file, and one in another group.
    let second = parse(&run(&a, &["--json", "pair", "--create"]));
    run(&c, &["pair", "--join", second["code"].as_str().unwrap()]);
    let status = parse(&run(&c, &["--json", "status"]));
    run(&a, &["remove", status["device_id"].as_str().unwrap(), "--yes"]);
    run(&a, &["push", TEXT]);
    let file = kept.path().join("recovery");
    let path = file.to_str().unwrap();
    let exported = parse(&run(&a, &["--json", "recovery", "export", path]));
    let words = exported["phrase"].as_str().unwrap();
    run_with(&d, &["recovery", "import", path], words);
    run_with(&e, &["pair", "--passphrase", "home"], PASSPHRASE);
    run_with(&e, &["push", TEXT], "");

    let membership = sync_e2ee::recovery::open(&std::fs::read(&file).unwrap(), words).unwrap();
    let (newest, older) = (membership.secret.expose_bytes(), membership.history[&0].expose_bytes());
    let by_passphrase = sync_e2ee::passphrase_secret("home", PASSPHRASE).unwrap();
    let key_file = std::fs::read_to_string(a.home().join("client.key")).unwrap();
    let key_text = key_file.split_whitespace().last().unwrap();
    let key = data_encoding::BASE64URL_NOPAD.decode(key_text.as_bytes()).unwrap();
    let link_key = link.rsplit('.').next().unwrap();
    let secrets = [
        ("text", TEXT.as_bytes().to_vec()),
        ("a part of the text", b"treasure".to_vec()),
        ("name", NAME.as_bytes().to_vec()),
        ("the other name", b"another secret name".to_vec()),
        ("access token", b"open sesame please".to_vec()),
        ("code", code.as_bytes().to_vec()),
        ("invite key", data_encoding::BASE64URL_NOPAD.decode(link_key.as_bytes()).unwrap()),
        ("invite key as text", link_key.as_bytes().to_vec()),
        ("recovery phrase", words.as_bytes().to_vec()),
        ("a part of the recovery phrase", words.split_once(' ').unwrap().1.as_bytes().to_vec()),
        ("passphrase", PASSPHRASE.as_bytes().to_vec()),
        ("a part of the passphrase", b"walnut staple".to_vec()),
        ("the passphrase's secret", by_passphrase.expose_bytes().to_vec()),
        ("the group's secret", newest.to_vec()),
        ("the group's secret as text", data_encoding::BASE64URL_NOPAD.encode(newest).into_bytes()),
        ("the group's earlier secret", older.to_vec()),
        ("store key", key),
        ("store key as text", key_text.as_bytes().to_vec()),
    ];

    let database = relay.folder();
    assert!(database.join("relay.db-wal").exists(), "the log of the database is searched, too");
    assert!(logs.contains("DEBUG") && logs.len() > 1000, "there are logs to search: {logs}");
    assert!(std::fs::metadata(database.join("relay.log")).unwrap().len() > 0);
    assert_eq!(found(database, &secrets), [""; 0], "at the relay");
    assert_eq!(found_in(logs.as_bytes(), &secrets), [""; 0], "in the logs of the commands");
    assert_eq!(found(kept.path(), &secrets), [""; 0], "in the recovery file");
    for device in [&a, &b, &c, &d, &e] {
        std::fs::rename(device.home().join("client.key"), database.join("key")).unwrap();
        assert_eq!(found(device.home(), &secrets), [""; 0], "in the local store");
    }

    // And it would be found.
    std::fs::write(database.join("planted"), format!("…{TEXT}…")).unwrap();
    assert_eq!(found(database, &secrets[..2]), ["text", "a part of the text"]);
}
