//! A line between devices and the relay that does what lines do, and some things that only an attacker does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Longest delay of a segment, in milliseconds.
const LONGEST_DELAY: u64 = 40;
/// A receiver may wait for the rest of what looks like a message and is none; a real line would be cut then.
const AFTER_DAMAGE: Duration = Duration::from_secs(1);

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Calm,
    /// Faults, at random.
    Rough,
}

#[derive(Debug, Clone, Copy)]
struct Forecast {
    weather: Weather,
    /// Nothing passes through connections with a lower number any more, and nobody is told.
    dead_before: u64,
}

/// How often what was done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections.
    pub connections: AtomicU64,
    /// Connections that were closed in the middle.
    pub cut: AtomicU64,
    /// Segments that came late.
    pub delayed: AtomicU64,
    /// Segments of which the end was lost with the connection.
    pub truncated: AtomicU64,
    /// Segments that came twice.
    pub doubled: AtomicU64,
    /// Of those, ones after which the receiver closed by itself.
    pub refused: AtomicU64,
    /// Segments that came in pieces.
    pub split: AtomicU64,
}

/// The line. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    /// What devices take for the relay.
    pub url: String,
    /// What has happened.
    pub counts: Arc<Counts>,
    weather: watch::Sender<Forecast>,
    ended: watch::Receiver<u64>,
}

/// What one segment suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Cut,
    Delay(Duration),
    Truncate(usize),
    Double,
    Split(usize),
}

impl Proxy {
    /// A calm line to a relay.
    pub async fn start(relay: &str, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (weather, forecast) = watch::channel(Forecast { weather: Weather::Calm, dead_before: 0 });
        let (ends, ended) = watch::channel(0);
        let counts = Arc::new(Counts::default());
        let (relay, counting, ends) = (relay.to_owned(), Arc::clone(&counts), Arc::new(ends));
        tokio::spawn(async move {
            let mut gone = forecast.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = closed(&mut gone) => return,
                };
                let Ok((client, _)) = accepted else { return };
                let number = counting.connections.fetch_add(1, Ordering::Relaxed);
                let line = Line {
                    number,
                    seed: seed ^ (number << 8),
                    forecast: forecast.clone(),
                    counts: Arc::clone(&counting),
                    damaged: Arc::default(),
                };
                let (relay, ends) = (relay.clone(), Arc::clone(&ends));
                tokio::spawn(async move {
                    if let Ok(relay) = TcpStream::connect(&relay).await {
                        line.carry(client, relay).await;
                    }
                    ends.send_modify(|ended| *ended += 1);
                });
            }
        });
        Ok(Self { url, counts, weather, ended })
    }

    /// Changes the weather, for connections that are open, too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_modify(|forecast| forecast.weather = weather);
    }

    /// From now on nothing passes through the connections that are open, and nobody is told.
    pub fn lose_all(&self) {
        let connections = self.counts.connections.load(Ordering::Relaxed);
        self.weather.send_modify(|forecast| forecast.dead_before = connections);
    }

    /// Waits until another connection has ended.
    pub async fn lost_one(&mut self) {
        let _ = self.ended.changed().await;
    }
}

/// Ends when the proxy is dropped.
async fn closed(forecast: &mut watch::Receiver<Forecast>) {
    while forecast.changed().await.is_ok() {}
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// One connection.
#[derive(Clone)]
struct Line {
    number: u64,
    seed: u64,
    forecast: watch::Receiver<Forecast>,
    counts: Arc<Counts>,
    /// Whether the relay, and the client, was sent something twice.
    damaged: Arc<[AtomicBool; 2]>,
}

impl Line {
    async fn carry(self, client: TcpStream, relay: TcpStream) {
        let _ = (client.set_nodelay(true), relay.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_relay, to_relay) = relay.into_split();
        let mut gone = self.forecast.clone();
        let (up, down) = (self.clone(), self);
        // When one direction ends, so does the other.
        tokio::select! {
            () = up.pump(Way::Up, from_client, to_relay) => {}
            () = down.pump(Way::Down, from_relay, to_client) => {}
            () = closed(&mut gone) => {}
        }
    }

    async fn pump(self, way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let [towards, back] = match way {
            Way::Up => [&self.damaged[0], &self.damaged[1]],
            Way::Down => [&self.damaged[1], &self.damaged[0]],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ way as u64);
        let mut buffer = vec![0; 4096];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                () = sleep(AFTER_DAMAGE), if towards.load(Ordering::Relaxed) => return,
            };
            let Forecast { weather, dead_before } = *self.forecast.borrow();
            let dead = self.number < dead_before;
            let segment = match read {
                Ok(1..) if dead => continue,
                Ok(len @ 1..) => &buffer[..len],
                Ok(0) | Err(_) if dead => std::future::pending().await,
                Ok(0) | Err(_) => {
                    if back.load(Ordering::Relaxed) {
                        self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    return;
                }
            };
            let fate = match weather {
                Weather::Calm => Fate::Pass,
                Weather::Rough => fate(&mut rng, segment.len()),
            };
            let count = |of: &AtomicU64| {
                of.fetch_add(1, Ordering::Relaxed);
            };
            let written = match fate {
                Fate::Pass => to.write_all(segment).await,
                Fate::Cut => return count(&self.counts.cut),
                Fate::Delay(time) => {
                    count(&self.counts.delayed);
                    sleep(time).await;
                    to.write_all(segment).await
                }
                Fate::Truncate(at) => {
                    count(&self.counts.truncated);
                    let _ = to.write_all(&segment[..at]).await;
                    return;
                }
                Fate::Double => {
                    count(&self.counts.doubled);
                    towards.store(true, Ordering::Relaxed);
                    match to.write_all(segment).await {
                        Ok(()) => to.write_all(segment).await,
                        Err(error) => Err(error),
                    }
                }
                Fate::Split(at) => {
                    count(&self.counts.split);
                    match to.write_all(&segment[..at]).await {
                        Ok(()) => {
                            tokio::task::yield_now().await;
                            to.write_all(&segment[at..]).await
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            if written.is_err() {
                return;
            }
        }
    }
}

fn fate(rng: &mut ChaCha8Rng, len: usize) -> Fate {
    let inside = rng.next_u64() as usize % len;
    match rng.next_u64() % 400 {
        0..4 => Fate::Cut,
        4..8 => Fate::Truncate(inside),
        8..12 => Fate::Double,
        12..32 => Fate::Delay(Duration::from_millis(rng.next_u64() % LONGEST_DELAY)),
        32..160 => Fate::Split(inside),
        _ => Fate::Pass,
    }
}
