//! All histograms that are followed, and what is known about who shows which edge.

use super::assemble::{Assembled, Ends, Gathered};
use super::config::Config;
use super::convention::{Binding, Known, bind, known};
use super::state::State;
use crate::data::{Histogram, Labels, Name, RpcWindow, Sample, Series};
use crate::hash::HashMap;

/// Edges and callees remembered.
const REMEMBERED_MAX: usize = 100_000;

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
}

impl Followed<'_> {
    /// Takes a sample.
    ///
    /// # Errors
    /// Why it does not count.
    pub(in crate::window) fn push(&mut self, sample: Sample) -> Result<(), &'static str> {
        self.state.push(self.bound.ok_or("unbound")?, sample)
    }

    /// Takes a native histogram.
    ///
    /// # Errors
    /// Why it does not count.
    pub(in crate::window) fn push_native(
        &mut self,
        histogram: &Histogram,
    ) -> Result<(), &'static str> {
        self.state.push_native(histogram)
    }
}

impl Histograms {
    /// Follows nothing yet.
    pub(in crate::window) fn new(config: &Config, interval_ms: i64, stale_ms: i64) -> Self {
        Self {
            known: known(config).collect(),
            config: config.clone(),
            interval_ms,
            stale_ms,
            followed: HashMap::default(),
            shown: HashMap::default(),
            called: HashMap::default(),
        }
    }

    /// Histograms followed.
    pub(in crate::window) fn len(&self) -> usize {
        self.followed.len()
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
            if self.followed.len() >= self.config.histograms_max {
                return Offered::Refused("histograms_full");
            }
            let Some(binding) = bind(&known, series, &self.config) else {
                return Offered::Refused("unbound");
            };
            let state = State::new(self.interval_ms, self.stale_ms, self.config.buckets_max);
            self.followed.insert(key.clone(), (binding, state));
        }
        match self.followed.get_mut(&key) {
            Some((_, state)) => Offered::Taken(Followed { state, bound }),
            None => Offered::Refused("unbound"),
        }
    }

    /// The RPCs of the interval that starts at `start_ms` which `spans`, the RPCs of the same interval,
    /// do not show; intervals close in order. Nothing up to `watermark_ms` is to be waited for.
    pub(in crate::window) fn close(
        &mut self,
        start_ms: i64,
        watermark_ms: i64,
        spans: &[RpcWindow],
        operations_max: usize,
    ) -> Assembled {
        if self.followed.is_empty() {
            return Assembled::default();
        }
        let mut gathered = Gathered::default();
        let close = |(labels, (binding, state)): (&Labels, &mut (Binding, State))| {
            let (grown, weight) = state.close(start_ms, watermark_ms)?;
            Some((labels.clone(), binding.clone(), grown, weight))
        };
        let mut grown: Vec<_> = self.followed.iter_mut().filter_map(close).collect();
        // In a fixed order, so that the same telemetry always gives the same frame.
        grown.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        for (_, binding, grown, weight) in &grown {
            gathered.add(binding, grown, *weight);
        }
        self.followed.retain(|_, (_, state)| !state.is_idle(start_ms));
        self.remember(start_ms, spans, &gathered);
        gathered.assemble(
            |ends| self.shown.contains_key(ends),
            |callee| self.called.contains_key(callee),
            operations_max,
        )
    }

    fn remember(&mut self, start_ms: i64, spans: &[RpcWindow], gathered: &Gathered) {
        let forgotten = start_ms.saturating_sub(self.stale_ms);
        self.shown.retain(|_, seen| *seen >= forgotten);
        self.called.retain(|_, seen| *seen >= forgotten);
        for key in spans.iter().map(|rpc| &rpc.key) {
            let caller = (!key.is_entry()).then(|| key.caller.clone());
            if self.shown.len() < REMEMBERED_MAX {
                self.shown.insert((caller, key.callee.clone()), start_ms);
            }
        }
        let callees = spans.iter().map(|rpc| &rpc.key.callee).chain(gathered.callees());
        for callee in callees {
            if self.called.len() < REMEMBERED_MAX {
                self.called.insert(callee.clone(), start_ms);
            }
        }
    }
}
