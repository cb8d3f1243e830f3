//! Lines through points.

use super::canvas::{Anchor, Canvas};
use super::draw::Area;
use super::figure::{Axis, Lines};
use super::palette::colour;
use super::ticks::{Ruler, label};

/// How lines beyond the first few are dashed, so that not only colours tell them apart.
const DASHES: [&str; 3] = ["none", "6 3", "2 3"];
/// Most measured values that are all labelled.
const TICKS_MAX: usize = 9;
/// Closest two labels of the horizontal axis may be, pixels.
const LABELS_APART: f64 = 24.0;
/// Words beside moments: rows of them, and the height of one, pixels.
const MOMENT_ROWS: usize = 4;
const MOMENT_HEIGHT: f64 = 52.0;
/// Most points of a line that are all dotted.
const DOTS_MAX: usize = 60;

impl Lines {
    pub(super) fn values(&self) -> Vec<f64> {
        self.series.iter().flat_map(|(_, points)| points.iter().map(|p| p.1)).collect()
    }

    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        area: &Area,
        (x_axis, y): (&Axis, &Ruler),
        colours: &[usize],
    ) {
        let values: Vec<f64> =
            self.series.iter().flat_map(|(_, points)| points.iter().map(|p| p.0)).collect();
        let x = Ruler::new(x_axis, &values, (area.left, area.right));
        let mut last = f64::NEG_INFINITY;
        for tick in ticks(&x, &values) {
            let at = x.at(tick);
            canvas.line((at, area.bottom), (at, area.bottom + 4.0), 0.8);
            if at - last >= LABELS_APART {
                canvas.text((at, area.bottom + 16.0), Anchor::Middle, "", &label(tick));
                last = at;
            }
        }
        for (n, moment) in self.moments.iter().enumerate() {
            let at = x.at(moment.at);
            canvas.line((at, area.bottom), (at, area.top), 0.5);
            // What happens within moments stands one above the other.
            let above = 4.0 + MOMENT_HEIGHT * (n % MOMENT_ROWS) as f64;
            canvas.upright_from((at - 3.0, area.bottom - above), &moment.text);
        }
        for (s, (name, points)) in self.series.iter().enumerate() {
            let is_finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
            let points: Vec<(f64, f64)> = points.iter().filter(is_finite).copied().collect();
            let at: Vec<(f64, f64)> =
                points.iter().map(|(px, py)| (x.at(*px), y.at(*py))).collect();
            let colour_of = colour(colours[s]);
            canvas.path(&at, colour_of, DASHES[(colours[s] / 4) % DASHES.len()]);
            if at.len() > DOTS_MAX {
                continue;
            }
            for (place, (px, py)) in at.iter().zip(&points) {
                let title =
                    format!("{name}: {} at {}", label((py * 10.0).round() / 10.0), label(*px));
                canvas.dot(*place, colour_of, &title);
            }
        }
    }
}

/// The values that were measured, when they are few; else round ones.
fn ticks(x: &Ruler, values: &[f64]) -> Vec<f64> {
    let mut distinct: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup();
    if (1..=TICKS_MAX).contains(&distinct.len()) { distinct } else { x.ticks() }
}
