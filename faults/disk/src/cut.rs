//! What a power cut leaves of a disk.
//!
//! What was made durable is there. Of everything else a disk may have written any part, in any order, sector by
//! sector; and where a sector was being written that belongs to what was not durable, there may be garbage.

use std::collections::BTreeMap;

use crate::Rng;
use crate::disk::{FileNo, Image, Step, usize_of, write_at};

/// Bytes that a disk writes in one go.
const SECTORS: [usize; 2] = [512, 4096];

/// Which of what was not durable has reached the disk.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Nothing,
    Everything,
    /// Whatever came first.
    First(usize),
    /// Any sector with this chance of `of` in 8.
    Sectors {
        size: usize,
        of: usize,
    },
}

#[derive(Debug, Default)]
struct Content<'j> {
    /// What is durable.
    durable: Vec<u8>,
    /// What was asked for since.
    waiting: Vec<(usize, &'j Step)>,
}

/// What is on the disk when the power goes after these steps.
pub fn power_cut(journal: &[Step], rng: &mut Rng) -> Image {
    let mut files: BTreeMap<FileNo, Content<'_>> = BTreeMap::new();
    let mut names: BTreeMap<&str, FileNo> = BTreeMap::new();
    let mut new_names: Vec<&Step> = Vec::new();
    for (at, step) in journal.iter().enumerate() {
        match step {
            Step::Create(no, _) => {
                files.entry(*no).or_default();
                new_names.push(step);
            }
            Step::Delete(_) => new_names.push(step),
            Step::Write(no, ..) | Step::Truncate(no, _) => {
                files.entry(*no).or_default().waiting.push((at, step));
            }
            Step::Sync(no) => files.entry(*no).or_default().settle(Fate::Everything, rng),
            Step::SyncFailed(no) => {
                let fate = chance(journal.len(), rng);
                files.entry(*no).or_default().settle(fate, rng);
            }
            Step::SyncFolder => new_names.drain(..).for_each(|step| rename(&mut names, step)),
        }
    }
    // Steps are lost together: those of all files, and names, have one fate.
    let oldest = files.values().filter_map(|content| content.waiting.first()).map(|(at, _)| *at).min();
    let fate = match chance(journal.len() - oldest.unwrap_or(journal.len()), rng) {
        Fate::First(n) => Fate::First(n + oldest.unwrap_or_default()),
        fate @ (Fate::Nothing | Fate::Everything | Fate::Sectors { .. }) => fate,
    };
    for step in new_names {
        let lost = match fate {
            Fate::Nothing => true,
            Fate::Everything => false,
            Fate::First(_) | Fate::Sectors { .. } => rng.one_in(2),
        };
        if !lost {
            rename(&mut names, step);
        }
    }
    for content in files.values_mut() {
        content.settle(fate, rng);
    }
    names
        .into_iter()
        .filter_map(|(name, no)| Some((name.to_owned(), files.get(&no)?.durable.clone())))
        .collect()
}

fn chance(steps: usize, rng: &mut Rng) -> Fate {
    let size = *rng.one_of(&SECTORS).unwrap_or(&512);
    match rng.below(8) {
        0 => Fate::Nothing,
        1 => Fate::Everything,
        2 | 3 => Fate::First(rng.below(steps + 1)),
        _ => Fate::Sectors { size, of: 1 + rng.below(7) },
    }
}

fn rename<'j>(names: &mut BTreeMap<&'j str, FileNo>, step: &'j Step) {
    match step {
        Step::Create(no, name) => drop(names.insert(name, *no)),
        Step::Delete(name) => drop(names.remove(name.as_str())),
        Step::Write(..) | Step::Truncate(..) | Step::Sync(_) | Step::SyncFolder | Step::SyncFailed(_) => {}
    }
}

impl Content<'_> {
    /// What waits has its fate, and nothing of it waits any more.
    fn settle(&mut self, fate: Fate, rng: &mut Rng) {
        for (at, step) in self.waiting.drain(..) {
            match step {
                Step::Write(_, offset, bytes) => match fate {
                    Fate::Nothing => {}
                    Fate::Everything => write_at(&mut self.durable, *offset, bytes),
                    Fate::First(end) if at + 1 < end => write_at(&mut self.durable, *offset, bytes),
                    // The one that was being written.
                    Fate::First(end) if at + 1 == end => tear(&mut self.durable, *offset, bytes, 512, 4, rng),
                    Fate::First(_) => {}
                    Fate::Sectors { size, of } => tear(&mut self.durable, *offset, bytes, size, of, rng),
                },
                Step::Truncate(_, len) => {
                    let done = match fate {
                        Fate::Nothing => false,
                        Fate::Everything => true,
                        Fate::First(end) => at < end,
                        Fate::Sectors { of, .. } => rng.below(8) < of,
                    };
                    if done {
                        self.durable.truncate(usize_of(*len));
                    }
                }
                Step::Create(..)
                | Step::Delete(_)
                | Step::Sync(_)
                | Step::SyncFolder
                | Step::SyncFailed(_) => {}
            }
        }
    }
}

/// Some sectors of a write reach the disk, and now and then one of them as garbage.
fn tear(content: &mut Vec<u8>, offset: u64, bytes: &[u8], sector: usize, of: usize, rng: &mut Rng) {
    let start = usize_of(offset);
    let mut at = start;
    while at < start + bytes.len() {
        let end = ((at / sector + 1) * sector).min(start + bytes.len());
        let part = &bytes[at - start..end - start];
        if rng.below(8) < of {
            if rng.one_in(64) {
                write_at(content, at as u64, &rng.some_bytes(part.len()));
            } else {
                write_at(content, at as u64, part);
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::disk::Disk;

    const SIZE: usize = 2048;

    /// A file of ones that is durable, and twos over it that are not.
    fn journal() -> Vec<Step> {
        let disk = Disk::new();
        let file = disk.open("file", true).unwrap();
        disk.write(&file, 0, &[1; SIZE]).unwrap();
        disk.sync(&file, true).unwrap();
        disk.write(&file, 0, &[2; SIZE]).unwrap();
        disk.journal()
    }

    fn contents(journal: &[Step], cuts: u64) -> Vec<Option<Vec<u8>>> {
        (0..cuts).map(|seed| power_cut(journal, &mut Rng::new(seed)).remove("file")).collect()
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_may_be_torn() {
        let durable = &journal()[..4];
        assert!(contents(durable, 50).into_iter().all(|content| content == Some(vec![1; SIZE])));
        let contents = contents(&journal(), 200);
        let firsts = |content: &Option<Vec<u8>>| {
            content.as_ref().unwrap().chunks(512).map(|sector| sector[0]).collect::<Vec<_>>()
        };
        let kinds: BTreeSet<_> = contents.iter().map(firsts).collect();
        for kind in [[1, 1, 1, 1], [2, 2, 2, 2], [1, 2, 1, 2], [2, 1, 1, 1]] {
            assert!(kinds.contains(kind.as_slice()), "{kind:?} never happened");
        }
    }

    #[test]
    fn what_could_not_be_synced_is_not_made_durable_by_the_next_sync() {
        let mut journal = journal();
        journal.extend([Step::SyncFailed(0), Step::Write(0, 0, Arc::from([3; 512])), Step::Sync(0)]);
        let contents = contents(&journal, 200);
        assert!(contents.iter().flatten().all(|content| content[..512] == [3; 512]));
        assert!(contents.iter().flatten().any(|content| content[512..] == [1; SIZE - 512]));
        assert!(contents.iter().flatten().any(|content| content[512..] == [2; SIZE - 512]));
    }

    #[test]
    fn a_name_is_durable_with_its_folder_only() {
        let unnamed = &journal()[..3];
        let contents = contents(unnamed, 50);
        assert!(contents.contains(&None) && contents.contains(&Some(vec![1; SIZE])));
    }
}
