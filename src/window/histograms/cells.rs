//! A distribution as counts between bounds, and its quantiles as Prometheus computes them.

use std::collections::BTreeMap;

use crate::data::{LEVELS, Percentiles};

/// How values lie inside a bucket, as far as anybody can assume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Evenly: classic buckets.
    Even,
    /// Evenly on a logarithmic scale: native ones.
    Exponential,
}

/// A count of values in `lower < v <= upper`. Where the two are equal the values are beyond all bounds,
/// and the highest of these is all that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) count: f64,
    pub(super) shape: Shape,
}

impl Cell {
    /// The value that the share `share` of this cell does not exceed.
    fn value(&self, share: f64) -> f64 {
        match self.shape {
            Shape::Exponential if self.lower > 0.0 => {
                self.lower * (self.upper / self.lower).powf(share)
            }
            _ => self.lower + (self.upper - self.lower) * share,
        }
    }

    /// The share of this cell that does not exceed `value`: the inverse of [`Cell::value`].
    fn share(&self, value: f64) -> f64 {
        match self.shape {
            Shape::Exponential if self.lower > 0.0 => {
                (value / self.lower).ln() / (self.upper / self.lower).ln()
            }
            _ => (value - self.lower) / (self.upper - self.lower),
        }
    }
}

/// Counts by bounds. Bounds are not negative, so their bits are in the order of their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Distribution {
    cells: BTreeMap<(u64, u64), (f64, Shape)>,
    total: f64,
}

/// What a distribution says, and how well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) percentiles: Percentiles,
    /// Median and 99th percentile lie in one bucket: all between is assumed.
    pub(super) is_in_one_bucket: bool,
    /// The 99th percentile lies beyond the highest bound, which stands in for it.
    pub(super) is_beyond_bounds: bool,
}

impl Distribution {
    /// Adds `weight` times a cell.
    pub(super) fn add(&mut self, cell: &Cell, weight: f64) {
        let count = cell.count * weight;
        if count > 0.0 {
            let key = (cell.lower.max(0.0).to_bits(), cell.upper.max(0.0).to_bits());
            self.cells.entry(key).or_insert((0.0, cell.shape)).0 += count;
            self.total += count;
        }
    }

    /// Adds `weight` times all of `other`, whose unit is `factor` of this one's.
    pub(super) fn merge(&mut self, other: &Distribution, factor: f64, weight: f64) {
        for mut cell in other.iter() {
            (cell.lower, cell.upper) = (cell.lower * factor, cell.upper * factor);
            self.add(&cell, weight);
        }
    }

    /// Cells.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Values, fractions of them included.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    fn iter(&self) -> impl Iterator<Item = Cell> + '_ {
        self.cells.iter().map(|((lower, upper), (count, shape))| Cell {
            lower: f64::from_bits(*lower),
            upper: f64::from_bits(*upper),
            count: *count,
            shape: *shape,
        })
    }

    /// The cells without overlaps, ascending. Replicas may have different bounds: where these overlap,
    /// cells are cut at each other's.
    fn apart(&self) -> Vec<Cell> {
        let cells: Vec<Cell> = self.iter().collect();
        if cells.windows(2).all(|pair| pair[0].upper <= pair[1].lower) {
            return cells;
        }
        let mut bounds: Vec<f64> = cells.iter().flat_map(|c| [c.lower, c.upper]).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds.dedup();
        let mut apart = Distribution::default();
        for cell in &cells {
            if cell.lower >= cell.upper {
                apart.add(cell, 1.0);
                continue;
            }
            let from = bounds.partition_point(|b| *b < cell.lower);
            let to = bounds.partition_point(|b| *b < cell.upper);
            for pair in bounds[from..=to].windows(2) {
                let share = cell.share(pair[1]) - cell.share(pair[0]);
                apart.add(&Cell { lower: pair[0], upper: pair[1], ..*cell }, share);
            }
        }
        apart.iter().collect()
    }

    /// Percentiles in milliseconds, if that is the unit of the bounds; `None` when empty.
    pub(super) fn read(&self) -> Option<Read> {
        let cells = self.apart();
        let total: f64 = cells.iter().map(|c| c.count).sum();
        if total <= 0.0 {
            return None;
        }
        let at = LEVELS.map(|q| locate(&cells, q * total));
        let [first, .., last] = at;
        let beyond =
            |(i, _): (usize, f64)| cells[i].lower > 0.0 && cells[i].lower >= cells[i].upper;
        Some(Read {
            percentiles: Percentiles(at.map(|(i, share)| cells[i].value(share) as f32)),
            is_in_one_bucket: first.0 == last.0,
            is_beyond_bounds: beyond(last),
        })
    }
}

/// The cell that holds the value of `rank`, and which share of it lies below.
fn locate(cells: &[Cell], rank: f64) -> (usize, f64) {
    let mut below = 0.0;
    for (i, cell) in cells.iter().enumerate() {
        if below + cell.count >= rank {
            return (i, (rank - below) / cell.count);
        }
        below += cell.count;
    }
    // Rounding only: the rank is at most the total.
    (cells.len() - 1, 1.0)
}
