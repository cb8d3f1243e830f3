//! Colours of middling lightness, so that they show on white and on black.

/// Text and axes.
pub(super) const INK: &str = "#7d8590";

/// One colour a series. The first is meant for what a figure is about; neighbours differ in lightness
/// as well as in hue, for those who see fewer colours.
const SERIES: [&str; 12] = [
    "#d1495b", "#3b7ea1", "#e0a030", "#5aa469", "#8e6bbf", "#48b0b0", "#b8734a", "#9aa5b1",
    "#4a66c9", "#c977a8", "#8a9a3b", "#5f6b7a",
];

/// The colour of series number `index`.
pub(super) fn colour(index: usize) -> &'static str {
    SERIES[index % SERIES.len()]
}
