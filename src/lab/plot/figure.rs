//! What can be drawn.

/// Panels under one title, with one legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// Panels beside each other.
    pub across: usize,
    /// Panels, row by row.
    pub panels: Vec<Panel>,
}

/// One pair of axes and what is drawn between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What it shows; may be empty.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub marks: Marks,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Whether it is logarithmic. Values must be positive then.
    pub is_log: bool,
    /// Its ends; by default, what the values need.
    pub range: Option<(f64, f64)>,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Marks {
    /// A group of bars for each of several things, a colour for each series.
    Bars(Bars),
    /// A line for each series.
    Lines(Lines),
}

/// Grouped bars; missing ones leave a gap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Name and one value a group.
    pub series: Vec<(String, Vec<Option<f64>>)>,
}

/// Lines through points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// Name and points.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
    /// What happened when, where the horizontal axis is time.
    pub moments: Vec<Moment>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When, on the horizontal axis.
    pub at: f64,
    /// What.
    pub text: String,
}

impl Axis {
    /// A linear axis.
    pub fn new(label: &str) -> Self {
        Self { label: label.into(), is_log: false, range: None }
    }

    /// The same, logarithmic.
    #[must_use]
    pub fn log(self) -> Self {
        Self { is_log: true, ..self }
    }

    /// The same, from `low` to `high`.
    #[must_use]
    pub fn from_to(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }
}

impl Marks {
    /// Names of the series.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Bars(bars) => bars.series.iter().map(|(name, _)| name.as_str()).collect(),
            Self::Lines(lines) => lines.series.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }
}
