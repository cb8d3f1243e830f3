//! A line through readings, and how sure it is.

/// Readings that follow one another are alike; the means of so many stretches of them hardly are.
const BLOCKS: usize = 20;
/// Of Student's t, both sides, for 95 % and two less than that.
const T: f64 = 2.101;

/// How fast something grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Per unit of time.
    pub slope: f64,
    /// Half of the interval in which the slope lies with 95 % probability.
    pub error: f64,
}

/// The least-squares line through the means of equal stretches of (time, value); `None` with fewer than
/// two readings for each.
pub fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    if points.len() < 2 * BLOCKS {
        return None;
    }
    let blocks: Vec<(f64, f64)> = (0..BLOCKS)
        .map(|b| {
            let of = &points[b * points.len() / BLOCKS..(b + 1) * points.len() / BLOCKS];
            let mean =
                |pick: fn(&(f64, f64)) -> f64| of.iter().map(pick).sum::<f64>() / of.len() as f64;
            (mean(|p| p.0), mean(|p| p.1))
        })
        .collect();
    let n = BLOCKS as f64;
    let mean_t = blocks.iter().map(|b| b.0).sum::<f64>() / n;
    let mean_v = blocks.iter().map(|b| b.1).sum::<f64>() / n;
    let spread: f64 = blocks.iter().map(|b| (b.0 - mean_t).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = blocks.iter().map(|b| (b.0 - mean_t) * (b.1 - mean_v)).sum::<f64>() / spread;
    let rest: f64 = blocks.iter().map(|b| (b.1 - mean_v - slope * (b.0 - mean_t)).powi(2)).sum();
    let error = T * (rest / (n - 2.0) / spread).sqrt();
    Some(Slope { slope, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Growth of `per_s` with a saw tooth on it.
    fn readings(per_s: f64) -> Vec<(f64, f64)> {
        (0..400).map(|t| (f64::from(t), 5.0 + per_s * f64::from(t) + f64::from(t % 7))).collect()
    }

    #[test]
    fn growth_is_told_from_a_saw_tooth() {
        for per_s in [0.5, 0.0, -0.2] {
            let found = slope(&readings(per_s)).unwrap();
            assert!((found.slope - per_s).abs() <= found.error.max(1e-9), "{per_s}: {found:?}");
            assert!(found.error < 0.01, "{found:?}");
        }
        assert_eq!(slope(&readings(1.0)[..39]), None);
    }
}
