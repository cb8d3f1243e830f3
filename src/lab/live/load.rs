//! Users: requests at random moments whatever becomes of those before, each timed from the moment at which it
//! was meant to be sent.
//!
//! That is wrk2's manner: a server that stands still delays nobody from asking, and those who ask meanwhile are
//! counted with all they wait (no coordinated omission).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

/// Users do not wait for longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Requests under way at a time. Beyond it a request counts as one that nobody answered.
const UNDER_WAY_MAX: usize = 2048;
/// Samples kept; hours of them.
const SAMPLES_MAX: usize = 4_000_000;

type Http = Client<HttpConnector, Empty<Bytes>>;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// When it was meant to be sent, milliseconds since the epoch.
    pub(super) at_ms: i64,
    /// From then to the end of the answer.
    pub(super) latency_ms: f64,
    /// Whether it was answered well.
    pub(super) is_ok: bool,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    /// Requests per second, as bits.
    rate: AtomicU64,
    stop: AtomicBool,
    under_way: AtomicUsize,
    samples: Mutex<Vec<Sample>>,
}

/// Users at work; they go when it is dropped.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What is asked for, and how often.
pub(super) type Mix = Vec<(String, f64)>;

impl Load {
    /// Begins with `rate` requests per second to `entry`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(
        entry: SocketAddr,
        mix: Mix,
        rate: f64,
        seed: u64,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.rate.store(rate.to_bits(), Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("users".into()).spawn(move || {
            runtime.block_on(ask_on(theirs, entry, &mix, SmallRng::seed_from_u64(seed)));
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks so often from now on.
    pub(super) fn set_rate(&self, rate: f64) {
        self.shared.rate.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// Requests that were meant to be sent in `[from, to)`, in any order.
    pub(super) fn samples(&self, from_ms: i64, to_ms: i64) -> Vec<Sample> {
        let samples = self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in = |s: &&Sample| (from_ms..to_ms).contains(&s.at_ms);
        samples.iter().filter(is_in).copied().collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Milliseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "real users live on the real clock")]
pub(super) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn ask_on(shared: Arc<Shared>, entry: SocketAddr, mix: &Mix, mut rng: SmallRng) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Http = Client::builder(TokioExecutor::new()).build(connector);
    let mut next = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let rate = f64::from_bits(shared.rate.load(Ordering::Relaxed)).max(0.1);
        next += gap(rng.random(), rate);
        tokio::time::sleep_until(next).await;
        let late = Instant::now().saturating_duration_since(next);
        let at_ms = wall_ms() - i64::try_from(late.as_millis()).unwrap_or(0);
        let uri = format!("http://{entry}/{}", choose(mix, rng.random()));
        if shared.under_way.load(Ordering::Relaxed) >= UNDER_WAY_MAX {
            let latency_ms = PATIENCE.as_secs_f64() * 1e3;
            keep(&shared, Sample { at_ms, latency_ms, is_ok: false });
            continue;
        }
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        let (http, shared, meant) = (http.clone(), shared.clone(), next);
        tokio::spawn(async move {
            let asked = ask(&http, uri);
            let is_ok = tokio::time::timeout(PATIENCE, asked).await == Ok(Some(StatusCode::OK));
            let latency_ms = Instant::now().duration_since(meant).as_secs_f64() * 1e3;
            shared.under_way.fetch_sub(1, Ordering::Relaxed);
            keep(&shared, Sample { at_ms, latency_ms, is_ok });
        });
    }
}

/// Time to the next request: exponentially distributed, as users do not know of each other.
fn gap(chance: f64, rate: f64) -> Duration {
    Duration::from_secs_f64((-(1.0 - chance).ln() / rate).min(1.0))
}

fn choose(mix: &Mix, chance: f64) -> &str {
    let mut sum = 0.0;
    let chosen = mix.iter().find(|(_, share)| {
        sum += share;
        chance < sum
    });
    chosen.or_else(|| mix.last()).map_or("", |(op, _)| op.as_str())
}

fn keep(shared: &Shared, sample: Sample) {
    let mut samples = shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
    if samples.len() < SAMPLES_MAX {
        samples.push(sample);
    }
}

async fn ask(http: &Http, uri: String) -> Option<StatusCode> {
    let request = Request::get(uri).body(Empty::new()).ok()?;
    let response = http.request(request).await.ok()?;
    let status = response.status();
    response.into_body().collect().await.ok()?;
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_as_long_on_average_as_the_rate_says() {
        let sum: f64 =
            (0..1000).map(|i| gap((f64::from(i) + 0.5) / 1000.0, 50.0).as_secs_f64()).sum();
        assert!((sum / 1000.0 - 0.02).abs() < 0.0005, "{sum}");
    }

    #[test]
    fn the_mix_is_kept() {
        let mix = vec![("a".to_string(), 0.6), ("b".to_string(), 0.4)];
        assert_eq!((choose(&mix, 0.0), choose(&mix, 0.59)), ("a", "a"));
        assert_eq!((choose(&mix, 0.6), choose(&mix, 1.0)), ("b", "b"));
    }

    /// Nobody accepts; a closed loop would have asked once.
    #[test]
    fn who_stands_still_is_asked_all_the_same() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let entry = listener.local_addr().unwrap();
        let load = Load::start(entry, vec![("x".into(), 1.0)], 500.0, 1).unwrap();
        while load.shared.under_way.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        assert!(load.samples(0, i64::MAX).is_empty());
    }
}
