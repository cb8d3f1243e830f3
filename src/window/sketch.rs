//! A mergeable quantile sketch of durations.
//!
//! Buckets are powers of two cut into [`SUB`] equal parts, found from the bits of the value: an
//! insert is a few instructions, a merge is a vector addition. A bucket is at most 1/64 of its
//! lower bound wide and answers with its middle, so the relative error is at most 1/128 < 0.8 %.

use crate::data::{LEVELS, Percentiles};

const SUB_BITS: u32 = 6;
/// Buckets per power of two.
const SUB: usize = 1 << SUB_BITS;
/// Durations above 2^44 ns (4.9 h) count as that.
const EXPONENT_MAX: u32 = 44;

/// A distribution of durations in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// Bucket number of `counts[0]`.
    first: usize,
    counts: Vec<u32>,
    total: u64,
}

fn bucket(ns: u64) -> usize {
    if ns < SUB as u64 {
        return usize::try_from(ns).unwrap_or(0);
    }
    let exponent = (63 - ns.leading_zeros()).min(EXPONENT_MAX);
    let mantissa = (ns >> (exponent - SUB_BITS)).min(2 * SUB as u64 - 1) & (SUB as u64 - 1);
    (exponent - SUB_BITS + 1) as usize * SUB + usize::try_from(mantissa).unwrap_or(0)
}

/// Adds to a bucket; returns how much: a bucket that is full stays full.
fn grow(count: &mut u32, by: u32) -> u64 {
    let before = *count;
    *count = before.saturating_add(by);
    u64::from(*count - before)
}

/// Middle of a bucket, nanoseconds.
fn middle(bucket: usize) -> f64 {
    if bucket < SUB {
        return bucket as f64;
    }
    let width = 2f64.powi(i32::try_from(bucket / SUB - 1).unwrap_or(i32::MAX));
    (SUB + bucket % SUB) as f64 * width + width / 2.0
}

impl Sketch {
    /// Adds one duration.
    pub fn insert(&mut self, ns: u64) {
        self.insert_many(ns, 1);
    }

    /// Adds a duration so many times.
    pub fn insert_many(&mut self, ns: u64, times: u32) {
        let index = bucket(ns);
        self.reserve(index, index);
        self.total += grow(&mut self.counts[index - self.first], times);
    }

    /// Forgets everything and keeps the room.
    pub fn clear(&mut self) {
        self.counts.clear();
        (self.first, self.total) = (0, 0);
    }

    /// Adds everything `other` holds.
    pub fn merge(&mut self, other: &Sketch) {
        if other.counts.is_empty() {
            return;
        }
        self.reserve(other.first, other.first + other.counts.len() - 1);
        let at = other.first - self.first;
        for (mine, theirs) in self.counts[at..].iter_mut().zip(&other.counts) {
            self.total += grow(mine, *theirs);
        }
    }

    /// Grows the array so that it covers buckets `low..=high`.
    fn reserve(&mut self, low: usize, high: usize) {
        if self.counts.is_empty() {
            self.first = low;
        }
        if low < self.first {
            let grow = self.first - low;
            self.counts.splice(0..0, std::iter::repeat_n(0, grow));
            self.first = low;
        }
        if high >= self.first + self.counts.len() {
            self.counts.resize(high - self.first + 1, 0);
        }
    }

    /// Values inserted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The smallest value that at least `q` of the values do not exceed, nanoseconds; `None` when
    /// empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((q * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(middle(self.first + i));
            }
        }
        None
    }

    /// Percentiles in milliseconds; zeros when empty.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles(LEVELS.map(|q| self.quantile(q).map_or(0.0, |ns| (ns / 1e6) as f32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The exact answer by sorting.
    fn exact(values: &[u64], q: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        sorted[rank - 1] as f64
    }

    proptest! {
        #[test]
        fn property_every_quantile_is_within_one_percent(
            values in prop::collection::vec(1u64..10_000_000_000_000, 1..300),
            q in 0.0f64..1.0,
        ) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|v| sketch.insert(*v));
            let (got, want) = (sketch.quantile(q).unwrap(), exact(&values, q));
            prop_assert!((got - want).abs() <= 0.01 * want, "{got} is not {want}");
        }

        #[test]
        fn property_merging_equals_inserting_everything(
            a in prop::collection::vec(0u64..1_000_000_000, 0..100),
            b in prop::collection::vec(0u64..1_000_000_000, 0..100),
        ) {
            let mut all = Sketch::default();
            a.iter().chain(&b).for_each(|v| all.insert(*v));
            let (mut left, mut right) = (Sketch::default(), Sketch::default());
            a.iter().for_each(|v| left.insert(*v));
            b.iter().for_each(|v| right.insert(*v));
            left.merge(&right);
            prop_assert_eq!(left.count(), all.count());
            for q in [0.0, 0.5, 0.9, 1.0] {
                prop_assert_eq!(left.quantile(q), all.quantile(q));
            }
        }
    }

    #[test]
    fn buckets_ascend_without_gaps_across_powers_of_two() {
        let mut last = 0;
        for ns in 1..100_000u64 {
            let b = bucket(ns);
            assert!(b == last || b == last + 1, "{ns} ns jumps from {last} to {b}");
            last = b;
        }
        assert_eq!(bucket(u64::MAX), bucket((1 << 45) - 1));
    }
}
