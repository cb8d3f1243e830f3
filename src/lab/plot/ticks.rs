//! Values to pixels, and where an axis has its ticks.

use super::figure::Axis;

/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;

/// A stretch of values laid out on a stretch of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruler {
    low: f64,
    high: f64,
    pixels: (f64, f64),
    is_log: bool,
}

impl Ruler {
    /// For `axis`, wide enough for `values`, from pixel `pixels.0` to `pixels.1`.
    pub(super) fn new(axis: &Axis, values: &[f64], pixels: (f64, f64)) -> Self {
        let usable =
            || values.iter().copied().filter(|v| v.is_finite() && (!axis.is_log || *v > 0.0));
        let ends = (usable().fold(f64::INFINITY, f64::min), usable().fold(0.0, f64::max));
        let needed = match (axis.is_log, ends.0.is_finite()) {
            (true, true) => (ends.0 / 1.15, ends.1 * 1.15),
            (true, false) => (1.0, 10.0),
            (false, _) => (ends.0.min(0.0), if ends.1 > 0.0 { ends.1 * 1.05 } else { 1.0 }),
        };
        let (low, high) = axis.range.unwrap_or(needed);
        Self { low, high, pixels, is_log: axis.is_log }
    }

    /// Where `value` is; values beyond the ends are at the ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let place = |v: f64| if self.is_log { v.max(f64::MIN_POSITIVE).ln() } else { v };
        let (low, high) = (place(self.low), place(self.high));
        let share = ((place(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Values with a tick.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log { self.log_ticks() } else { self.linear_ticks() }
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let raw = (self.high - self.low) / TICKS;
        let unit = 10.0_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * unit);
        let step = step.into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    /// One, two and five of every decade.
    fn log_ticks(&self) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let of = |d: i32| [1.0, 2.0, 5.0].map(|m| m * 10.0_f64.powi(d));
        decades.flat_map(of).filter(|t| (self.low..=self.high).contains(t)).collect()
    }
}

/// A tick in few characters.
pub(super) fn label(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.abs() >= 10_000.0 { format!("{}k", rounded / 1000.0) } else { rounded.to_string() }
}
