//! Waiting that looks like a slow link. A request that waits for a free worker of its callee, or for a connection to
//! it, has left its caller and has not begun at the callee, where the callee's span begins with the work. It waits
//! because the workers are held, and they are held because something below is slow: such a delay goes away with its
//! cause.
//!
//! Where spans begin with the arrival the wait is in the callee's latency and all this is idle.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::infer::{Evaluator, Levels};
use super::layout::{Kind, log_ms};
use crate::data::{Frame, Percentiles, RpcWindow};
use crate::graph::CausalNet;

/// ln of the work in flight, relative to normal, from which workers may be short.
const CROWDED: f64 = 0.7;
/// ln of how much a request's delay must rise to count as waiting.
const RISE: f64 = 1.1;
/// Times that waiting must be more frequent among crowded intervals than among others.
const TIMES: f64 = 3.0;
/// Crowded intervals with waiting requests before they are believed.
const SEEN_MIN: usize = 3;
/// The level that is looked at: few requests need to wait before it shows.
const LEVEL: usize = 2;
/// Log units by which the time workers are held must fall for the queue to be gone: waiting falls much faster than
/// utilisation.
const EMPTY: f32 = 0.5;
/// A constant delay shifts the middle and the tail alike; one whose tail rises by more times its median's rise comes
/// and goes.
const CONSTANT: f32 = 3.0;

/// At which services requests wait outside the service's own spans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queues {
    waits: Vec<bool>,
    /// Of services too little is known about.
    elsewhere: bool,
}

/// Crowded and other intervals of services, and how many of them have waiting requests.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    crowded: usize,
    crowded_waits: usize,
    others: usize,
    others_wait: usize,
}

impl Queues {
    /// Learns from all `frames`; `in_flight` is ln of the work in flight relative to normal.
    ///
    /// # Shapes
    /// `in_flight`: `[service, frame]`
    pub(super) fn fit(
        frames: &[&Frame],
        net: &CausalNet,
        e: &Evaluator,
        in_flight: &Array2<f64>,
    ) -> Self {
        let mut tallies = vec![Tally::default(); net.services.len()];
        for (t, frame) in frames.iter().enumerate() {
            for (j, tally) in tallies.iter_mut().enumerate() {
                let served = e.served[j].iter().filter(|i| e.has_net(**i));
                let seen = served.filter_map(|i| Some((*i, seen(frame, net, *i)?)));
                let waits: Vec<bool> = seen.map(|(i, w)| is_waiting(e, i, w)).collect();
                // Whoever waits for a worker does so whatever the operation.
                let is_waiting = 2 * waits.iter().filter(|w| **w).count() > waits.len();
                if !waits.is_empty() {
                    tally.add(in_flight[[j, t]] > CROWDED, is_waiting);
                }
            }
        }
        let elsewhere = tallies.iter().copied().fold(Tally::default(), Tally::with).tells();
        let elsewhere = elsewhere.unwrap_or(false);
        // A service whose workers were never all held shows no queue, and would have one.
        let waits = tallies.iter().map(|t| elsewhere || t.tells() == Some(true)).collect();
        Self { waits, elsewhere }
    }

    /// The same for a net after a change; `was` says which service of this one each of them is.
    pub(super) fn refreshed(&self, was: &[Option<usize>]) -> Self {
        let of = |was: &Option<usize>| was.map_or(self.elsewhere, |k| self.waits[k]);
        Self { waits: was.iter().map(of).collect(), elsewhere: self.elsewhere }
    }

    /// Services it knows about.
    pub(super) fn services(&self) -> usize {
        self.waits.len()
    }

    /// Whether requests of each RPC wait for workers in an interval with so much work in flight, by service.
    pub(super) fn by_rpc(&self, e: &Evaluator, in_flight: &[f64]) -> Vec<bool> {
        let waits = |j: usize| self.waits[j] && in_flight[j] > CROWDED;
        e.layout.callee.iter().enumerate().map(|(i, j)| e.has_net(i) && waits(*j)).collect()
    }
}

impl Tally {
    fn add(&mut self, is_crowded: bool, is_waiting: bool) {
        let (all, waits) = match is_crowded {
            true => (&mut self.crowded, &mut self.crowded_waits),
            false => (&mut self.others, &mut self.others_wait),
        };
        *all += 1;
        *waits += usize::from(is_waiting);
    }

    fn with(self, other: Self) -> Self {
        Self {
            crowded: self.crowded + other.crowded,
            crowded_waits: self.crowded_waits + other.crowded_waits,
            others: self.others + other.others,
            others_wait: self.others_wait + other.others_wait,
        }
    }

    /// Whether requests wait where work is in flight; `None` when it was crowded too rarely to tell.
    fn tells(self) -> Option<bool> {
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        let crowded = share(self.crowded_waits, self.crowded);
        (self.crowded >= SEEN_MIN).then(|| {
            self.crowded_waits >= SEEN_MIN
                && crowded >= TIMES * share(self.others_wait, self.others)
        })
    }
}

fn seen<'a>(frame: &'a Frame, net: &CausalNet, i: usize) -> Option<&'a RpcWindow> {
    frame.rpc(&net.rpcs[i].key).filter(|w| w.count > 0)
}

/// Whether requests, and not answers, are late.
fn is_waiting(e: &Evaluator, i: usize, window: &RpcWindow) -> bool {
    let rise = |kind: Kind, now: &Percentiles| {
        f64::from(log_ms(now.0[LEVEL]) - e.layout.normal[kind as usize][i][LEVEL])
    };
    let request = rise(Kind::Request, &window.request);
    request > RISE && rise(Kind::Response, &window.response) < request / 2.0
}

/// A delay of requests where workers are held by `eased` log units less than they were seen to be.
pub(super) fn eased(request: &Levels, normal: &Levels, eased: f32) -> Levels {
    let left = (1.0 - eased / EMPTY).clamp(0.0, 1.0);
    std::array::from_fn(|q| request[q].min(normal[q] + (request[q] - normal[q]) * left))
}

/// Whether `now` is later than `normal` by much the same for all requests, as a slow link makes them.
pub(super) fn is_constant(now: &Percentiles, normal: &Percentiles) -> bool {
    let rise = |q: usize| (now.0[q] - normal.0[q]).max(0.0);
    rise(LEVEL) <= CONSTANT * rise(0)
}
