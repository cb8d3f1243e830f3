//! Figures as SVG: bars and lines with axes and a legend.
//!
//! In: [`Figure`]. Out: text, the same for the same figure. Its colours are readable on white and on
//! black. Absent on purpose: files, fonts.

mod bars;
mod canvas;
mod draw;
mod figure;
mod lines;
mod palette;
#[cfg(test)]
mod tests;
mod ticks;

pub use figure::{Axis, Bars, Figure, Lines, Marks, Moment, Panel};
