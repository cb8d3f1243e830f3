//! Grouped bars.

use super::canvas::{Anchor, Canvas};
use super::draw::Area;
use super::figure::Bars;
use super::palette::colour;
use super::ticks::Ruler;

/// Share of a group's width that stays free.
const GAP: f64 = 0.2;
/// Widest a bar gets, pixels.
const BAR_MAX: f64 = 42.0;

impl Bars {
    pub(super) fn values(&self) -> Vec<f64> {
        self.series.iter().flat_map(|(_, values)| values.iter().flatten().copied()).collect()
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, area: &Area, y: &Ruler, colours: &[usize]) {
        let slot = area.width() / self.groups.len().max(1) as f64;
        let width = (slot * (1.0 - GAP) / self.series.len().max(1) as f64).min(BAR_MAX);
        for (g, group) in self.groups.iter().enumerate() {
            let middle = area.left + (g as f64 + 0.5) * slot;
            canvas.text((middle, area.bottom + 16.0), Anchor::Middle, "", group);
            let first = middle - width * self.series.len() as f64 / 2.0;
            for (s, (name, values)) in self.series.iter().enumerate() {
                let value = values.get(g).copied().flatten().filter(|v| v.is_finite());
                let Some(value) = value else { continue };
                let top = y.at(value);
                let at = (first + s as f64 * width, top);
                // A pixel of nothing tells neighbours apart.
                let size = ((width - 1.0).max(0.5), (area.bottom - top).max(0.0));
                let title = format!("{group}, {name}: {value:.1}");
                canvas.rect(at, size, colour(colours[s]), &title);
            }
        }
    }
}
