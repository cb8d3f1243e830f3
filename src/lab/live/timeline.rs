//! Latency over time: requests by the interval in which they were meant to be sent. Pure.

use super::load::{PATIENCE, Sample};

/// One interval as users saw it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slot {
    /// Its start, milliseconds since the epoch.
    pub(super) start_ms: i64,
    /// Requests that were answered, or given up.
    pub(super) requests: usize,
    /// Of those, without a good answer.
    pub(super) failed: usize,
    /// Half were faster.
    pub(super) median_ms: f64,
    /// Latency at the quantile of the target. A request that failed counts as one that took as long as users
    /// are willing to wait: whoever refuses quickly is not fast.
    pub(super) tail_ms: f64,
}

/// Intervals from `from_ms`, which is moved to the grid, to `to_ms`. Those without requests are left out.
pub(super) fn slots(
    samples: &[Sample],
    (from_ms, to_ms): (i64, i64),
    interval_ms: i64,
    quantile: f64,
) -> Vec<Slot> {
    let first = from_ms.div_euclid(interval_ms);
    let last = to_ms.div_euclid(interval_ms);
    let mut by_slot: Vec<Vec<Sample>> =
        vec![Vec::new(); usize::try_from(last - first).unwrap_or(0)];
    for sample in samples {
        let at = sample.at_ms.div_euclid(interval_ms) - first;
        if let Some(slot) = usize::try_from(at).ok().and_then(|at| by_slot.get_mut(at)) {
            slot.push(*sample);
        }
    }
    let slots = by_slot.iter().zip(first..).filter(|(samples, _)| !samples.is_empty());
    slots.map(|(samples, n)| slot(samples, n * interval_ms, quantile)).collect()
}

fn slot(samples: &[Sample], start_ms: i64, quantile: f64) -> Slot {
    let given_up = PATIENCE.as_secs_f64() * 1e3;
    let felt = |s: &Sample| if s.is_ok { s.latency_ms } else { s.latency_ms.max(given_up) };
    let mut latencies: Vec<f64> = samples.iter().map(felt).collect();
    latencies.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| {
        let rank = (q * latencies.len() as f64).ceil() as usize;
        latencies[rank.clamp(1, latencies.len()) - 1]
    };
    Slot {
        start_ms,
        requests: samples.len(),
        failed: samples.iter().filter(|s| !s.is_ok).count(),
        median_ms: at(0.5),
        tail_ms: at(quantile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: i64, latency_ms: f64) -> Sample {
        Sample { at_ms, latency_ms, is_ok: true }
    }

    #[test]
    fn requests_count_in_the_interval_in_which_they_were_meant_to_be_sent() {
        let samples =
            [sample(1999, 900.0), sample(2000, 1.0), sample(3999, 3.0), sample(4000, 8.0)];
        let slots = slots(&samples, (2100, 4000), 2000, 0.95);
        assert_eq!(slots.len(), 1);
        assert_eq!((slots[0].start_ms, slots[0].requests), (2000, 2));
        assert_eq!((slots[0].median_ms, slots[0].tail_ms), (1.0, 3.0));
    }

    #[test]
    fn a_quick_refusal_is_not_a_fast_answer() {
        let refused = Sample { at_ms: 0, latency_ms: 1.0, is_ok: false };
        let slots = slots(&[refused], (0, 2000), 2000, 0.5);
        assert_eq!((slots[0].failed, slots[0].tail_ms), (1, 5000.0));
    }

    #[test]
    fn intervals_without_requests_are_left_out() {
        let slots = slots(&[sample(100, 1.0), sample(6100, 1.0)], (0, 8000), 2000, 0.5);
        assert_eq!(slots.iter().map(|s| s.start_ms).collect::<Vec<_>>(), [0, 6000]);
    }
}
