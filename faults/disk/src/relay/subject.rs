//! The store under test: the relay's own, or one with a mistake planted into it.

use std::sync::{Mutex, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sync_relay::sqlite::SqliteStore;
use sync_relay_core::Policy;
use sync_relay_core::store::{ReadOp, ReadResult, Store, WriteOp, WriteOutcome};
use sync_testkit::MemoryStore;
use sync_types::StoreId;

use super::model::{Model, device_id, group_id};
use super::{Plant, Settings, ops};
use crate::look::chain;
use crate::{Mounted, Rng, Violation, on_disk};

/// Pages of the log after which it is put into the database. Production's would take 64 MiB of pushes.
const CHECKPOINTS: [&str; 3] = ["12", "60", "300"];
/// Pages in memory. With few of them, some are written before their transaction is committed.
const CACHES: [&str; 2] = ["12", "-32000"];

pub(super) struct Subject {
    store: SqliteStore,
    early: Option<Early>,
}

/// Answers from memory, and writes when it is asked for the next thing.
struct Early {
    memory: MemoryStore,
    waiting: Mutex<Vec<WriteOp>>,
}

fn stops(failure: impl std::error::Error) -> Violation {
    Violation::Stops(chain(&failure))
}

impl Subject {
    pub(super) async fn open(
        mounted: &Mounted,
        settings: &Settings,
        rng: &mut Rng,
    ) -> Result<Self, Violation> {
        let checkpoint = *rng.one_of(&CHECKPOINTS).unwrap_or(&"60");
        let cache = *rng.one_of(&CACHES).unwrap_or(&"-32000");
        let normal = settings.plant == Some(Plant::SynchronousNormal);
        let adjust = |options: SqliteConnectOptions| {
            let options =
                on_disk(options).pragma("wal_autocheckpoint", checkpoint).pragma("cache_size", cache);
            if normal { options.synchronous(SqliteSynchronous::Normal) } else { options }
        };
        if settings.plant != Some(Plant::LogTakenForDurable) {
            mounted.renew_log("relay.db");
        }
        let path = mounted.folder().join("relay.db");
        let opened = SqliteStore::open_with(&path, Policy::default(), adjust).await;
        let store = opened.map_err(|error| Violation::WontOpen(chain(&error)))?;
        let early = (settings.plant == Some(Plant::AckBeforeCommit)).then(|| Early {
            memory: MemoryStore::new(StoreId([9; 16]), Policy::default()),
            waiting: Mutex::default(),
        });
        Ok(Self { store, early })
    }

    pub(super) async fn apply(&self, ops: &[WriteOp]) -> Result<Vec<WriteOutcome>, Violation> {
        let Some(early) = &self.early else { return self.store.apply(ops).await.map_err(stops) };
        let before = std::mem::replace(
            &mut *early.waiting.lock().unwrap_or_else(PoisonError::into_inner),
            ops.to_vec(),
        );
        self.store.apply(&before).await.map_err(stops)?;
        Ok(early.memory.apply_now(ops))
    }

    pub(super) async fn read(&self, op: ReadOp) -> Result<ReadResult, Violation> {
        self.store.read(&op).await.map_err(stops)
    }

    pub(super) async fn close(self) -> Result<(), Violation> {
        if let Some(early) = &self.early {
            let waiting = std::mem::take(&mut *early.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            self.store.apply(&waiting).await.map_err(stops)?;
        }
        self.store.close().await.map_err(stops)
    }

    /// Every group takes a push under the next cursor, and tells the old one to who repeats a push.
    pub(super) async fn every_group_goes_on(&self, model: &Model, rng: &mut Rng) -> Result<(), Violation> {
        let mut after = model.clone();
        for (number, group) in model.groups.iter().filter(|(_, group)| !group.members.is_empty()) {
            let fresh = ops::push(model, *number, group, vec![ops::blob(model, rng)], rng);
            let mut batch = vec![fresh.clone(), fresh];
            if let Some((_, kept)) = group.blobs.last_key_value() {
                batch.push(ops::push(model, *number, group, vec![kept.again()], rng));
            }
            let outcomes = self.apply(&batch).await?;
            for (op, outcome) in batch.iter().zip(&outcomes) {
                if let Err(refusal) = outcome {
                    return Err(Violation::Stops(format!("a push is refused: {refusal}")));
                }
                after.learn(op, outcome)?;
            }
            for device in group.out.iter().filter(|device| !group.members.contains_key(device)) {
                let (group, device_id) = (group_id(*number), device_id(*device));
                let read = self.read(ReadOp::Devices { group, device: device_id }).await?;
                if !matches!(read, ReadResult::Refused(_)) {
                    return Err(Violation::Revived { group: *number, device: *device });
                }
            }
        }
        Ok(())
    }
}
