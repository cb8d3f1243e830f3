//! How long intervals are. Where few users come, an interval of the configured length holds too few requests for its
//! tail to mean anything: the largest of a dozen is no 99th percentile. It then goes on until enough of them have come,
//! so that all intervals tell about as much and compare (paper 4.1: inference frequency follows the load).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::config::Config;
use crate::data::Frame;

/// Closed intervals that tell how many requests come: a lull of a few moves nothing.
const NEWEST: usize = 9;
/// Intervals become shorter again only where so many times as many requests as wanted would come: a load that
/// wavers around the limit does not make them change all the time.
const PLENTY: f64 = 1.5;

/// Decides from the intervals that were closed how long the next is.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Configured length, milliseconds.
    base_ms: i64,
    /// So many times that at most, a power of two.
    times_max: i64,
    /// Requests wanted in an interval.
    requests: f64,
    /// Requests seen a millisecond, in the newest intervals that had any.
    rates: VecDeque<f64>,
    times: i64,
}

impl Pace {
    /// Nothing is known yet: intervals are as long as they are configured to be.
    pub(super) fn new(config: &Config) -> Self {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX).max(1);
        let base_ms = ms(config.interval);
        let fit = (ms(config.interval_max) / base_ms).max(1);
        // The largest power of two that fits.
        let times_max = 1 << fit.ilog2();
        let requests = config.requests as f64;
        Self { base_ms, times_max, requests, rates: VecDeque::new(), times: 1 }
    }

    /// How long the next interval is, in multiples of the configured length.
    pub(super) fn times(&self) -> i64 {
        self.times
    }

    /// The same in milliseconds.
    pub(super) fn length_ms(&self) -> i64 {
        self.times * self.base_ms
    }

    /// An interval has closed.
    pub(super) fn observe(&mut self, frame: &Frame) {
        let seen = seen(frame);
        if self.times_max == 1 || seen == 0.0 {
            return;
        }
        if self.rates.len() == NEWEST {
            self.rates.pop_front();
        }
        self.rates.push_back(seen / (1000.0 * frame.interval.seconds()));
        let Some(rate) = crate::stats::median(self.rates.iter().copied()) else { return };
        let requests = rate * self.base_ms as f64;
        let enough = self.times_for(self.requests / requests);
        let plenty = self.times_for(PLENTY * self.requests / requests);
        self.times = self.times.clamp(enough, plenty);
    }

    /// The least power of two that is so many times at least, as far as is allowed.
    fn times_for(&self, wanted: f64) -> i64 {
        let mut times = 1;
        while times < self.times_max && (times as f64) < wanted {
            times *= 2;
        }
        times
    }
}

/// Requests from outside that were seen, at the service that most of them reach.
fn seen(frame: &Frame) -> f64 {
    let mut by_service: BTreeMap<&str, f64> = BTreeMap::new();
    for rpc in frame.rpcs.iter().filter(|rpc| rpc.key.is_entry()) {
        *by_service.entry(&rpc.key.callee).or_default() +=
            rpc.count as f64 * f64::from(rpc.seen_ratio);
    }
    by_service.into_values().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, Interval, Percentiles, RpcKey, RpcKind, RpcWindow};

    fn pace(interval_max: u64) -> Pace {
        let interval_max = Duration::from_secs(interval_max);
        Pace::new(&Config { interval_max, requests: 120, ..Config::default() })
    }

    /// Requests that came in an interval of so many seconds, the share `seen_ratio` of them seen.
    fn frame(seconds: i64, count: u64, seen_ratio: f32) -> Frame {
        let rpc = |callee: &str, count| RpcWindow {
            key: RpcKey {
                caller: "user".into(),
                caller_op: "".into(),
                callee: callee.into(),
                op: "".into(),
            },
            kind: RpcKind::ServerOnly,
            count,
            failed: 0,
            seen_ratio,
            client: Percentiles::default(),
            server: Percentiles::default(),
            request: Percentiles::default(),
            response: Percentiles::default(),
        };
        let interval = Interval { start: EventTime(0), end: EventTime(seconds * 1000) };
        let rpcs = vec![rpc("admin", count / 10), rpc("shop", count)];
        Frame { interval, rpcs, services: Vec::new(), completeness: 1.0, replicas: vec![] }
    }

    fn after(pace: &mut Pace, frames: usize, frame: &Frame) -> i64 {
        (0..frames).for_each(|_| pace.observe(frame));
        pace.times()
    }

    #[test]
    fn an_interval_lasts_until_enough_requests_have_come_and_no_longer_than_allowed() {
        for (count, times) in [(1000, 1), (120, 1), (119, 2), (60, 2), (31, 4), (15, 8), (2, 8)] {
            assert_eq!(after(&mut pace(240), 1, &frame(30, count, 1.0)), times, "{count}");
        }
        // 100 s hold three of 30 s, and two of these are a power of two.
        assert_eq!(after(&mut pace(100), 1, &frame(30, 2, 1.0)), 2);
        assert_eq!(after(&mut pace(0), 9, &frame(30, 2, 1.0)), 1);
        // What was not traced tells nothing.
        assert_eq!(after(&mut pace(240), 1, &frame(30, 1000, 0.0625)), 2);
    }

    #[test]
    fn a_load_that_wavers_moves_nothing_and_one_that_returns_does() {
        let mut pace = pace(240);
        assert_eq!(after(&mut pace, 9, &frame(30, 100, 1.0)), 2);
        assert_eq!(after(&mut pace, 9, &frame(60, 2 * 130, 1.0)), 2);
        assert_eq!(after(&mut pace, 4, &frame(60, 2 * 400, 1.0)), 2, "a rush of four intervals");
        assert_eq!(after(&mut pace, 1, &frame(60, 2 * 400, 1.0)), 1);
        // Nobody comes at all: no reason to wait longer.
        assert_eq!(after(&mut pace, 9, &frame(30, 0, 1.0)), 1);
    }
}
