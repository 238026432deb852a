//! Counting what passed and what did not.

use std::time::{Duration, Instant};

/// What one step found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests that were left out because they are marked as ignored.
    pub(crate) ignored: u64,
}

impl Counts {
    pub(crate) const ONE_PASSED: Self = Self { passed: 1, failed: 0, ignored: 0 };
    pub(crate) const ONE_FAILED: Self = Self { passed: 0, failed: 1, ignored: 0 };

    /// Adds what a line of a test run says, if it is one that sums up a test binary:
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; …`.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some((_, rest)) = line.strip_prefix("test result: ").and_then(|l| l.split_once(". ")) else {
            return;
        };
        for part in rest.split(';') {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds what a line says that is nothing but a sum: `746 passed, 0 failed`.
    pub(crate) fn add_sum_line(&mut self, line: &str) {
        let Some((passed, failed)) = line.split_once(" passed, ") else { return };
        let failed = failed.strip_suffix(" failed").and_then(|n| n.parse::<u64>().ok());
        if let (Ok(passed), Some(failed)) = (passed.parse::<u64>(), failed) {
            self.passed += passed;
            self.failed += failed;
        }
    }

    /// Adds what a line of the Test Anything Protocol says, if it is one of those that Node.js ends with.
    pub(crate) fn add_tap_line(&mut self, line: &str) {
        let number = |what| line.strip_prefix(what).and_then(|rest: &str| rest.trim().parse::<u64>().ok());
        self.passed += number("# pass ").unwrap_or(0);
        self.failed += number("# fail ").or_else(|| number("# cancelled ")).unwrap_or(0);
        self.ignored += number("# skipped ").or_else(|| number("# todo ")).unwrap_or(0);
    }
}

/// All steps of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    steps: Vec<(&'static str, Counts, Duration)>,
}

impl Tally {
    /// Runs one step and shows how it ended. An error counts as a failed check.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> anyhow::Result<Counts>,
    ) -> Counts {
        println!("\n=== {name}");
        let start = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Counts::ONE_FAILED
        });
        let took = start.elapsed();
        println!("--- {name}: {} ({:.1} s)", word(counts), took.as_secs_f64());
        self.steps.push((name, counts, took));
        counts
    }

    /// Shows every step and, last, the sum. Gives whether all is well.
    pub(crate) fn finish(&self) -> bool {
        println!();
        let mut sum = Counts::default();
        let mut time = Duration::ZERO;
        for (name, counts, took) in &self.steps {
            println!("{:<7} {:>7.1} s  {name}", word(*counts), took.as_secs_f64());
            sum.passed += counts.passed;
            sum.failed += counts.failed;
            time += *took;
        }
        println!("        {:>7.1} s  in all", time.as_secs_f64());
        println!("{} passed, {} failed", sum.passed, sum.failed);
        sum.failed == 0
    }
}

fn word(counts: Counts) -> &'static str {
    match counts {
        Counts { failed: 1.., .. } => "FAILED",
        Counts { passed: 0, .. } => "not run",
        _ => "ok",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up_and_other_lines_do_not_count() {
        let mut counts = Counts::default();
        for line in [
            "running 7 tests",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "test a::b ... ok",
            "9 passed; 9 failed",
        ] {
            counts.add_line(line);
        }
        assert_eq!(counts, Counts { passed: 6, failed: 2, ignored: 1 });
    }

    #[test]
    fn the_end_of_a_node_run_adds_up() {
        let mut counts = Counts::default();
        for line in
            ["ok 1 - a", "# tests 9", "# pass 4", "# fail 2", "# cancelled 1", "# skipped 1", "# todo 1"]
        {
            counts.add_tap_line(line);
        }
        assert_eq!(counts, Counts { passed: 4, failed: 3, ignored: 2 });
    }

    #[test]
    fn a_line_that_is_a_sum_adds_up() {
        let mut counts = Counts::default();
        for line in ["746 passed, 2 failed", "    logs accepted   4, 1 failed", "x passed, 1 failed"] {
            counts.add_sum_line(line);
        }
        assert_eq!(counts, Counts { passed: 746, failed: 2, ignored: 0 });
    }

    #[test]
    fn a_step_that_errs_fails_the_run() {
        let mut tally = Tally::default();
        tally.step("good", || Ok(Counts::ONE_PASSED));
        assert!(tally.finish());
        tally.step("bad", || anyhow::bail!("no"));
        assert!(!tally.finish());
    }
}
