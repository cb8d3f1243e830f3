//! A distribution of waits: bounded, mergeable, at most 1/64 wrong.

/// Buckets per power of two.
const SUB: u64 = 64;
/// Waits of 2^36 us (19 h) and more count as that.
const EXPONENT_MAX: u32 = 36;
const BUCKETS: usize = (EXPONENT_MAX as usize - 4) * SUB as usize;

/// Waits in microseconds.
#[derive(Clone, Debug)]
pub struct Delays {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_us: 0 }
    }
}

/// Its bucket: whole microseconds below [`SUB`], then powers of two cut into [`SUB`] parts.
fn bucket(us: u64) -> usize {
    if us < SUB {
        return us as usize;
    }
    let exponent = (63 - us.leading_zeros()).min(EXPONENT_MAX);
    let part = (us >> (exponent - 6)).min(2 * SUB - 1) - SUB;
    ((exponent - 5) as usize * SUB as usize + part as usize).min(BUCKETS - 1)
}

/// The largest wait that a bucket holds.
fn top(bucket: usize) -> u64 {
    let (row, part) = (bucket as u64 / SUB, bucket as u64 % SUB);
    if row == 0 { part } else { ((SUB + part + 1) << (row - 1)) - 1 }
}

impl Delays {
    /// Counts one wait.
    pub fn add(&mut self, us: u64) {
        self.counts[bucket(us)] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The wait, in milliseconds, that a share `q` did not exceed; `None` when there was none.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let rank = ((q * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(top(at).min(self.max_us) as f64 / 1000.0)
    }

    /// Waits counted.
    pub fn count(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_is_known_to_a_64th() {
        for us in [0, 1, 63, 64, 65, 127, 128, 1_000, 999_999, 60_000_000, 1 << 35] {
            let (low, high) = (us as f64, us as f64 * (1.0 + 1.0 / SUB as f64));
            let found = top(bucket(us)) as f64;
            assert!((low..=high).contains(&found), "{us} is found as {found}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_count_the_rare_ones() {
        let (mut quick, mut slow) = (Delays::default(), Delays::default());
        (0..998).for_each(|_| quick.add(500));
        (0..2).for_each(|_| slow.add(2_000_000));
        quick.merge(&slow);
        assert_eq!(quick.count(), 1000);
        assert!((quick.quantile_ms(0.99).unwrap() - 0.5).abs() < 0.01);
        assert_eq!(quick.quantile_ms(0.999), Some(2000.0));
        assert_eq!(Delays::default().quantile_ms(0.5), None);
    }
}
