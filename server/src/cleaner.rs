//! What time asks of storage: again and again, in pieces so small that pushes do not feel it.

use std::sync::Arc;
use std::time::Duration;

use sync_relay_core::store::{Chore, Cleaned, Cleanup, Seen, Store, StoreError, WriteOp, WriteResult};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, error};

use crate::clock::Clock;
use crate::fanout::Fanout;
use crate::relay::asked;

/// Rows of one piece. A push waits for one piece at most.
const PIECE: u32 = 256;
/// The first cleanup comes so long after the start, or sooner: devices come back first.
const FIRST: Duration = Duration::from_secs(60);
/// What there is to do when a group was deleted.
const AFTER_DELETION: [Chore; 2] = [Chore::Erase, Chore::Vacuum];

/// Cleans up a store beside its one writer, in transactions of its own: if one fails, nobody else's does.
#[derive(Debug)]
pub(crate) struct Cleaner<S> {
    pub(crate) store: Arc<S>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
    pub(crate) vacuum: bool,
}

impl<S: Store> Cleaner<S> {
    /// Runs until the relay is asked to stop; then the piece under way is the last one.
    pub(crate) async fn run(self, mut stopping: watch::Receiver<bool>) {
        // What time it is, is noted before anything is stored by it: were the clock wrong now and right at the
        // first cleanup, everything of the time between would look old.
        self.chore_or_error(Chore::Begin, &stopping).await;
        let mut wait = self.interval.min(FIRST);
        loop {
            let chores: &[Chore] = tokio::select! {
                () = sleep(wait) => {
                    wait = self.interval;
                    &Chore::ALL
                }
                () = self.fanout.group_deleted() => &AFTER_DELETION,
                () = asked(&mut stopping) => return,
            };
            if chores.contains(&Chore::Begin) {
                self.note_who_is_online().await;
            }
            for chore in chores.iter().filter(|chore| self.vacuum || **chore != Chore::Vacuum) {
                self.chore_or_error(*chore, &stopping).await;
            }
        }
    }

    async fn chore_or_error(&self, chore: Chore, stopping: &watch::Receiver<bool>) {
        match self.chore(chore, stopping).await {
            Ok(0) => {}
            Ok(rows) => debug!(?chore, rows, "cleaned up"),
            Err(failure) => {
                let cause: &dyn std::error::Error = &failure;
                error!(cause = cause.source(), ?chore, "a cleanup failed");
            }
        }
    }

    /// Who is connected is not away, however little it says.
    async fn note_who_is_online(&self) {
        let now = self.clock.now().unix;
        for devices in self.fanout.online().chunks(PIECE as usize) {
            let op = WriteOp::Seen(Seen { devices: devices.to_vec(), now });
            if let Err(failure) = self.store.apply(&[op]).await {
                let cause: &dyn std::error::Error = &failure;
                error!(cause = cause.source(), "a cleanup failed");
            }
        }
    }

    /// The whole of one chore, if nobody wants the relay to stop; gives the rows.
    async fn chore(&self, chore: Chore, stopping: &watch::Receiver<bool>) -> Result<u64, StoreError> {
        let (mut rows, mut from) = (0, Some(0));
        while let Some(start) = from.filter(|_| !*stopping.borrow()) {
            let op = Cleanup { chore, from: start, most: PIECE, now: self.clock.now().unix };
            let mut outcomes = self.store.apply(&[WriteOp::Cleanup(op)]).await?;
            let Some(Ok(WriteResult::Cleaned(Cleaned { rows: more, next }))) = outcomes.pop() else {
                break;
            };
            (rows, from) = (rows + more, next);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sync_relay_core::Registration;
    use sync_relay_core::store::{ReadOp, ReadResult, WriteOutcome};
    use sync_types::{DeviceId, GroupId};
    use tokio::sync::mpsc;

    use super::*;

    /// Says what it is asked; one chore has three pieces, and one fails.
    struct Told(mpsc::UnboundedSender<String>);

    impl Store for Told {
        async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
            let [op] = batch else { panic!("one piece at a time") };
            #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is asked")]
            let (said, result) = match op {
                WriteOp::Seen(seen) => (format!("{} are online", seen.devices.len()), WriteResult::Seen),
                WriteOp::Cleanup(op) => {
                    let next = (op.chore == Chore::Expired && op.from < 2).then_some(op.from + 1);
                    (format!("{:?} {}", op.chore, op.from), WriteResult::Cleaned(Cleaned { rows: 1, next }))
                }
                other => panic!("{other:?}"),
            };
            let fails = said.starts_with("Tombstones");
            let _ = self.0.send(said);
            if fails { Err(StoreError::new("no")) } else { Ok(vec![Ok(result)]) }
        }
        async fn read(&self, _: &ReadOp) -> Result<ReadResult, StoreError> {
            Err(StoreError::new("no"))
        }
    }

    #[tokio::test]
    async fn every_chore_is_done_to_its_end_and_a_failure_stops_no_other() {
        let (sender, mut said) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let (fanout, clock) = (Arc::new(Fanout::new(1)), Clock::start(SystemTime::now));
        let seat = fanout.open(clock);
        seat.register(Registration {
            group: GroupId([1; 32]),
            device: DeviceId::from_bytes([2; 32]).unwrap(),
        });
        let store = Arc::new(Told(sender));
        let interval = Duration::from_millis(1);
        let cleaner = Cleaner { store, fanout, clock, interval, vacuum: false };
        let task = tokio::spawn(cleaner.run(stopping));
        let expected = [
            "Begin 0",
            "1 are online",
            "Begin 0",
            "Invites 0",
            "Tombstones 0",
            "Expired 0",
            "Expired 1",
            "Expired 2",
            "Groups 0",
            "Erase 0",
            "1 are online",
        ];
        for step in expected {
            assert_eq!(said.recv().await.as_deref(), Some(step));
        }
        stop.send(true).unwrap();
        task.await.unwrap();
    }
}
