//! A device's store through power cuts.
//!
//! The workload is a real engine's: what it wants stored goes through the client's own store, and only then is the engine
//! told so. After a power cut the rows must be those that were there after the last batch that was reported as
//! stored, or after the one that was under way. Then an engine opens them opposite a relay that has seen everything that
//! can have left the device: what was in the outbox must arrive, and another device must find the chain whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sync_client::faults::LocalStore;
use sync_engine::{Change, Command, CommandId, Reply};
use sync_testkit::liar::World;
use zeroize::Zeroizing;

use crate::disk::{Disk, Illness, Image, Journal};
use crate::look::{chain, integrity};
use crate::{Mounted, Rng, Violation, moments, mount, on_disk, power_cut};

/// The device under test, and the one that looks at what it pushes.
const OURS: usize = 0;
const OTHER: usize = 1;
/// The key of the store.
const KEY: [u8; 32] = [7; 32];
/// More than can be pushed in one step.
const UNDER_WAY: usize = 100;
/// Rows of the outbox begin so.
const OUTBOX: u8 = 6;

/// What the disk may suffer from while rows are written.
const ILLNESSES: [Illness; 4] = [Illness::NoSync, Illness::NoSync, Illness::Full, Illness::ReadOnly];

/// What the engine keeps.
type Rows = BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>;

/// What a life is like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where its chance begins.
    pub seed: u64,
    /// Things that the app, the network and the other device do.
    pub steps: usize,
    /// A mistake that the cuts must find.
    pub plant: Option<Plant>,
}

/// Mistakes that a client must not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Commits do not wait for the disk.
    SynchronousNormal,
    /// What is pushed goes from the outbox when it is sent, and not when it was acknowledged.
    OutboxDroppedWhenSent,
    /// What is in the log when the store is opened is taken to be durable.
    LogTakenForDurable,
}

/// What the app was promised, in order.
type Promised = Arc<Vec<Vec<u8>>>;

/// Rows that were stored together.
#[derive(Debug)]
struct Batch {
    asked: usize,
    answered: usize,
    /// All rows after it.
    rows: Arc<Rows>,
    /// What the app was told is in the outbox.
    promised: Promised,
    /// Everything else after it, and before the next.
    world: World,
}

/// What happened on a device's disk, and what was promised meanwhile.
#[derive(Debug)]
pub struct Life {
    journal: Journal,
    batches: Vec<Batch>,
    /// Never answered, and not there when the store was opened again. Until then a cut may find them.
    abandoned: Vec<Batch>,
    opened: Vec<usize>,
    settings: Settings,
}

/// The device and its surroundings, while its life is lived.
struct Living {
    disk: Arc<Disk>,
    mounted: Mounted,
    /// None while it is opened anew.
    store: Option<LocalStore>,
    world: World,
    asked_for: Vec<(CommandId, Vec<u8>)>,
    promised: Promised,
}

impl Life {
    /// Lets a device live in a folder.
    ///
    /// # Errors
    /// What did not even hold without a power cut.
    pub async fn lived(folder: &Path, settings: Settings) -> Result<Self, Violation> {
        let mut rng = Rng::new(settings.seed);
        let lives = match settings.plant {
            None => 1 + rng.below(3),
            Some(Plant::LogTakenForDurable) => 4,
            Some(_) => 1,
        };
        let (batches, abandoned, opened) = (Vec::new(), Vec::new(), Vec::new());
        let mut life = Self { journal: Journal::new(), batches, abandoned, opened, settings };
        for n in 0..lives {
            if n > 0 {
                life.kill(&mut rng);
            }
            let disk = Disk::after_kill(std::mem::take(&mut life.journal));
            let mut living = life.wake(folder, &disk, &mut rng).await?;
            for _ in 0..life.settings.steps / lives {
                living.something(&mut rng);
                life.store(&mut living, &mut rng).await?;
                if rng.one_in(40) {
                    living.open_again(life.settings.plant).await?;
                }
            }
            life.journal = disk.journal();
        }
        Ok(life)
    }

    /// How often the disk was written to, synced and the like.
    pub fn steps(&self) -> usize {
        self.journal.len()
    }

    /// How much was put into the outbox.
    pub fn pushes(&self) -> usize {
        self.batches.last().map_or(0, |batch| batch.promised.len())
    }

    fn kill(&mut self, rng: &mut Rng) {
        let first = self.batches.first().map_or(0, |batch| batch.answered);
        let at = moments::of_a_kill(&self.journal, first, rng);
        self.journal.truncate(at);
        let asked = self.batches.iter().filter(|batch| batch.asked < at || batch.answered <= at).count();
        self.batches.truncate(asked.max(1));
        self.opened.retain(|opened| *opened <= at);
    }

    /// Opens what is on the disk, or makes a new device.
    async fn wake(&mut self, folder: &Path, disk: &Arc<Disk>, rng: &mut Rng) -> Result<Living, Violation> {
        let killed_at = disk.now();
        let mounted = mount(folder, disk);
        let (store, rows) = open(&mounted, self.settings.plant).await?;
        let opened = disk.now();
        self.opened.push(opened);
        let (world, promised) = match self.batches.pop() {
            None => (World::other(rng.below(8) as u8, 2), Arc::default()),
            Some(last) if last.answered <= killed_at => self.goes_on(last, &rows)?,
            // It was there when the store was opened again: it may leave the device from now on.
            Some(last) if *last.rows == rows => self.goes_on(Batch { answered: opened, ..last }, &rows)?,
            Some(gone) => {
                self.abandoned.push(Batch { answered: opened, ..gone });
                let last = self.batches.pop().ok_or(Violation::NeverWritten)?;
                self.goes_on(last, &rows)?
            }
        };
        let mut living = Living {
            disk: Arc::clone(disk),
            mounted,
            store: Some(store),
            world,
            asked_for: Vec::new(),
            promised,
        };
        living.world.devices[OURS].disk_is_busy = true;
        if self.batches.is_empty() {
            let all = living.world.devices[OURS].disk.clone();
            let changes = all.into_iter().map(|(key, value)| Change { key, value: Some(value) });
            living.apply(changes.collect()).await?;
            self.note(&living, 0);
        } else {
            living.world.restart(OURS);
        }
        Ok(living)
    }

    fn goes_on(&mut self, last: Batch, rows: &Rows) -> Result<(World, Promised), Violation> {
        if *last.rows != *rows {
            return Err(Violation::LostRows("after a kill".to_owned()));
        }
        let world = last.world.after_power_cut();
        let promised = Arc::clone(&last.promised);
        self.batches.push(last);
        Ok((world, promised))
    }

    /// Stores what the engine wants stored, one batch after the other.
    async fn store(&mut self, living: &mut Living, rng: &mut Rng) -> Result<(), Violation> {
        while let Some(changes) = living.world.devices[OURS].next_write().map(<[Change]>::to_vec) {
            let asked = living.disk.now();
            let mut done = false;
            let sick = matches!(self.settings.plant, None | Some(Plant::LogTakenForDurable));
            if sick && rng.one_in(12) {
                living.disk.becomes(*rng.one_of(&ILLNESSES).unwrap_or(&Illness::NoSync));
                done = living.apply(changes.clone()).await.is_ok();
                living.disk.becomes(Illness::None);
                if !done {
                    living.open_again(self.settings.plant).await?;
                }
            }
            if !done {
                // What is in the store now is one or the other; the same once more changes nothing.
                living.apply(changes.clone()).await?;
            }
            living.world.write_next(OURS);
            if self.settings.plant == Some(Plant::OutboxDroppedWhenSent) {
                self.note(living, asked);
                let sent = changes.into_iter().filter(|change| change.key.first() == Some(&OUTBOX));
                let dropped: Vec<_> = sent.map(|change| Change { value: None, ..change }).collect();
                dropped.iter().for_each(|change| drop(living.world.devices[OURS].disk.remove(&change.key)));
                living.apply(dropped).await?;
            }
            living.hear();
            self.note(living, asked);
        }
        Ok(())
    }

    fn note(&mut self, living: &Living, asked: usize) {
        let rows = Arc::new(living.world.devices[OURS].disk.clone());
        let (answered, promised) = (living.disk.now(), Arc::clone(&living.promised));
        self.batches.push(Batch { asked, answered, rows, promised, world: living.world.after_power_cut() });
    }

    /// Lets the power go at some moment, opens what is left, looks whether everything that was promised is there,
    /// and lets the device go on.
    ///
    /// # Errors
    /// The promise that was not kept.
    pub async fn cut(&self, folder: &Path, seed: u64) -> Result<(), Violation> {
        let mut rng = Rng::new(seed);
        let answered = self.batches.iter().map(|batch| batch.answered);
        let at = moments::of_a_cut(self.journal.len(), 0, answered, &self.opened, &mut rng);
        let image = power_cut(&self.journal[..at], &mut rng);
        let Some(last) = self.batches.iter().rposition(|batch| batch.answered <= at) else {
            return found(folder, image).await.map(|_| ());
        };
        let promised = &self.batches[last];
        let under_way = self.batches.get(last + 1).filter(|batch| batch.asked < at);
        let rows = found(folder, image).await?;
        let mut abandoned = self.abandoned.iter().filter(|batch| batch.asked < at && at <= batch.answered);
        let may_be =
            under_way.is_some_and(|batch| rows == *batch.rows) || abandoned.any(|batch| rows == *batch.rows);
        if rows != *promised.rows && !may_be {
            return Err(Violation::LostRows(difference(&promised.rows, &rows)));
        }
        let mut world = promised.world.after_power_cut();
        world.devices[OURS].disk = rows;
        arrives(&mut world, &promised.promised)
    }
}

impl Living {
    async fn apply(&mut self, changes: Vec<Change>) -> Result<(), Violation> {
        match &mut self.store {
            Some(store) => store.apply(changes).await.map_err(stops),
            None => Err(Violation::Stops("there is no store".to_owned())),
        }
    }

    /// As the driver does after a failure, and between turns.
    async fn open_again(&mut self, plant: Option<Plant>) -> Result<(), Violation> {
        if let Some(store) = self.store.take() {
            store.close().await;
        }
        self.store = Some(open(&self.mounted, plant).await?.0);
        Ok(())
    }

    /// The app, the network or the other device does something.
    fn something(&mut self, rng: &mut Rng) {
        let world = &mut self.world;
        match rng.below(16) {
            0..7 => {
                let asked_for = world.try_push(OURS, [None, Some(0), Some(3600)][rng.below(3)]);
                self.asked_for.push(asked_for);
            }
            7 | 8 => {
                for _ in 0..1 + rng.below(20) {
                    let asked_for = world.try_push(OURS, None);
                    self.asked_for.push(asked_for);
                }
            }
            9 => world.disconnect(OURS),
            10 | 11 => world.connect(OURS),
            12 => drop(world.try_push(OTHER, None)),
            13 => drop(world.read(OURS)),
            14 => world.wait(1 + rng.below(100) as u64),
            _ if rng.one_in(6) => {
                world.command(OURS, Command::Rotate { remove: Vec::new(), keep_history: true });
            }
            _ => drop(world.read(OTHER)),
        }
    }

    /// Takes note of what the app was told is durable.
    fn hear(&mut self) {
        let world = &mut self.world;
        let mut promised = Vec::clone(&self.promised);
        self.asked_for.retain(|(id, data)| match world.devices[OURS].reply(*id) {
            Some(Ok(Reply::Queued(_))) => {
                promised.push(data.clone());
                false
            }
            Some(_) => false,
            None => true,
        });
        self.promised = Arc::new(promised);
    }
}

async fn open(mounted: &Mounted, plant: Option<Plant>) -> Result<(LocalStore, Rows), Violation> {
    let adjust = |options: SqliteConnectOptions| {
        // Production's would take a thousand pages.
        let options = on_disk(options).pragma("wal_autocheckpoint", "30");
        let normal = plant == Some(Plant::SynchronousNormal);
        if normal { options.synchronous(SqliteSynchronous::Normal) } else { options }
    };
    if plant != Some(Plant::LogTakenForDurable) {
        mounted.renew_log("client.db");
    }
    let opened = LocalStore::open(mounted.folder(), KEY, adjust).await;
    let (store, rows) = opened.map_err(|error| Violation::WontOpen(chain(&error)))?;
    Ok((store, rows.into_iter().collect()))
}

/// The rows that a power cut has left.
async fn found(folder: &Path, image: Image) -> Result<Rows, Violation> {
    let mounted = mount(folder, &Disk::of(image));
    let (store, rows) = open(&mounted, None).await?;
    integrity(&mounted.folder().join("client.db")).await?;
    store.close().await;
    Ok(rows)
}

/// The device goes on from what it has; everything that was in its outbox reaches the other one, in one chain.
fn arrives(world: &mut World, promised: &[Vec<u8>]) -> Result<(), Violation> {
    world.restart(OURS);
    world.connect(OTHER);
    // What was under way is not known to this world, which counts what apps push.
    for _ in 0..UNDER_WAY {
        world.new_data(world.id(OURS), OURS);
    }
    let more = world.push(OURS);
    world.wait(100);
    world.read(OTHER);
    world.read(OURS);
    if let Some(lost) = promised.iter().chain([&more]).find(|data| !world.has_read(OTHER, data)) {
        return Err(Violation::LostOutbox(String::from_utf8_lossy(lost).into_owned()));
    }
    if let Some(alarm) = world.alarms(OTHER).first() {
        return Err(Violation::BrokenChain(format!("{alarm:?}")));
    }
    world.verdict().or_else(|why| {
        // What an app had read was not yet noted when the power went: it is given once more.
        if why.starts_with("device 0") && why.ends_with("twice") {
            Ok(())
        } else {
            Err(Violation::Stops(why))
        }
    })
}

fn difference(expected: &Rows, found: &Rows) -> String {
    let lost = expected.keys().filter(|key| !found.contains_key(*key)).count();
    let more = found.keys().filter(|key| !expected.contains_key(*key)).count();
    let other =
        expected.iter().filter(|(key, value)| found.get(*key).is_some_and(|there| there != *value)).count();
    format!("{lost} rows are lost, {other} are others, {more} should not be there")
}

fn stops(failure: impl std::error::Error) -> Violation {
    Violation::Stops(chain(&failure))
}
