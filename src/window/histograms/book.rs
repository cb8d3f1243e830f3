//! All histograms that are followed, and what is known about who shows which edge.

use super::assemble::{Assembled, Ends, Gathered};
use super::config::Config;
use super::convention::{Binding, Known, bind, known};
use super::state::State;
use crate::data::{Histogram, Interval, Labels, Name, RpcWindow, Sample, Series};
use crate::hash::HashMap;

/// What a histogram takes beside its state and its labels: its place in the table and what it is bound to.
const ENTRY_BYTES: usize = 400;
/// Above the limit by so much samples of histograms that are followed are refused, too: those that are there
/// may have grown.
const EXCESS: usize = 4;

/// State of all histograms.
#[derive(Debug)]
pub(in crate::window) struct Histograms {
    config: Config,
    interval_ms: i64,
    stale_ms: i64,
    known: HashMap<String, Known>,
    followed: HashMap<Labels, (Binding, State)>,
    /// Edges that spans show, and when they last did.
    shown: HashMap<Ends, i64>,
    /// Services that somebody is known to call, and when last.
    called: HashMap<Name, i64>,
    /// Entries of each of the two.
    remembered_max: usize,
    /// What all histograms take, about.
    bytes: usize,
}

fn entry_bytes(labels: &Labels) -> usize {
    ENTRY_BYTES + labels.packed().len()
}

/// What becomes of a series.
#[derive(Debug)]
pub(in crate::window) enum Offered<'a> {
    /// It is no latency histogram.
    Foreign,
    /// It is one, but is not followed: why.
    Refused(&'static str),
    /// Its samples are wanted.
    Taken(Followed<'a>),
}

/// A histogram that is followed, or one bucket of it.
#[derive(Debug)]
pub(in crate::window) struct Followed<'a> {
    state: &'a mut State,
    /// The bucket that samples are of.
    bound: Option<f64>,
    /// What all histograms take, and what they may.
    bytes: &'a mut usize,
    bytes_max: usize,
}

impl Followed<'_> {
    /// Takes a sample.
    ///
    /// # Errors
    /// Why it does not count.
    pub(in crate::window) fn push(&mut self, sample: Sample) -> Result<(), &'static str> {
        let bound = self.bound.ok_or("unbound")?;
        self.weighed(|state, has_room| state.push(bound, sample, has_room))
    }

    /// Lets the state take something, and follows what it takes in memory.
    fn weighed(
        &mut self,
        take: impl FnOnce(&mut State, bool) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        if *self.bytes > self.bytes_max + self.bytes_max / EXCESS {
            return Err("histograms_full");
        }
        let before = self.state.held_bytes();
        let taken = take(self.state, *self.bytes < self.bytes_max);
        *self.bytes = *self.bytes + self.state.held_bytes() - before;
        taken
    }

    /// Takes a native histogram.
    ///
    /// # Errors
    /// Why it does not count.
    pub(in crate::window) fn push_native(
        &mut self,
        histogram: &Histogram,
    ) -> Result<(), &'static str> {
        self.weighed(|state, has_room| state.push_native(histogram, has_room))
    }
}

impl Histograms {
    /// Follows nothing yet.
    pub(in crate::window) fn new(
        config: &Config,
        interval_ms: i64,
        stale_ms: i64,
        remembered_max: usize,
    ) -> Self {
        Self {
            known: known(config).collect(),
            config: config.clone(),
            interval_ms,
            stale_ms,
            followed: HashMap::default(),
            shown: HashMap::default(),
            called: HashMap::default(),
            remembered_max,
            bytes: 0,
        }
    }

    /// Histograms followed.
    pub(in crate::window) fn len(&self) -> usize {
        self.followed.len()
    }

    /// What all take in memory, about.
    #[cfg(test)]
    pub(in crate::window) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// The histogram a series belongs to, if it does.
    pub(in crate::window) fn offer(&mut self, series: &Series) -> Offered<'_> {
        let metric = series.label("__name__").and_then(|name| self.known.get(name));
        let Some(known) = metric.copied() else { return Offered::Foreign };
        let bound = match series.label("le").map(str::parse::<f64>) {
            Some(Ok(bound)) if known.is_classic && !bound.is_nan() => Some(bound),
            None if known.is_counter() => Some(f64::INFINITY),
            None if !known.is_classic && !series.histograms.is_empty() => None,
            _ => return Offered::Refused("unbound"),
        };
        // All buckets of a histogram are one entry.
        let key = series.labels.without("le");
        if !self.followed.contains_key(&key) {
            let is_full = self.followed.len() >= self.config.histograms_max;
            if is_full || self.bytes >= self.config.bytes_max {
                return Offered::Refused("histograms_full");
            }
            let Some(binding) = bind(&known, series, &self.config) else {
                return Offered::Refused("unbound");
            };
            let state = State::new(self.interval_ms, self.stale_ms, self.config.buckets_max);
            self.bytes += entry_bytes(&key) + state.held_bytes();
            self.followed.insert(key.clone(), (binding, state));
        }
        let (bytes, bytes_max) = (&mut self.bytes, self.config.bytes_max);
        match self.followed.get_mut(&key) {
            Some((_, state)) => Offered::Taken(Followed { state, bound, bytes, bytes_max }),
            None => Offered::Refused("unbound"),
        }
    }

    /// The RPCs of `interval` which `spans`, the RPCs of the same interval, do not show; intervals close in order.
    /// Nothing up to `watermark_ms` is to be waited for.
    pub(in crate::window) fn close(
        &mut self,
        interval: Interval,
        watermark_ms: i64,
        spans: &[RpcWindow],
        operations_max: usize,
    ) -> Assembled {
        if self.followed.is_empty() {
            return Assembled::default();
        }
        let mut gathered = Gathered::default();
        let close = |(labels, (binding, state)): (&Labels, &mut (Binding, State))| {
            let (grown, weight) = state.close(interval, watermark_ms)?;
            Some((labels.clone(), binding.clone(), grown, weight))
        };
        let mut grown: Vec<_> = self.followed.iter_mut().filter_map(close).collect();
        // In a fixed order, so that the same telemetry always gives the same frame.
        grown.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        for (_, binding, grown, weight) in &grown {
            gathered.add(binding, grown, *weight);
        }
        let start_ms = interval.start.0;
        self.forget(start_ms, self.stale_ms);
        self.remember(start_ms, spans, &gathered);
        gathered.assemble(
            |ends| self.shown.contains_key(ends),
            |callee| self.called.contains_key(callee),
            operations_max,
        )
    }

    /// Gives back what fell silent before the interval that starts at `start_ms`.
    pub(in crate::window) fn relieve(&mut self, start_ms: i64) {
        self.forget(start_ms, 2 * self.interval_ms);
    }

    /// Lets go of what was silent for too long before `now_ms`.
    fn forget(&mut self, now_ms: i64, silent_ms: i64) {
        let mut bytes = 0;
        self.followed.retain(|labels, (_, state)| {
            let keep = !state.is_idle(now_ms, silent_ms);
            bytes += if keep { entry_bytes(labels) + state.held_bytes() } else { 0 };
            keep
        });
        self.bytes = bytes;
    }

    fn remember(&mut self, start_ms: i64, spans: &[RpcWindow], gathered: &Gathered) {
        let forgotten = start_ms.saturating_sub(self.stale_ms);
        self.shown.retain(|_, seen| *seen >= forgotten);
        self.called.retain(|_, seen| *seen >= forgotten);
        for key in spans.iter().map(|rpc| &rpc.key) {
            let caller = (!key.is_entry()).then(|| key.caller.clone());
            if self.shown.len() < self.remembered_max {
                self.shown.insert((caller, key.callee.clone()), start_ms);
            }
        }
        let callees = spans.iter().map(|rpc| &rpc.key.callee).chain(gathered.callees());
        for callee in callees {
            if self.called.len() < self.remembered_max {
                self.called.insert(callee.clone(), start_ms);
            }
        }
    }
}
