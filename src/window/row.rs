//! What the series of one target add up to in one interval, and the values that come of it.

use crate::data::{FeatureSpec, Scale};

/// Values of one feature at one target: (sum of values, sum of divisors).
pub(super) type Parts = (Option<f64>, Option<f64>);

/// What the series of one target add up to, by feature. Few features of the table have series at a target, so
/// those that have none take no room.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(usize, Parts)>);

impl Row {
    /// What `feature` adds up to so far.
    pub(super) fn at(&mut self, feature: usize) -> &mut Parts {
        let found = self.0.iter().position(|(f, _)| *f == feature);
        let at = found.unwrap_or_else(|| {
            self.0.push((feature, (None, None)));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// What `feature` adds up to.
    pub(super) fn get(&self, feature: usize) -> Parts {
        let found = self.0.iter().find(|(f, _)| *f == feature);
        found.map_or((None, None), |(_, parts)| *parts)
    }
}

/// The value of a feature.
pub(super) fn value((value, divisor): Parts, spec: &FeatureSpec) -> Option<f64> {
    let value = value? * spec.factor;
    match (divisor, &spec.per, spec.scale) {
        (_, None, _) => Some(value),
        (Some(d), ..) if d > 0.0 => Some(value / d),
        // No limit is set, or it is not known: there is no share of it.
        (_, _, Scale::Headroom) => None,
        // Nothing happened that could be measured.
        (Some(_), ..) => Some(0.0),
        (None, ..) => None,
    }
}

/// Median, 90th percentile and maximum, interpolated.
pub(super) fn percentiles(values: &mut [f64]) -> Option<[f64; 3]> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0.5, 0.9, 1.0].map(|q| {
        let at = q * last as f64;
        let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }))
}
