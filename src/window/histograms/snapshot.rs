//! All buckets of one histogram at one moment, and what was added between two of them.

use super::cells::{Cell, Shape};
use crate::data::{EventTime, Histogram, ResetHint};

/// Exponential bounds are powers of two to the n-th part, where n is at most this.
const STEPS_PER_OCTAVE: f64 = 256.0;
/// How far from such a power a bound may be, in parts of the finest step.
const STEP_TOLERANCE: f64 = 1e-3;

/// Bounds and how many values do not exceed them, ascending.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) time: EventTime,
    cumulative: Vec<(f64, f64)>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Bucket by bucket, maybe not of one moment, maybe not all there.
    Classic,
    /// As one. Bounds that it does not have lie where it has no values.
    Native { began_anew: bool, shape: Shape },
    /// The histogram has ended.
    End,
}

/// What was added between two snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Growth {
    pub(super) cells: Vec<Cell>,
    /// All values, also where no bound tells how large they were.
    pub(super) total: f64,
}

impl Snapshot {
    /// A classic histogram of which no bucket has come yet.
    pub(super) fn classic(time: EventTime) -> Self {
        Self { time, cumulative: Vec::new(), kind: Kind::Classic }
    }

    /// The end of a histogram.
    pub(super) fn end(time: EventTime) -> Self {
        Self { time, cumulative: Vec::new(), kind: Kind::End }
    }

    /// Whether it is the end.
    pub(super) fn is_end(&self) -> bool {
        self.kind == Kind::End
    }

    /// A native histogram.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn native(histogram: &Histogram, max: usize) -> Result<Self, &'static str> {
        if histogram.reset == ResetHint::Gauge {
            return Err("gauge");
        }
        if histogram.buckets.len() > max {
            return Err("buckets_full");
        }
        if !histogram.count.is_finite() || histogram.buckets.iter().any(|(_, n)| !n.is_finite()) {
            return Err("not_finite");
        }
        let mut seen = 0.0;
        let mut cumulative: Vec<(f64, f64)> = Vec::with_capacity(histogram.buckets.len() + 1);
        for (bound, count) in &histogram.buckets {
            seen += count;
            cumulative.push((*bound, seen));
        }
        if cumulative.last().is_none_or(|(bound, _)| *bound < f64::INFINITY) {
            cumulative.push((f64::INFINITY, histogram.count.max(seen)));
        }
        let began_anew = histogram.reset == ResetHint::Reset;
        let kind = Kind::Native { began_anew, shape: shape_of(&histogram.buckets) };
        Ok(Self { time: EventTime(histogram.time_ms), cumulative, kind })
    }

    /// Bounds for which there is room.
    pub(super) fn room(&self) -> usize {
        self.cumulative.capacity()
    }

    /// Takes a classic bucket: `count` values do not exceed `bound`.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn insert(
        &mut self,
        bound: f64,
        count: f64,
        max: usize,
    ) -> Result<(), &'static str> {
        let at = self.cumulative.partition_point(|(b, _)| *b < bound);
        if self.kind != Kind::Classic || self.cumulative.get(at).is_some_and(|(b, _)| *b == bound) {
            return Err("duplicate");
        }
        // There is always room for the one that says how many there are.
        if self.cumulative.len() >= max && bound.is_finite() {
            return Err("buckets_full");
        }
        self.cumulative.insert(at, (bound, count));
        Ok(())
    }

    /// Whether it says how many values there are. Without that it says nothing.
    pub(super) fn is_counted(&self) -> bool {
        self.cumulative.last().is_some_and(|(bound, _)| *bound == f64::INFINITY)
    }

    /// Whether all buckets are there, as far as `earlier` tells.
    pub(super) fn is_whole(&self, earlier: Option<&Snapshot>) -> bool {
        match self.kind {
            Kind::Native { .. } | Kind::End => true,
            Kind::Classic => {
                let wanted = earlier.map_or(usize::MAX, |e| e.cumulative.len());
                self.is_counted() && self.cumulative.len() >= wanted
            }
        }
    }

    /// What came after `earlier`; both are counted.
    pub(super) fn since(&self, earlier: &Snapshot) -> Growth {
        match self.kind {
            Kind::Classic | Kind::End => self.since_classic(earlier),
            Kind::Native { began_anew: true, shape } => growth(&self.cumulative, shape),
            Kind::Native { began_anew: false, shape } => self.since_native(earlier, shape),
        }
    }

    /// Buckets that only one of the two has, because a request was lost or bounds were changed, are left
    /// out: that is coarser, not wrong.
    fn since_classic(&self, earlier: &Snapshot) -> Growth {
        let mut before = earlier.cumulative.iter().peekable();
        let mut grown = Vec::with_capacity(self.cumulative.len());
        for (bound, count) in &self.cumulative {
            while before.next_if(|(b, _)| b < bound).is_some() {}
            if let Some((_, was)) = before.next_if(|(b, _)| b == bound) {
                // One smaller bucket says that all began again at zero: others may have caught up.
                if count < was {
                    return growth(&self.cumulative, Shape::Even);
                }
                grown.push((*bound, count - was));
            }
        }
        growth(&grown, Shape::Even)
    }

    fn since_native(&self, earlier: &Snapshot, shape: Shape) -> Growth {
        let mut bounds: Vec<f64> =
            self.cumulative.iter().chain(&earlier.cumulative).map(|(b, _)| *b).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds.dedup();
        let mut grown: Vec<(f64, f64)> = Vec::with_capacity(bounds.len());
        for bound in bounds {
            // A bound inside a bucket that holds something: the other one has a finer schema.
            let (Some(count), Some(was)) = (self.up_to(bound), earlier.up_to(bound)) else {
                continue;
            };
            let more = count - was;
            // A bucket that shrank: a restart that came without a hint.
            if more < grown.last().map_or(0.0, |(_, before)| *before) {
                return growth(&self.cumulative, shape);
            }
            grown.push((bound, more));
        }
        growth(&grown, shape)
    }

    /// Values up to `bound`, if they can be told.
    fn up_to(&self, bound: f64) -> Option<f64> {
        let at = self.cumulative.partition_point(|(b, _)| *b < bound);
        let (next, count) = *self.cumulative.get(at)?;
        let before = at.checked_sub(1).map_or(0.0, |i| self.cumulative[i].1);
        (next == bound || count <= before).then_some(count)
    }
}

/// Whether bounds are those of an exponential schema: others are custom bounds, which are read as those
/// of classic histograms are.
fn shape_of(buckets: &[(f64, f64)]) -> Shape {
    let is_step = |bound: f64| {
        let steps = bound.log2() * STEPS_PER_OCTAVE;
        (steps - steps.round()).abs() < STEP_TOLERANCE
    };
    // The first positive bound may be the zero bucket's, which is anybody's choice.
    let bounds = buckets.iter().map(|(b, _)| *b).filter(|b| *b > 0.0 && b.is_finite());
    if bounds.skip(1).all(is_step) { Shape::Exponential } else { Shape::Even }
}

/// Cells of cumulative counts, the last of which is unbounded.
fn growth(cumulative: &[(f64, f64)], shape: Shape) -> Growth {
    let mut growth = Growth::default();
    let mut lower = 0.0_f64;
    for (bound, count) in cumulative {
        // Scrapes are no snapshots: a bucket may be a request ahead of the next one.
        let more = (count - growth.total).max(0.0);
        let upper = if bound.is_finite() { bound.max(0.0) } else { lower };
        if more > 0.0 && cumulative.len() > 1 {
            growth.cells.push(Cell { lower, upper, count: more, shape });
        }
        growth.total += more;
        lower = upper;
    }
    growth
}
