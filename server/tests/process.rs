//! The real program: started, stopped, killed.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/program.rs"]
mod program;

use std::io::{BufRead, Read};
use std::process::Stdio;

use common::{Client, Group, Heard, push};
use program::{Program, command};
use sync_types::{ErrorCode, Message};
use tempfile::TempDir;

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill_without_gaps() {
    let folder = TempDir::new().unwrap();
    let group = Group::new(1);
    let mut acked: Vec<(u64, u32)> = Vec::new();
    for round in 0..3_u32 {
        let mut program = Program::on(&folder);
        let mut a = Client::join(program.addr, 1, &group).await;
        // As many as go at once, and the kill somewhere among their acknowledgements.
        for n in 0..60 {
            let id = round * 1000 + n;
            a.send(push(id, id.to_be_bytes())).await;
        }
        let before_the_kill = acked.len() + 5 + 10 * round as usize;
        while let Heard::Message(_, message) = a.hear().await {
            if let Message::PushAck(ack) = message {
                let id = u32::from_be_bytes(ack.blob_id.0[..4].try_into().unwrap());
                acked.push((ack.cursor.get(), id));
            }
            if acked.len() == before_the_kill {
                program.child.kill().unwrap();
            }
        }
        program.child.wait().unwrap();
    }
    let program = Program::on(&folder);
    let mut a = Client::join(program.addr, 2, &group).await;
    let page = a.pull(0).await;
    let cursors: Vec<u64> = page.blobs.iter().map(|blob| blob.cursor.get()).collect();
    assert_eq!(cursors, (1..=cursors.len() as u64).collect::<Vec<_>>(), "no gaps");
    assert!(acked.len() >= 45);
    for (cursor, id) in acked {
        let blob = &page.blobs[usize::try_from(cursor).unwrap() - 1];
        assert_eq!(blob.payload.as_deref(), Some(&id.to_be_bytes()[..]), "cursor {cursor}");
    }
}

#[tokio::test]
async fn a_rotation_that_was_acknowledged_survives_sigkill() {
    let folder = TempDir::new().unwrap();
    let group = Group::new(1);
    for _ in 0..3 {
        let folder = TempDir::new_in(folder.path()).unwrap();
        let mut program = Program::on(&folder);
        Client::join(program.addr, 3, &group).await;
        let mut a = Client::join(program.addr, 1, &group).await;
        a.send(push(1, *b"before it")).await;
        let (newer, rotate) = group.rotate(100, 1, &[1, 2]);
        let ack = a.rotate(rotate.clone()).await;
        program.child.kill().unwrap();
        program.child.wait().unwrap();

        let program = Program::on(&folder);
        assert_eq!(Client::shut_out(program.addr, 3, &group).await, ErrorCode::DeviceRevoked);
        let mut a = Client::join(program.addr, 1, &newer).await;
        let page = a.pull(0).await;
        assert_eq!(page.blobs[1].payload.as_ref(), Some(&rotate.payload));
        assert_eq!(a.rotate(rotate).await, ack);
        let mut b = Client::connect(program.addr, 2, &group).await;
        assert_eq!(b.welcome().await.epoch, 1, "who was meant comes in for the first time");
    }
}

#[tokio::test]
async fn sigterm_ends_it_well_while_devices_are_connected() {
    let folder = TempDir::new().unwrap();
    let program = Program::on(&folder);
    let mut a = Client::join(program.addr, 1, &Group::new(1)).await;
    a.push(1, *b"kept").await;
    let waiting = tokio::task::spawn_blocking(|| program.terminate());
    assert_eq!(a.closed().await, 1001);
    assert!(waiting.await.unwrap().success());
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name == "relay.db-wal"), "one file to back up: {files:?}");
}

#[tokio::test]
async fn the_log_may_be_one_object_a_line_and_names_nobody() {
    let folder = TempDir::new().unwrap();
    let mut command = command();
    command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(folder.path()).stderr(Stdio::piped());
    command.env("SYNC_RELAY_LOG__FORMAT", "json").env("SYNC_RELAY_LOG__LEVEL", "trace,hyper=off");
    let mut program = Program::start(command);
    let log = program.child.stderr.take().unwrap();
    let log = std::thread::spawn(move || std::io::read_to_string(log).unwrap());
    let mut a = Client::join(program.addr, 1, &Group::new(1)).await;
    a.push(1, *b"rhubarb").await;
    drop(a);
    assert!(program.terminate().success());
    let log = log.join().unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let has = |level: &str, message: &str| {
        lines.iter().any(|line| line["level"] == level && line["fields"]["message"] == message)
    };
    assert!(has("INFO", "the relay runs") && has("DEBUG", "let in") && has("TRACE", "in"), "{log}");
    let id = common::device(1).id().to_string();
    assert!(!log.contains(&id), "ids are shortened");
    assert!(!log.contains("rhubarb"));
}

#[test]
fn it_runs_without_any_settings_and_says_where() {
    let home = TempDir::new().unwrap();
    let mut command = command();
    // The default port may be taken on this machine; all else is as nobody has set it.
    command.env("SYNC_RELAY_SERVER__BIND", "127.0.0.1:0");
    command.env("XDG_DATA_HOME", home.path()).env("HOME", home.path());
    let mut program = Program::start(command);
    let mut line = String::new();
    program.stdout.read_line(&mut line).unwrap();
    let database = home.path().join("sync-relay/relay.db");
    assert_eq!(line.trim(), format!("its data lies in {}", database.display()));
    program.child.kill().unwrap();
}

#[tokio::test]
async fn the_environment_of_a_cluster_is_no_obstacle_and_a_token_may_be_digits() {
    let folder = TempDir::new().unwrap();
    let mut command = command();
    command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(folder.path());
    command.env("SYNC_RELAY_PORT", "tcp://10.0.0.1:8080").env("SYNC_RELAY_SERVICE_HOST", "10.0.0.1");
    command.env("SYNC_RELAY_GROUPS__ACCESS_TOKEN", "0042");
    let program = Program::start(command);
    let mut client = Client::connect(program.addr, 1, &Group::new(1)).await;
    let mut hello = client.hello();
    hello.access_token = Some("0042".into());
    assert!(matches!(client.request(hello).await, Message::Welcome(_)));
}

#[tokio::test]
async fn a_second_relay_and_an_unknown_setting_are_plain_errors() {
    let folder = TempDir::new().unwrap();
    let first = Program::on(&folder);
    // It says where it listens before it has the database.
    Client::join(first.addr, 1, &Group::new(1)).await;
    let fails = |args: &[&str]| {
        let mut command = command();
        command.args(["--bind", "127.0.0.1:0"]).args(args).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert!(!child.wait().unwrap().success());
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    };
    let text = fails(&["--data", folder.path().to_str().unwrap()]);
    assert!(text.contains("another relay is using"), "{text}");
    let settings = folder.path().join("relay.toml");
    std::fs::write(&settings, "[server]\nport = 1\n").unwrap();
    let text = fails(&["--config", settings.to_str().unwrap()]);
    assert!(text.contains("port"), "{text}");
    drop(first);
}
