//! What the relay counts of itself, in Prometheus' form. No label names a group or a device.

use std::time::Duration;

use axum::http::StatusCode;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};
use sync_types::ErrorCode;

use crate::sqlite::Totals;

/// How often what was measured is put into its buckets, whether somebody asks or not: until then it is kept one by one.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of times, in seconds: from a read out of memory to a disk that hangs.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the writes in a commit, of which the writer takes 512 together.
const WRITES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Upper bounds of the bytes in a commit, of which the writer takes 8 MiB together.
const BYTES: [f64; 9] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

const COMMIT_SECONDS: &str = "sync_relay_commit_seconds";
const COMMIT_WRITES: &str = "sync_relay_commit_writes";
const COMMIT_BYTES: &str = "sync_relay_commit_bytes";
const PULL_SECONDS: &str = "sync_relay_pull_seconds";
const REFUSALS: &str = "sync_relay_refusals_total";

/// Where the parts of one relay count.
#[derive(Debug)]
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    counters: Counters,
}

/// What is counted while the relay works.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) sessions: Counter,
    pub(crate) pushes: Counter,
    pub(crate) pushed_blobs: Counter,
    pub(crate) pushed_bytes: Counter,
    pub(crate) pulls: Counter,
    pub(crate) pulled_blobs: Counter,
    pub(crate) pulled_bytes: Counter,
    pub(crate) failed_commits: Counter,
    pub(crate) failed_reads: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_writes: Histogram,
    pub(crate) commit_bytes: Histogram,
    pub(crate) pull_seconds: Histogram,
}

/// What is only looked at when somebody asks.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) connections: usize,
    pub(crate) strangers: usize,
    pub(crate) evictions: u64,
    pub(crate) queued_writes: usize,
    pub(crate) uptime: Duration,
    /// `None` when storage does not answer.
    pub(crate) totals: Option<Totals>,
    /// Whether storage takes something.
    pub(crate) writes: bool,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let histogram = |name: &str| Matcher::Full(name.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(histogram(COMMIT_SECONDS), &SECONDS)?
            .set_buckets_for_metric(histogram(PULL_SECONDS), &SECONDS)?
            .set_buckets_for_metric(histogram(COMMIT_WRITES), &WRITES)?
            .set_buckets_for_metric(histogram(COMMIT_BYTES), &BYTES)?
            .build_recorder();
        let counters = with_local_recorder(&recorder, || {
            describe();
            // Those that have not happened yet are 0, not absent.
            for code in ErrorCode::ALL {
                counter!(REFUSALS, "by" => "sync", "reason" => code.name().to_ascii_lowercase()).absolute(0);
            }
            gauge!("sync_relay_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
            Counters {
                sessions: counter!("sync_relay_sessions_total"),
                pushes: counter!("sync_relay_pushes_total"),
                pushed_blobs: counter!("sync_relay_pushed_blobs_total"),
                pushed_bytes: counter!("sync_relay_pushed_bytes_total"),
                pulls: counter!("sync_relay_pulls_total"),
                pulled_blobs: counter!("sync_relay_pulled_blobs_total"),
                pulled_bytes: counter!("sync_relay_pulled_bytes_total"),
                failed_commits: counter!("sync_relay_storage_failures_total", "of" => "commit"),
                failed_reads: counter!("sync_relay_storage_failures_total", "of" => "read"),
                commit_seconds: histogram!(COMMIT_SECONDS),
                commit_writes: histogram!(COMMIT_WRITES),
                commit_bytes: histogram!(COMMIT_BYTES),
                pull_seconds: histogram!(PULL_SECONDS),
            }
        });
        Ok(Self { recorder, counters })
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A session, or a connection to `/sync`, was refused something.
    pub(crate) fn refused(&self, code: ErrorCode) {
        self.count_refusal("sync", code.name().to_ascii_lowercase());
    }

    /// A request was answered with an error.
    pub(crate) fn answered(&self, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            let reason = status.canonical_reason().unwrap_or("other");
            self.count_refusal("http", reason.to_ascii_lowercase().replace(' ', "_"));
        }
    }

    fn count_refusal(&self, by: &'static str, reason: String) {
        with_local_recorder(&self.recorder, || {
            counter!(REFUSALS, "by" => by, "reason" => reason).increment(1)
        });
    }

    /// Puts what was measured into its buckets.
    pub(crate) fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn render(&self, now: &Snapshot) -> String {
        with_local_recorder(&self.recorder, || {
            gauge!("sync_relay_connections").set(now.connections as f64);
            gauge!("sync_relay_strangers").set(now.strangers as f64);
            counter!("sync_relay_evictions_total").absolute(now.evictions);
            gauge!("sync_relay_queued_writes").set(now.queued_writes as f64);
            gauge!("sync_relay_uptime_seconds").set(now.uptime.as_secs_f64());
            let up = now.totals.is_some() && now.writes;
            gauge!("sync_relay_storage_up").set(if up { 1.0 } else { 0.0 });
            if let Some(totals) = &now.totals {
                gauge!("sync_relay_groups").set(totals.groups as f64);
                gauge!("sync_relay_devices").set(totals.devices as f64);
                gauge!("sync_relay_blobs").set(totals.blobs as f64);
                gauge!("sync_relay_stored_bytes").set(totals.stored_bytes as f64);
                gauge!("sync_relay_database_bytes").set(totals.used_bytes as f64);
            }
        });
        self.recorder.handle().render()
    }
}

fn describe() {
    describe_gauge!("sync_relay_build_info", "Always 1; the version is in the label.");
    describe_gauge!("sync_relay_uptime_seconds", "Time since the relay's start.");
    describe_gauge!("sync_relay_connections", "Members' connections to /sync.");
    describe_gauge!("sync_relay_strangers", "Sockets that have not shown to be a member's.");
    describe_gauge!("sync_relay_queued_writes", "Writes that wait for the writer.");
    describe_gauge!("sync_relay_storage_up", "Whether storage answers, and takes what is pushed.");
    describe_gauge!("sync_relay_groups", "Groups.");
    describe_gauge!("sync_relay_devices", "Devices of all groups that were not removed.");
    describe_gauge!("sync_relay_blobs", "Blobs of all groups.");
    describe_gauge!("sync_relay_stored_bytes", "What the blobs count for in their groups' storage.");
    describe_gauge!("sync_relay_database_bytes", "The database's used pages.");
    describe_counter!("sync_relay_sessions_total", "Members' connections that were let in.");
    describe_counter!("sync_relay_evictions_total", "Sockets that had to make room for others.");
    describe_counter!("sync_relay_pushes_total", "Pushes that were stored, a batch being one.");
    describe_counter!("sync_relay_pushed_blobs_total", "Blobs that were stored.");
    describe_counter!("sync_relay_pushed_bytes_total", "Their sealed bytes.");
    describe_counter!("sync_relay_pulls_total", "Pages that were read.");
    describe_counter!("sync_relay_pulled_blobs_total", "Blobs in them.");
    describe_counter!("sync_relay_pulled_bytes_total", "Their sealed bytes.");
    describe_counter!("sync_relay_storage_failures_total", "Commits and reads that storage failed to do.");
    describe_counter!(REFUSALS, "What was refused, over /sync and over HTTP, by reason.");
    describe_histogram!(COMMIT_SECONDS, "How long a commit took.");
    describe_histogram!(COMMIT_WRITES, "Writes in a commit.");
    describe_histogram!(COMMIT_BYTES, "Blob bytes in a commit.");
    describe_histogram!(PULL_SECONDS, "How long it took to read a page.");
}
