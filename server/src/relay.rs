//! A relay from its start to its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sync_relay_core::{Policy, RelayIdentity};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::accept::{self, Sockets};
use crate::caller::Proxies;
use crate::cleaner::Cleaner;
use crate::clock::{Clock, WallClock};
use crate::config::{Config, ConfigError};
use crate::fanout::Fanout;
use crate::http;
use crate::lobby::Lobby;
use crate::measured::Measured;
use crate::memory::Budget;
use crate::metrics::{self, Metrics};
use crate::rations::Rations;
use crate::sqlite::{OpenError, SqliteStore};
use crate::writer::Writer;

/// How long sessions have to end by themselves.
const SESSIONS_END: Duration = Duration::from_secs(5);
/// How long everything after that may take.
const REST_ENDS: Duration = Duration::from_secs(2);
/// Unstored input of all sessions together, in bytes, and unsent pages; more where four of the largest are more.
const MAX_HELD: usize = 64 << 20;

/// Sockets at once on the listener for metrics.
const METRICS_SOCKETS: u32 = 16;
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Why a relay cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its settings.
    #[error("the settings cannot be used")]
    Config(#[from] ConfigError),
    /// Its database.
    #[error("the database cannot be opened")]
    Store(#[from] OpenError),
    /// Its socket.
    #[error("the listening socket failed")]
    Listen(#[from] std::io::Error),
    /// The socket for its metrics.
    #[error("cannot listen on {address} for metrics")]
    Metrics {
        /// `metrics.bind`.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Its metrics.
    #[error("metrics cannot be set up")]
    Counting(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What all parts of a running relay share.
pub(crate) struct Relay {
    pub(crate) identity: Arc<RelayIdentity>,
    pub(crate) public_url: Option<String>,
    pub(crate) store: Arc<Measured<SqliteStore>>,
    pub(crate) writer: Writer,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) clock: Clock,
    pub(crate) input: Budget,
    pub(crate) output: Budget,
    pub(crate) max_connections: u32,
    /// Places of members' connections.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) proxies: Arc<Proxies>,
    /// By which addresses become origins.
    pub(crate) origin_key: [u8; 32],
    pub(crate) rations: Arc<Rations>,
    pub(crate) lobby: Arc<Lobby>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) metrics_token: Option<String>,
    /// Threads that may work for strangers: checking a long key log takes a while.
    pub(crate) entrance: Semaphore,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Relay {
    pub(crate) fn policy(&self) -> &Policy {
        &self.identity.policy
    }

    /// Whether what is pushed could be stored. Goes on when nobody waits for it any more: an attempt that is dropped
    /// half-way costs the connection that writes.
    pub(crate) async fn can_store(&self) -> bool {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move { store.inner().can_write().await }).await.unwrap_or(false)
    }

    /// Members' connections to `/sync`.
    pub(crate) fn connected(&self) -> usize {
        self.max_connections as usize - self.places.available_permits()
    }
}

/// Waits until the relay is asked to stop.
pub(crate) async fn asked(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Runs a relay on a socket until `shutdown` is ready; then lets what is under way finish, tells every
/// session to come back later, and returns within ten seconds.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_by(SystemTime::now, config, listener, shutdown).await
}

/// As [`serve`], by another clock of the day: for tests of what a wrong one does.
pub async fn serve_by(
    wall: WallClock,
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    config.check()?;
    let store = SqliteStore::open(&config.database()?, config.policy()).await?;
    run(wall, config, store, listener, shutdown).await
}

/// As [`serve`], with a store that was opened before: for tests of what a disk may do.
pub async fn serve_with(
    config: Config,
    store: SqliteStore,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    config.check()?;
    run(SystemTime::now, config, store, listener, shutdown).await
}

async fn run(
    wall: WallClock,
    config: Config,
    store: SqliteStore,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let policy = config.policy();
    let held = MAX_HELD.max(4 * policy.max_envelope());
    let metrics = Arc::new(Metrics::new().map_err(|error| ServeError::Counting(Box::new(error)))?);
    let for_metrics = match config.metrics.bind {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.map_err(|source| ServeError::Metrics { address, source })?)
        }
        None => None,
    };
    let (secret, store_id, origin_key) = (store.relay_secret(), store.store_id(), store.origin_key());
    let store = Arc::new(Measured::new(store, Arc::clone(&metrics)));
    let fanout = Arc::new(Fanout::new(policy.messages_per_minute));
    let (writer, writing) = Writer::start(Arc::clone(&store), Arc::clone(&fanout));
    let (stop, stopping) = watch::channel(false);
    let identity = RelayIdentity { secret, store_id, name: config.server.name.clone(), policy };
    info!(
        address = %listener.local_addr()?,
        database = %config.database()?.display(),
        key = %identity.secret.key(),
        "the relay runs"
    );
    let max_connections = config.server.max_connections;
    let clock = Clock::start(wall);
    let cleaner = Cleaner {
        store: Arc::clone(&store),
        fanout: Arc::clone(&fanout),
        clock,
        interval: Duration::from_secs(config.cleanup.interval.0),
        vacuum: config.cleanup.vacuum_on_cleanup,
    };
    let cleaning = tokio::spawn(cleaner.run(stopping.clone()));
    let places = Arc::new(Semaphore::new(max_connections as usize));
    let proxies = Arc::new(config.proxies()?);
    let lobby = Lobby::new(config.limits.max_strangers);
    let relay = Arc::new(Relay {
        identity: Arc::new(identity),
        public_url: config.server.public_url,
        store: Arc::clone(&store),
        writer,
        fanout,
        clock,
        input: Budget::of(held),
        output: Budget::of(held),
        max_connections,
        places: Arc::clone(&places),
        proxies: Arc::clone(&proxies),
        origin_key,
        rations: Arc::new(Rations::new(&config.limits)),
        entrance: Semaphore::new(half_of_the_processors()),
        lobby: Arc::clone(&lobby),
        metrics: Arc::clone(&metrics),
        metrics_token: config.metrics.token,
        stopping: stopping.clone(),
    });

    if let Some(listener) = for_metrics {
        info!(address = %listener.local_addr()?, "metrics are served");
        let lobby = Lobby::new(METRICS_SOCKETS);
        let sockets = Sockets { lobby, proxies: Arc::clone(&proxies), head_time: HEAD_TIME };
        let router = http::metrics_router(Arc::clone(&relay));
        tokio::spawn(accept::serve(listener, router, sockets, stopping.clone()));
    }
    tokio::spawn(keep_up(metrics, stopping.clone()));
    let sockets = Sockets { lobby: Arc::clone(&lobby), proxies, head_time: HEAD_TIME };
    let mut server = tokio::spawn(accept::serve(listener, http::router(relay), sockets, stopping));
    tokio::select! {
        ended = &mut server => {
            // Which it does only when it is asked to stop.
            ended.map_err(std::io::Error::other)?;
        }
        () = shutdown => {
            info!("the relay stops");
            let _ = stop.send(true);
            // In this order: a session moves from the lobby to a place.
            let all_gone = async {
                lobby.empty().await;
                let _ = places.acquire_many(max_connections).await;
            };
            if timeout(SESSIONS_END, all_gone).await.is_err() {
                warn!("sessions did not end in time");
            }
            if timeout(REST_ENDS, &mut server).await.is_err() {
                server.abort();
            }
            // The last way to the writer is gone with the server; its queue is finished first.
            let storing = async { tokio::join!(writing, cleaning) };
            if timeout(REST_ENDS, storing).await.is_err() {
                warn!("writes did not end in time");
            }
        }
    }
    if let Some(store) = Arc::into_inner(store) {
        store.into_inner().close().await?;
    }
    info!("the relay has stopped");
    Ok(())
}

/// What was measured is put into its buckets now and then, also when nobody asks for it.
async fn keep_up(metrics: Arc<Metrics>, mut stopping: watch::Receiver<bool>) {
    while timeout(metrics::UPKEEP, asked(&mut stopping)).await.is_err() {
        metrics.upkeep();
    }
}

fn half_of_the_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1))
}
