//! The open loop: requests are due by the clock, whatever became of those before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::bodies::Bodies;
use super::client::Connection;
use super::tally::Tally;
use super::target::Target;

/// Nanoseconds since 1970: the event time of what is sent.
pub type Clock = fn() -> u64;

/// Load of one kind on one target.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Where it goes.
    pub target: Target,
    /// What is sent.
    pub bodies: Arc<Bodies>,
    /// Spans or samples a second.
    pub items_per_s: f64,
    /// Connections, each with one request under way at a time.
    pub connections: usize,
}

/// When requests are due.
#[derive(Debug)]
struct Schedule {
    start: Instant,
    end: Instant,
    /// Between two requests.
    every: Duration,
    count: u64,
    next: AtomicU64,
}

impl Schedule {
    fn new(start: Instant, duration: Duration, requests_per_s: f64) -> Self {
        let count = (duration.as_secs_f64() * requests_per_s).ceil().max(1.0);
        Self {
            start,
            end: start + duration,
            every: Duration::from_secs_f64(1.0 / requests_per_s.max(1e-3)),
            count: count as u64,
            next: AtomicU64::new(0),
        }
    }

    /// The number of the next request and when it is due.
    fn take(&self) -> Option<(u64, Instant)> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        (n < self.count).then(|| (n, self.start + self.every.mul_f64(n as f64)))
    }
}

/// Runs all streams side by side for `duration`; a tally for each. What is due and cannot be sent before the
/// end is not sent.
pub async fn drive(streams: &[Stream], duration: Duration, clock: Clock) -> Vec<Tally> {
    let (start, salt) = (Instant::now(), clock());
    let mut running = Vec::new();
    for stream in streams {
        let per_s = stream.items_per_s / stream.bodies.mean_items();
        let schedule = Arc::new(Schedule::new(start, duration, per_s));
        let mut workers = JoinSet::new();
        for _ in 0..stream.connections.max(1) {
            workers.spawn(work(stream.clone(), schedule.clone(), salt, clock));
        }
        running.push((schedule, workers));
    }
    let mut tallies = Vec::new();
    for ((schedule, mut workers), stream) in running.into_iter().zip(streams) {
        let mut whole = Tally::default();
        while let Some(done) = workers.join_next().await {
            // A worker that panicked has said so.
            whole.merge(&done.unwrap_or_default());
        }
        let never = whole.requests..schedule.count;
        whole.unsent = never.map(|n| stream.bodies.items(n)).sum();
        tallies.push(whole);
    }
    tallies
}

async fn work(stream: Stream, schedule: Arc<Schedule>, salt: u64, clock: Clock) -> Tally {
    let connection = Connection::new(&stream.target);
    let mut tally = Tally::default();
    while Instant::now() < schedule.end {
        let Some((n, due)) = schedule.take() else { break };
        // Ahead of time it is made ready; late, it is of now: what is measured happens when it is sent.
        let ahead = due.saturating_duration_since(Instant::now());
        let ahead_ns = u64::try_from(ahead.as_nanos()).unwrap_or(0);
        let body = stream.bodies.body(n, salt, clock().saturating_add(ahead_ns));
        let packed = connection.pack(&body.bytes);
        let size = packed.len();
        sleep_until(due).await;
        let answer = connection.send(packed, body.items).await;
        let waited = Instant::now().saturating_duration_since(due);
        tally.count(
            body.items,
            size,
            answer,
            u64::try_from(waited.as_micros()).unwrap_or(u64::MAX),
        );
    }
    tally
}
