//! Buckets of native histograms: where spans put them, and in which order they stand.

/// Buckets of one histogram. Exponential ones of the finest schema have some hundreds.
pub(super) const BUCKETS_MAX: usize = 4096;

/// Buckets on one side of zero.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// (buckets left out before, buckets)
    pub(super) spans: Vec<(i32, u32)>,
    pub(super) deltas: Vec<i64>,
    pub(super) counts: Vec<f64>,
}

impl Side {
    /// (index, count) of every bucket, indices ascending.
    pub(super) fn placed(&self, is_float: bool) -> Result<Vec<(i64, f64)>, &'static str> {
        let buckets = if is_float { self.counts.len() } else { self.deltas.len() };
        if buckets.max(self.spans.len()) > BUCKETS_MAX {
            return Err("too many buckets");
        }
        let spanned: u64 = self.spans.iter().map(|(_, length)| u64::from(*length)).sum();
        if spanned != buckets as u64 {
            return Err("spans that do not fit the buckets");
        }
        let mut out = Vec::with_capacity(buckets);
        let (mut index, mut total) = (0, 0_i64);
        for (n, (offset, length)) in self.spans.iter().enumerate() {
            if n > 0 && *offset < 0 {
                return Err("spans that overlap");
            }
            index += i64::from(*offset);
            for _ in 0..*length {
                let count = if is_float {
                    self.counts[out.len()]
                } else {
                    let delta = self.deltas[out.len()];
                    total = total.checked_add(delta).ok_or("counts beyond 64 bits")?;
                    total as f64
                };
                if count.is_nan() || count < 0.0 {
                    return Err("a negative count");
                }
                out.push((index, count));
                index += 1;
            }
        }
        Ok(out)
    }
}

/// Buckets in ascending order, gaps filled.
pub(super) struct Buckets(pub(super) Vec<(f64, f64)>);

impl Buckets {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    pub(super) fn push(&mut self, lower: f64, upper: f64, count: f64) {
        let newest = self.0.last().map_or(f64::NEG_INFINITY, |(bound, _)| *bound);
        if lower > newest {
            self.0.push((lower, 0.0));
        }
        match self.0.last_mut() {
            // The bucket of zeros may reach into its neighbours; far out, bounds overflow.
            Some((bound, there)) if upper <= *bound => *there += count,
            _ => self.0.push((upper, count)),
        }
    }
}

/// At most one more than may be, so that too many show.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() <= BUCKETS_MAX {
        list.push(item);
    }
}
