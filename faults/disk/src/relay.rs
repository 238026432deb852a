//! The relay's store through power cuts.
//!
//! [`Life::lived`] runs a workload on a [`Disk`], with a few restarts and kills in it, and keeps for every batch
//! of writes when it was asked for, when it was answered, and what the database held then. [`Life::cut`] lets the
//! power go at some moment of that life and looks at what is left: it must be what was there after the last batch
//! that was answered, or after the one that was under way.

mod held;
mod model;
mod ops;
mod subject;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sync_relay_core::store::{ReadOp, WriteOp};

use crate::disk::{Disk, Illness, Image, Journal};
use crate::look::integrity;
use crate::{Mounted, Rng, Violation, moments, mount, power_cut};
use held::Digest;
use model::Model;
use subject::Subject;

/// After so many batches the relay is stopped and started.
const RESTART: usize = 40;

/// What the disk may suffer from while a batch is written. Who is not answered asks again.
const ILLNESSES: [Illness; 4] = [Illness::NoSync, Illness::NoSync, Illness::Full, Illness::ReadOnly];

/// What a life is like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where its chance begins.
    pub seed: u64,
    /// Batches of writes in all.
    pub batches: usize,
    /// A mistake that the cuts must find.
    pub plant: Option<Plant>,
}

/// Mistakes that a relay must not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Commits do not wait for the disk.
    SynchronousNormal,
    /// A batch is answered before it is written.
    AckBeforeCommit,
    /// What is in the log when the relay starts is taken to be durable.
    LogTakenForDurable,
    /// The newest cursor is taken from the blobs that are there.
    CursorFromBlobs,
}

/// A batch of writes.
#[derive(Debug, Clone)]
struct Batch {
    /// When it was asked for: a place in the journal.
    asked: usize,
    /// When it was answered.
    answered: usize,
    ops: Vec<WriteOp>,
    /// What the database held then.
    digest: Digest,
    /// What was promised then.
    model: Arc<Model>,
}

/// What happened on a disk, and what was promised meanwhile.
#[derive(Debug)]
pub struct Life {
    journal: Journal,
    /// The first is the opening of the database, and asks for nothing.
    batches: Vec<Batch>,
    /// From when on the power may go.
    begins: usize,
    /// When the database had been opened after that, and whoever asks was told what is in it.
    opened: Vec<usize>,
    settings: Settings,
}

/// A power cut of a life, and then perhaps another one.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Where its chance begins.
    pub seed: u64,
    /// Whether the power may go again while the database recovers and goes on.
    pub again: bool,
}

impl Life {
    /// Runs a workload in a folder.
    ///
    /// # Errors
    /// What did not even hold without a power cut.
    pub async fn lived(folder: &Path, settings: Settings) -> Result<Self, Violation> {
        let mut rng = Rng::new(settings.seed);
        let lives = match settings.plant {
            None => 1 + rng.below(4),
            Some(Plant::LogTakenForDurable) => 4,
            Some(_) => 1,
        };
        let mut life =
            Self { journal: Journal::new(), batches: Vec::new(), begins: 0, opened: Vec::new(), settings };
        let each = life.settings.batches / lives;
        for n in 0..lives {
            if n > 0 {
                life.kill(&mut rng);
            }
            let disk = Disk::after_kill(std::mem::take(&mut life.journal));
            let mounted = mount(folder, &disk);
            life.go_on(&disk, &mounted, each, &mut rng).await?;
            life.journal = disk.journal();
        }
        Ok(life)
    }

    /// How often it was written to, synced and the like.
    pub fn steps(&self) -> usize {
        self.journal.len()
    }

    /// Kinds of writes that did something, with how many of each.
    pub fn done(&self) -> BTreeMap<&'static str, usize> {
        self.batches.last().map(|batch| batch.model.done.clone()).unwrap_or_default()
    }

    /// Ends everything at some moment of the last quarter, as a `kill -9` would.
    fn kill(&mut self, rng: &mut Rng) {
        let first = self.batches.first().map_or(0, |batch| batch.answered);
        let at = moments::of_a_kill(&self.journal, first, rng);
        self.journal.truncate(at);
        let asked = self.batches.iter().filter(|batch| batch.asked < at || batch.answered <= at).count();
        self.batches.truncate(asked.max(1));
    }

    /// Opens what is there, and writes so many batches more.
    async fn go_on(
        &mut self,
        disk: &Arc<Disk>,
        mounted: &Mounted,
        batches: usize,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        let killed_at = disk.now();
        let mut subject = Subject::open(mounted, &self.settings, rng).await?;
        if rng.one_in(2) {
            // With a reader, the log's index outlives a writer that has failed.
            subject.read(ReadOp::Stats).await?;
        }
        self.opened.push(disk.now());
        let digest = held::digest(mounted).await?;
        let mut retry = Vec::new();
        let last = match self.batches.pop() {
            None => {
                let model = Arc::default();
                Batch { asked: 0, answered: disk.now(), ops: Vec::new(), digest: digest.clone(), model }
            }
            Some(batch) if batch.answered <= killed_at => batch,
            // It was there when the database was opened again: whoever asks now is told so.
            Some(batch) if batch.digest == digest => Batch { answered: disk.now(), ..batch },
            // It was under way, and whoever asked asks again.
            Some(batch) => {
                retry = batch.ops;
                self.batches.pop().ok_or(Violation::NeverWritten)?
            }
        };
        if last.digest != digest {
            return Err(Violation::NeverWritten);
        }
        let mut model = Arc::clone(&last.model);
        self.batches.push(last);
        for n in 1..=batches {
            if n % RESTART == 0 && self.settings.plant.is_none() {
                subject.close().await?;
                subject = Subject::open(mounted, &self.settings, rng).await?;
            }
            let ops = if retry.is_empty() { ops::batch(&model, rng) } else { std::mem::take(&mut retry) };
            let asked = disk.now();
            let mut outcomes = None;
            if matches!(self.settings.plant, None | Some(Plant::LogTakenForDurable)) && rng.one_in(8) {
                disk.becomes(*rng.one_of(&ILLNESSES).unwrap_or(&Illness::NoSync));
                outcomes = subject.apply(&ops).await.ok();
                disk.becomes(Illness::None);
            }
            let outcomes = match outcomes {
                Some(outcomes) => outcomes,
                None => subject.apply(&ops).await?,
            };
            let answered = disk.now();
            let mut after = Model::clone(&model);
            for (op, outcome) in ops.iter().zip(&outcomes) {
                after.learn(op, outcome)?;
            }
            model = Arc::new(after);
            let digest = held::digest(mounted).await?;
            self.batches.push(Batch { asked, answered, ops, digest, model: Arc::clone(&model) });
        }
        subject.close().await
    }

    /// Lets the power go at some moment, opens what is left, looks whether everything that was promised is there,
    /// and goes on.
    ///
    /// # Errors
    /// The promise that was not kept.
    pub async fn cut(&self, folder: &Path, cut: Cut) -> Result<(), Violation> {
        let mut rng = Rng::new(cut.seed);
        let answered = self.batches.iter().map(|batch| batch.answered);
        let at = moments::of_a_cut(self.journal.len(), self.begins, answered, &self.opened, &mut rng);
        let image = power_cut(&self.journal[..at], &mut rng);
        let again = cut.again.then(|| image.clone());
        let Some(found) = self.look(folder, image, at, &mut rng).await? else { return Ok(()) };
        let Some(image) = again else { return Ok(()) };
        // The power goes once more, while the database recovers or soon after.
        let disk = Disk::of(image);
        let begins = disk.now();
        let batches = vec![Batch { asked: 0, answered: begins, ..found }];
        let mut next = Self {
            journal: Journal::new(),
            batches,
            begins,
            opened: Vec::new(),
            settings: self.settings.clone(),
        };
        let mounted = mount(folder, &disk);
        next.go_on(&disk, &mounted, 2, &mut rng).await?;
        next.journal = disk.journal();
        drop(mounted);
        let again = Cut { seed: cut.seed.wrapping_add(1 << 32), again: false };
        Box::pin(next.cut(folder, again)).await
    }

    /// Opens what is left after a power cut; gives the batch up to which everything is there. None: nothing was
    /// promised yet, and a new relay could be started.
    async fn look(
        &self,
        folder: &Path,
        image: Image,
        at: usize,
        rng: &mut Rng,
    ) -> Result<Option<Batch>, Violation> {
        let disk = Disk::of(image);
        let mounted = mount(folder, &disk);
        let settings = Settings { plant: None, ..self.settings.clone() };
        let subject = Subject::open(&mounted, &settings, rng).await?;
        integrity(&mounted.folder().join("relay.db")).await?;
        let digest = held::digest(&mounted).await?;
        let Some(last) = self.batches.iter().rposition(|batch| batch.answered <= at) else { return Ok(None) };
        let promised = &self.batches[last];
        let under_way = self.batches.get(last + 1).filter(|batch| batch.asked < at);
        held::promises(&subject, &promised.model, under_way.map(|batch| &*batch.model)).await?;
        let found = [Some(promised), under_way].into_iter().flatten().find(|batch| batch.digest == digest);
        if self.settings.plant == Some(Plant::CursorFromBlobs) {
            held::take_cursors_from_blobs(&mounted).await?;
        }
        subject.every_group_goes_on(&found.unwrap_or(promised).model, rng).await?;
        subject.close().await?;
        found.cloned().map(Some).ok_or(Violation::NeverWritten)
    }
}
