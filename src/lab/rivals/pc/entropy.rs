//! Independence of what is either so or not: conditional cross entropy, which is the G² test.
//!
//! G² is `2 n` times the conditional mutual information in nats: H(X|Z) + H(Y|Z) - H(X,Y|Z).

use super::search::Independence;
use crate::stats::normal_cdf;

/// Observations per degree of freedom below which the test has no power and finds independence.
const ROWS_PER_FREEDOM: usize = 10;

/// Columns as sets of bits.
#[derive(Debug)]
pub(in crate::lab::rivals) struct Binary {
    columns: Vec<Vec<u64>>,
    rows: usize,
    /// Chance to find a dependence where there is none.
    alpha: f64,
}

impl Binary {
    /// Of columns of equal length.
    pub(in crate::lab::rivals) fn new(columns: &[Vec<bool>], alpha: f64) -> Self {
        let word = |bits: &[bool]| bits.iter().rev().fold(0, |w, b| w << 1 | u64::from(*b));
        let pack = |c: &Vec<bool>| c.chunks(64).map(word).collect();
        let rows = columns.first().map_or(0, Vec::len);
        Self { columns: columns.iter().map(pack).collect(), rows, alpha }
    }

    /// G² and its degrees of freedom.
    pub(in crate::lab::rivals) fn g_squared(
        &self,
        x: usize,
        y: usize,
        given: &[usize],
    ) -> (f64, usize) {
        let (mut g, mut freedom) = (0.0, 0);
        for stratum in 0..1_usize << given.len() {
            let counts = self.counts(x, y, given, stratum);
            let row = |a: usize| counts[a][0] + counts[a][1];
            let column = |b: usize| counts[0][b] + counts[1][b];
            let total = row(0) + row(1);
            for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                if counts[a][b] > 0.0 {
                    g += 2.0 * counts[a][b] * (counts[a][b] * total / (row(a) * column(b))).ln();
                }
            }
            let varies = |of: &dyn Fn(usize) -> f64| of(0) > 0.0 && of(1) > 0.0;
            freedom += usize::from(varies(&row) && varies(&column));
        }
        (g, freedom)
    }

    /// How often `x` and `y` are (not) so where the condition has the values of `stratum`'s bits.
    fn counts(&self, x: usize, y: usize, given: &[usize], stratum: usize) -> [[f64; 2]; 2] {
        let mut counts = [[0.0; 2]; 2];
        for word in 0..self.columns[x].len() {
            let left = self.rows - 64 * word;
            let mut inside = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            for (i, z) in given.iter().enumerate() {
                let bits = self.columns[*z][word];
                inside &= if stratum >> i & 1 == 1 { bits } else { !bits };
            }
            let (x, y) = (self.columns[x][word], self.columns[y][word]);
            let count = |bits: u64| f64::from((inside & bits).count_ones());
            counts[0][0] += count(!x & !y);
            counts[0][1] += count(!x & y);
            counts[1][0] += count(x & !y);
            counts[1][1] += count(x & y);
        }
        counts
    }
}

impl Independence for Binary {
    fn variables(&self) -> usize {
        self.columns.len()
    }

    fn holds(&self, x: usize, y: usize, given: &[usize]) -> bool {
        if self.rows < ROWS_PER_FREEDOM << given.len() {
            return true;
        }
        let (g, freedom) = self.g_squared(x, y, given);
        freedom == 0 || chi_squared_tail(g, freedom) > self.alpha
    }
}

/// Chance that a chi-squared variable of so many degrees of freedom exceeds `x`.
pub(in crate::lab::rivals) fn chi_squared_tail(x: f64, freedom: usize) -> f64 {
    let half = x.max(0.0) / 2.0;
    // Q(k + 2) = Q(k) + (x/2)^(k/2) e^(-x/2) / Gamma(k/2 + 1)
    let (mut tail, mut term, mut k) = if freedom.is_multiple_of(2) {
        ((-half).exp(), half * (-half).exp(), 2)
    } else {
        let root = (2.0 * half).sqrt();
        let gamma_of_three_halves = std::f64::consts::PI.sqrt() / 2.0;
        (2.0 * (1.0 - normal_cdf(root)), half.sqrt() * (-half).exp() / gamma_of_three_halves, 1)
    };
    while k < freedom {
        tail += term;
        k += 2;
        term *= half / (k as f64 / 2.0);
    }
    tail.min(1.0)
}
