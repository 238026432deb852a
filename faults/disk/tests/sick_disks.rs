//! A relay on a socket, whose disk falls ill: what is pushed is refused by name, what is there is served, `/health`
//! tells, and when the disk is well the relay goes on without a restart.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../../server/tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Client, Group, Relay, http, push, soon};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use sync_faults_disk::{Disk, Illness, Mounted, Rng, mount, on_disk, power_cut};
use sync_relay::Config;
use sync_relay::sqlite::SqliteStore;
use sync_relay_core::Policy;
use sync_relay_core::store::{PullPage, ReadOp, ReadResult, Store};
use sync_types::{Cursor, Devices, ErrorCode, Message, Pull, Push};
use tempfile::TempDir;

/// A relay, one of its members, and the disk beneath.
struct Bed {
    folder: TempDir,
    disk: Arc<Disk>,
    mounted: Mounted,
    relay: Relay,
    group: Group,
    a: Client,
}

/// As in production, but for what would take minutes: pages go to the database at once, nobody waits long for a lock.
fn quick(options: SqliteConnectOptions) -> SqliteConnectOptions {
    on_disk(options).pragma("wal_autocheckpoint", "1").busy_timeout(Duration::from_millis(50))
}

async fn open(mounted: &Mounted) -> SqliteStore {
    mounted.renew_log("relay.db");
    SqliteStore::open_with(&mounted.folder().join("relay.db"), Policy::default(), quick).await.unwrap()
}

async fn start(mounted: &Mounted) -> Relay {
    Relay::start_on(open(mounted).await, Config::default()).await
}

fn large(id: u32) -> Push {
    // What begins with 2 is a rotation.
    push(id, vec![100 + id as u8; 60_000])
}

impl Bed {
    /// One blob is there.
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let disk = Disk::new();
        let mounted = mount(folder.path(), &disk);
        let relay = start(&mounted).await;
        let group = Group::new(1);
        let mut a = Client::join(relay.addr, 1, &group).await;
        assert_eq!(a.push(1, vec![1; 60_000]).await.cursor.get(), 1);
        Self { folder, disk, mounted, relay, group, a }
    }

    async fn health(&self) -> u16 {
        http(self.relay.addr, "GET", "/health", &[], "").await.status
    }

    async fn storage_is_up(&self) -> bool {
        let metrics = http(self.relay.addr, "GET", "/metrics", &[], "").await.body;
        metrics.contains("sync_relay_storage_up 1")
    }

    /// What the relay does while it cannot write.
    async fn only_reads(&mut self, refusal: ErrorCode) {
        for _ in 0..2 {
            assert_eq!(self.a.refused(large(2)).await, refusal);
            assert_eq!(self.a.pull(0).await.blobs.len(), 1, "what is there is served");
        }
        assert_eq!(self.health().await, 503);
        assert!(!self.storage_is_up().await);
        // On a full disk there may be room for as little as that.
        if refusal == ErrorCode::Unavailable {
            assert_eq!(Client::shut_out(self.relay.addr, 2, &self.group).await, refusal);
        }
    }

    /// And when it can again, on the same connection.
    async fn goes_on(&mut self) {
        // It is tried once a second.
        soon(async { while self.health().await != 200 {} }).await;
        assert!(self.storage_is_up().await);
        let Message::PushAck(ack) = self.a.request(large(2)).await else { panic!("it is stored now") };
        assert_eq!(ack.cursor.get(), 2);
        assert_eq!(self.a.push(3, vec![3]).await.cursor.get(), 3);
        self.everything_survives().await;
    }

    /// What was acknowledged until now is there, whatever a power cut leaves.
    async fn everything_survives(&mut self) {
        let journal = self.disk.journal();
        let all = self.a.pull(0).await.blobs;
        let (group, device) = (self.group.id, self.a.id());
        for seed in 0..20 {
            let mounted = mount(self.folder.path(), &Disk::of(power_cut(&journal, &mut Rng::new(seed))));
            let store = open(&mounted).await;
            let page = PullPage { group, device, after: Cursor::ZERO, limit: 1000, max_bytes: usize::MAX };
            let ReadResult::Page(page) = store.read(&ReadOp::Pull(page)).await.unwrap() else { panic!() };
            assert_eq!(page.blobs, all, "cut {seed}");
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_pushed_until_there_is_room() {
    let mut bed = Bed::new().await;
    bed.disk.becomes(Illness::Full);
    bed.only_reads(ErrorCode::StorageFull).await;
    bed.disk.becomes(Illness::None);
    bed.goes_on().await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_makes_pushes_wait() {
    let mut bed = Bed::new().await;
    bed.disk.becomes(Illness::ReadOnly);
    bed.only_reads(ErrorCode::Unavailable).await;
    bed.disk.becomes(Illness::None);
    bed.goes_on().await;
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_not_acknowledged() {
    let mut bed = Bed::new().await;
    bed.disk.becomes(Illness::NoSync);
    bed.only_reads(ErrorCode::Unavailable).await;
    bed.disk.becomes(Illness::None);
    bed.goes_on().await;
}

#[tokio::test]
async fn a_lock_that_another_process_holds_makes_pushes_wait() {
    let mut bed = Bed::new().await;
    let options = SqliteConnectOptions::new().filename(bed.mounted.folder().join("relay.db"));
    let mut other = on_disk(options).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    bed.only_reads(ErrorCode::Unavailable).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    bed.goes_on().await;
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_written_to_no_more() {
    let mut bed = Bed::new().await;
    for id in 2..12 {
        bed.a.request(large(id)).await;
    }
    let mut b = Client::join(bed.relay.addr, 2, &bed.group).await;
    let half = bed.disk.len("relay.db").unwrap() / 2;
    bed.disk.becomes(Illness::Corrupt { from: half });
    // Nobody has read it before, so nothing of it is in memory.
    let all = Pull { after_cursor: Cursor::ZERO, limit: 1000 };
    assert_eq!(b.refused(all).await, ErrorCode::Unavailable);
    assert_eq!(bed.health().await, 503);
    assert_eq!(b.refused(large(20)).await, ErrorCode::Unavailable);
    let Message::DevicesResponse(_) = b.request(Devices {}).await else { panic!("the rest is served") };

    // Nobody can say that the whole of it is well, so it takes a restart.
    bed.disk.becomes(Illness::None);
    assert_eq!(bed.health().await, 503);
    assert_eq!(b.refused(large(20)).await, ErrorCode::Unavailable);
    bed.relay.stop().await;
    let relay = start(&bed.mounted).await;
    let mut b = Client::join(relay.addr, 1, &bed.group).await;
    assert_eq!(b.pull(0).await.blobs.len(), 11);
    assert_eq!(b.push(20, vec![]).await.cursor.get(), 12);
    relay.stop().await;
}
