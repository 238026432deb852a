//! Copies of the database: made by another process while the relay works, put back while it does not.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::{Client, Group, http, soon};
use program::{Program, command};
use sqlx::{Connection, SqliteConnection};
use sync_types::Welcome;
use tempfile::TempDir;

/// What a command said, and whether it was content.
async fn run(args: Vec<String>) -> (bool, String) {
    let mut command = command();
    command.args(args).stderr(std::process::Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn on_data(what: &str, data: &Path, file: &Path) -> (bool, String) {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    run(vec![what.to_owned(), "--data".to_owned(), text(data), text(file)]).await
}

async fn backup(data: &TempDir, file: &Path) {
    let (done, said) = on_data("backup", data.path(), file).await;
    assert!(done, "{said}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let beside: Vec<_> =
        std::fs::read_dir(file.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_str().unwrap().ends_with("unfinished")), "{beside:?}");
}

/// The cursors in a copy, after SQLite has looked at all of it.
async fn cursors(file: &Path) -> Vec<i64> {
    let mut db = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
    let found: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.unwrap();
    assert_eq!(found, "ok");
    let auto_vacuum: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut db).await.unwrap();
    assert_eq!(auto_vacuum, 2, "space can be given back");
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut db).await.unwrap();
    assert_eq!(broken.len(), 0);
    let cursors = sqlx::query_scalar("SELECT cursor FROM blobs ORDER BY cursor").fetch_all(&mut db).await;
    db.close().await.unwrap();
    cursors.unwrap()
}

async fn welcome(program: &Program, group: &Group) -> (Client, Welcome) {
    let mut client = Client::connect(program.addr, 9, group).await;
    let welcome = client.welcome().await;
    (client, welcome)
}

#[tokio::test]
async fn a_backup_under_load_holds_everything_that_was_acknowledged_before_it() {
    let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut command = command();
    command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(data.path());
    command.env("SYNC_RELAY_LIMITS__MESSAGES_PER_MINUTE", "1000000");
    let program = Program::start(command);
    let group = Group::new(1);
    let acked = Arc::new(Mutex::new(BTreeSet::new()));
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (1..=4)
        .map(|device| {
            let (addr, group) = (program.addr, group.clone());
            let (acked, over) = (Arc::clone(&acked), Arc::clone(&over));
            tokio::spawn(async move {
                let mut client = Client::join(addr, device, &group).await;
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    let id = u32::from(device) << 24 | n;
                    let ack = client.push(id, vec![0x40 | device; 700]).await;
                    acked.lock().unwrap().insert((ack.cursor.get(), id));
                    n += 1;
                }
            })
        })
        .collect();

    let (mut last, mut meanwhile) = (0, 0);
    for round in 0..5 {
        soon(async {
            while acked.lock().unwrap().len() < last + 50 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let before = acked.lock().unwrap().len();
        let file = copies.path().join(format!("copy-{round}.db"));
        backup(&data, &file).await;
        let after = acked.lock().unwrap().len();
        let cursors = cursors(&file).await;
        assert!(cursors.len() >= before, "{} blobs, {before} acknowledged before", cursors.len());
        assert_eq!(cursors, (1..=cursors.len() as i64).collect::<Vec<_>>(), "one moment of the log");
        meanwhile += after - before;
        last = after;
    }
    assert!(meanwhile > 0, "pushes go on meanwhile");
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let file = copies.path().join("all.db");
    backup(&data, &file).await;
    let (_, before) = welcome(&program, &group).await;
    drop(program);

    // On another machine, as it were.
    let elsewhere = TempDir::new().unwrap();
    let (done, said) = on_data("restore", elsewhere.path(), &file).await;
    assert!(done, "{said}");
    let program = Program::on(&elsewhere);
    let (mut client, welcome) = welcome(&program, &group).await;
    assert_ne!(welcome.store_id, before.store_id, "clients must notice");
    assert_eq!(welcome.max_cursor, before.max_cursor);
    let mut pulled = BTreeSet::new();
    let mut after = 0;
    loop {
        let page = client.pull(after).await;
        for blob in &page.blobs {
            let id = u32::from_be_bytes(blob.blob_id.0[..4].try_into().unwrap());
            assert_eq!(blob.payload.as_deref(), Some(&vec![0x40 | (id >> 24) as u8; 700][..]));
            pulled.insert((blob.cursor.get(), id));
        }
        after = page.max_cursor.get();
        if !page.has_more {
            break;
        }
    }
    assert_eq!(pulled, *acked.lock().unwrap());
    let next = client.push(1, vec![]).await;
    assert_eq!(next.cursor.get(), after + 1, "no cursor is given twice");
    assert!(program.terminate().success());
}

#[tokio::test]
async fn a_backup_of_a_killed_relay_holds_what_its_log_held() {
    let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut program = Program::on(&data);
    let mut a = Client::join(program.addr, 1, &Group::new(1)).await;
    for n in 0..10 {
        a.push(n, vec![1; 100]).await;
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    assert!(data.path().join("relay.db-wal").metadata().unwrap().len() > 0);
    let file = copies.path().join("copy.db");
    backup(&data, &file).await;
    assert_eq!(cursors(&file).await.len(), 10);
}

#[tokio::test]
async fn a_restore_waits_for_no_relay_and_throws_nothing_away() {
    let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = copies.path().join("copy.db");
    let group = Group::new(1);
    let mut program = Program::on(&data);
    let (mut a, first) = welcome(&program, &group).await;
    a.push(1, *b"before").await;
    let invite =
        r#"{"lookup_key":"0123456789ABCDEFGHJKMNPQRS","encrypted_payload":"c2VhbGVk","expires":4000000000}"#;
    let json = ["content-type: application/json"];
    assert_eq!(http(program.addr, "POST", "/invite", &json, invite).await.status, 201);
    backup(&data, &file).await;
    let (done, said) = on_data("backup", data.path(), &file).await;
    assert!(!done && said.contains("already"), "it replaces no file: {said}");
    a.push(2, *b"after").await;

    let (done, said) = on_data("restore", data.path(), &file).await;
    assert!(!done && said.contains("another relay is using"), "{said}");
    a.push(3, *b"it goes on").await;
    // Killed, so that its log is still beside it.
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let (done, said) = on_data("restore", data.path(), &file).await;
    assert!(done, "{said}");
    let aside = data.path().join("relay.db.replaced-1");
    assert!(said.contains(aside.to_str().unwrap()), "{said}");
    assert_eq!(cursors(&aside).await, [1, 2, 3]);

    let program = Program::on(&data);
    let (mut a, second) = welcome(&program, &group).await;
    assert_ne!(first.store_id, second.store_id);
    assert_eq!(a.pull(0).await.blobs.len(), 1);
    let lost = http(program.addr, "GET", "/invite/0123456789ABCDEFGHJKMNPQRS", &[], "").await;
    assert_eq!(lost.status, 404, "it may have been used after the copy was made");
    assert!(program.terminate().success());
    let (done, said) = on_data("restore", data.path(), &file).await;
    assert!(done && said.contains("relay.db.replaced-2"), "{said}");
    let program = Program::on(&data);
    assert_ne!(welcome(&program, &group).await.1.store_id, second.store_id, "each time another");
}

#[tokio::test]
async fn what_is_damaged_or_foreign_is_not_put_back() {
    let (data, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = copies.path().join("copy.db");
    let program = Program::on(&data);
    let mut a = Client::join(program.addr, 1, &Group::new(1)).await;
    for n in 0..50 {
        a.push(n, vec![1; 2000]).await;
    }
    backup(&data, &file).await;
    assert!(program.terminate().success());
    let kept = std::fs::read(data.path().join("relay.db")).unwrap();

    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x55);
    let damaged = copies.path().join("damaged.db");
    std::fs::write(&damaged, &bytes).unwrap();
    let text = copies.path().join("text.db");
    std::fs::write(&text, "not a database at all, by any measure").unwrap();
    let other = copies.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&other).create_if_missing(true);
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE mine (x)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    for (file, why) in [
        (&damaged, "is damaged"),
        (&text, "is damaged: file is not a database"),
        (&other, "is not a relay's database"),
        (&copies.path().join("nothing.db"), "there is no database"),
    ] {
        let (done, said) = on_data("restore", data.path(), file).await;
        assert!(!done && said.contains(why), "{said}");
        assert_eq!(std::fs::read(data.path().join("relay.db")).unwrap(), kept);
    }
    let names: BTreeSet<_> =
        std::fs::read_dir(data.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["relay.db", "relay.key", "relay.lock"]);
}

#[tokio::test]
async fn an_operator_can_ask_while_the_relay_runs() {
    let data = TempDir::new().unwrap();
    let program = Program::on(&data);
    let mut a = Client::join(program.addr, 1, &Group::new(1)).await;
    a.push(1, vec![0; 1000]).await;
    let folder = data.path().to_str().unwrap();
    let (done, said) = run(vec!["stats".into(), "--json".into(), "--data".into(), folder.into()]).await;
    assert!(done, "{said}");
    let stats: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&stats["groups"], &stats["devices"], &stats["blobs"]), (&1.into(), &1.into(), &1.into()));
    let key =
        http(program.addr, "GET", "/.well-known/sync-relay", &[], "").await.json()["public_key"].clone();
    assert_eq!(stats["relay_key"], key);
    let (_, said) = run(vec!["stats".into(), "--data".into(), folder.into()]).await;
    assert!(said.contains("blobs         1\n") && said.contains(key.as_str().unwrap()), "{said}");

    let settings = data.path().join("relay.toml");
    let health = |bind: String| {
        std::fs::write(&settings, format!("[server]\nbind = \"{bind}\"\n")).unwrap();
        run(vec!["health".into(), "--config".into(), settings.to_str().unwrap().into()])
    };
    let (well, said) = health(format!("0.0.0.0:{}", program.addr.port())).await;
    assert!(well && said.contains("\"status\":\"ok\""), "{said}");
    assert!(program.terminate().success());
    let (well, said) = health("127.0.0.1:9".into()).await;
    assert!(!well && said.contains("no relay answers at 127.0.0.1:9"), "{said}");
}

#[tokio::test]
async fn settings_can_be_checked_without_starting_anything() {
    let data = TempDir::new().unwrap();
    let settings = data.path().join("relay.toml");
    let check = |text: &str| {
        std::fs::write(&settings, text).unwrap();
        run(vec!["check-config".into(), "--config".into(), settings.to_str().unwrap().into()])
    };
    let (fine, said) =
        check("[server]\npublic_url = \"https://relay.example\"\n[groups]\naccess_token = \"sesame\"\n")
            .await;
    assert!(fine && said.contains("https://relay.example") && said.contains("access token"), "{said}");
    assert!(!said.contains("sesame"));
    let (fine, said) = check("[limits]\nmessages_per_minute = 0\n").await;
    assert!(!fine && said.contains("limits.messages_per_minute"), "{said}");
    let names: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["relay.toml"], "nothing was made");
}
