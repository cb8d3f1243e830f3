//! The paper's evaluation as commands: each study is a table, and a figure where the paper has one.
//!
//! In: [`Options`] and [`Surroundings`]. Out: [`Report`]. Parts that were finished once are read
//! from a [`Notebook`]. Absent on purpose: the terminal, the clock.

mod accuracy;
mod fit;
mod instrumentation;
mod latency;
mod line;
mod notebook;
mod options;
mod recorded;
mod reliability;
mod report;
mod robustness;
mod sampling;
mod scale;
mod surroundings;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod training_size;
mod updates;

pub use accuracy::{Accuracy, accuracy};
pub use instrumentation::{Instrumentation, instrumentation};
pub use latency::latency;
pub use notebook::Notebook;
pub use options::Options;
pub use report::Report;
pub use robustness::robustness;
pub use sampling::sampling;
pub use scale::scale;
pub use surroundings::{Failure, Surroundings};
pub use table::{Entry, Table};
pub use training_size::training_size;
pub use updates::updates;
