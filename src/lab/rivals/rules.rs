//! Rules of thumb: whoever stands out most is to blame.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rival::{Accused, Past, Rival};
use super::usual::{REMARKABLE, Usual};
use crate::data::{Frame, Name, Resource};

/// By what services stand out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Metric,
    Latency,
    OwnTime,
}

/// A rule: the largest deviation from what is usual first, as long as it is remarkable.
#[derive(Debug)]
pub(super) struct Rule {
    by: By,
    usual: Usual,
}

impl Rule {
    /// By any metric.
    pub(super) fn metric(past: &Past<'_>) -> Self {
        Self::new(By::Metric, past)
    }

    /// By its latency.
    pub(super) fn latency(past: &Past<'_>) -> Self {
        Self::new(By::Latency, past)
    }

    /// By the time it spends itself.
    pub(super) fn own_time(past: &Past<'_>) -> Self {
        Self::new(By::OwnTime, past)
    }

    fn new(by: By, past: &Past<'_>) -> Self {
        Self { by, usual: Usual::learn(&past.calm(), past.target.quantile) }
    }

    /// The largest deviation of each service that has one.
    fn deviations(&self, now: &Frame) -> BTreeMap<Name, f64> {
        match self.by {
            By::Latency => self.usual.of_latencies(now),
            By::OwnTime => self.usual.of_own_times(now),
            By::Metric => {
                let mut worst: BTreeMap<Name, f64> = BTreeMap::new();
                for (service, _, _, deviation) in self.usual.of_metrics(now) {
                    let most = worst.entry(service.clone()).or_insert(deviation);
                    *most = most.max(deviation);
                }
                worst
            }
        }
    }
}

impl Rival for Rule {
    fn name(&self) -> &'static str {
        match self.by {
            By::Metric => "largest metric",
            By::Latency => "largest latency",
            By::OwnTime => "largest own time",
        }
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let Some(now) = frames.last() else { return Vec::new() };
        let mut ranked: Vec<(Name, f64)> = self.deviations(now).into_iter().collect();
        ranked.retain(|(_, deviation)| *deviation > REMARKABLE);
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let resource = |service: &Name| -> Option<Resource> { self.usual.resource(now, service) };
        ranked.into_iter().map(|(s, _)| (s.to_string(), resource(&s))).collect()
    }
}
