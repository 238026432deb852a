//! When things happen to a disk.

use crate::Rng;
use crate::disk::Step;

/// When everything is ended as by `kill -9`: in the last quarter of what came after `first`.
pub(crate) fn of_a_kill(journal: &[Step], first: usize, rng: &mut Rng) -> usize {
    let late = first + (journal.len() - first) / 4 * 3;
    let some_time = late + rng.below(journal.len() - late);
    let mut rest = journal[some_time..].iter();
    let later = match rng.below(3) {
        // Everything was written, and nothing of it is durable.
        0 => rest.position(|step| matches!(step, Step::Sync(_))),
        // It never will be, and the system does not say so twice.
        1 => rest.position(|step| matches!(step, Step::SyncFailed(_))).map(|position| position + 1),
        _ => None,
    };
    some_time + later.unwrap_or_default()
}

/// When the power goes: any time after `begins`, or when something was `answered`, or the database `opened`.
pub(crate) fn of_a_cut(
    steps: usize,
    begins: usize,
    answered: impl Iterator<Item = usize>,
    opened: &[usize],
    rng: &mut Rng,
) -> usize {
    let told: Vec<_> = match rng.below(4) {
        0 => answered.collect(),
        1 => opened.to_vec(),
        _ => Vec::new(),
    };
    let some_time = begins + rng.below(steps + 1 - begins);
    rng.one_of(&told).copied().filter(|at| *at >= begins).unwrap_or(some_time)
}
