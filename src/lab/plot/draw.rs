//! Where everything goes: title, legend, panels, axes.

use super::canvas::{Anchor, Canvas};
use super::figure::{Figure, Marks, Panel};
use super::palette::colour;
use super::ticks::{Ruler, label};

/// Width of a figure, pixels.
const WIDTH: f64 = 880.0;
/// Height of a panel with bars, and of one with lines.
const HEIGHT: (f64, f64) = (210.0, 290.0);
/// Around the area of a panel: left, right, above, below.
const MARGIN: (f64, f64, f64, f64) = (56.0, 14.0, 28.0, 44.0);
/// Width of a letter of the legend, about.
const LETTER: f64 = 6.2;
/// Height of a row of the legend.
const ROW: f64 = 18.0;

/// The rectangle between the axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Area {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }
}

impl Figure {
    /// As SVG.
    pub fn to_svg(&self) -> String {
        let mut canvas = Canvas::default();
        canvas.text((MARGIN.0, 22.0), Anchor::Start, "title", &self.title);
        let names = self.names();
        let top = legend(&mut canvas, &names, 42.0);
        let across = self.across.max(1);
        let size = (WIDTH / across as f64, self.panels.first().map_or(0.0, height));
        for (n, panel) in self.panels.iter().enumerate() {
            let corner = ((n % across) as f64 * size.0, top + (n / across) as f64 * size.1);
            let area = Area {
                left: corner.0 + MARGIN.0,
                right: corner.0 + size.0 - MARGIN.1,
                top: corner.1 + MARGIN.2,
                bottom: corner.1 + size.1 - MARGIN.3,
            };
            panel.draw(&mut canvas, &area, &names);
        }
        let rows = self.panels.len().div_ceil(across);
        canvas.finish(WIDTH, top + rows as f64 * size.1, &self.title)
    }

    /// Names of all series, each once.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.panels.iter().flat_map(|p| p.marks.names()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn height(panel: &Panel) -> f64 {
    match panel.marks {
        Marks::Bars(_) => HEIGHT.0,
        Marks::Lines(_) => HEIGHT.1,
    }
}

/// Draws it from `top` on; returns where it ends.
fn legend(canvas: &mut Canvas, names: &[&str], top: f64) -> f64 {
    let (mut x, mut y) = (MARGIN.0, top);
    for (n, name) in names.iter().enumerate() {
        let width = 30.0 + LETTER * name.chars().count() as f64;
        if x + width > WIDTH - MARGIN.1 && x > MARGIN.0 {
            (x, y) = (MARGIN.0, y + ROW);
        }
        canvas.rect((x, y - 9.0), (10.0, 10.0), colour(n), name);
        canvas.text((x + 15.0, y), Anchor::Start, "", name);
        x += width;
    }
    y + 8.0
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, area: &Area, names: &[&str]) {
        let values = match &self.marks {
            Marks::Bars(bars) => bars.values(),
            Marks::Lines(lines) => lines.values(),
        };
        let y = Ruler::new(&self.y, &values, (area.bottom, area.top));
        for tick in y.ticks() {
            let at = y.at(tick);
            canvas.line((area.left, at), (area.right, at), 0.2);
            canvas.text((area.left - 6.0, at + 4.0), Anchor::End, "", &label(tick));
        }
        canvas.text((area.left, area.top - 9.0), Anchor::Start, "head", &self.title);
        let middle = f64::midpoint(area.left, area.right);
        canvas.text((middle, area.bottom + 34.0), Anchor::Middle, "", &self.x.label);
        let side = (area.left - 40.0, f64::midpoint(area.top, area.bottom));
        canvas.upright(side, "", &self.y.label);
        let colour_of = |name: &str| names.iter().position(|n| *n == name).unwrap_or(0);
        let colours: Vec<usize> = self.marks.names().into_iter().map(colour_of).collect();
        match &self.marks {
            Marks::Bars(bars) => bars.draw(canvas, area, &y, &colours),
            Marks::Lines(lines) => lines.draw(canvas, area, (&self.x, &y), &colours),
        }
        // Last, so that it is above what begins at it.
        canvas.line((area.left, area.bottom), (area.right, area.bottom), 1.0);
    }
}
