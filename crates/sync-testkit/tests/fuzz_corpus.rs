//! Everything that the fuzz targets have met, again: `fuzz/corpus` is what reaches most of the code,
//! `fuzz/regressions` is what once was a bug.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sync_testkit::fuzz::{TARGETS, Target};

fn fuzz_dir() -> PathBuf {
    // At run time, not at build time: a build may be reused by another checkout.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    Path::new(&manifest).join("../../fuzz")
}

/// The names in a folder, sorted; none, if there is no such folder.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn targets() -> BTreeSet<String> {
    TARGETS.map(|target| target.name.to_owned()).into()
}

/// Says which input it was when a target panics.
struct Current<'a>(&'a Path);

impl Drop for Current<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

/// Runs a target with every file of a folder; gives how many there are.
fn replay(target: Target, dir: &Path) -> usize {
    let names = names(dir);
    for path in names.iter().map(|name| dir.join(name)) {
        let current = Current(&path);
        (target.run)(&fs::read(&path).unwrap());
        drop(current);
    }
    names.len()
}

#[test]
fn every_input_that_was_ever_of_interest_is_taken() {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = replay(*target, &fuzz_dir().join("corpus").join(target.name));
            assert!(found > 0, "{} has no corpus: cargo xtask fuzz --seeds makes one", target.name);
            replay(*target, &fuzz_dir().join("regressions").join(target.name));
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
}

#[test]
fn folders_programs_and_functions_have_the_same_names() {
    let known = targets();
    for folder in ["corpus", "regressions"] {
        let stray: Vec<_> = names(&fuzz_dir().join(folder)).difference(&known).cloned().collect();
        assert!(stray.is_empty(), "fuzz/{folder} has folders of no target: {stray:?}");
    }
    let programs: BTreeSet<_> = names(&fuzz_dir().join("fuzz_targets"))
        .iter()
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    assert_eq!(programs, known, "fuzz/fuzz_targets, and sync_testkit::fuzz::TARGETS");
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    for name in known {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml has no program {name}");
        let program = fs::read_to_string(fuzz_dir().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("sync_testkit::fuzz::{name}(")), "{name}.rs calls another target");
    }
}

#[test]
fn seeds_are_taken_and_are_the_same_each_time() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        assert_eq!(seeds, (target.seeds)(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
    }
}
