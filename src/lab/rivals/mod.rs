//! The systems that the paper compares Sage with (Fig. 12, section 6.1.2), and simple rules.
//!
//! In: frames, and for the supervised ones the labels of past intervals. Out: whom they accuse of a
//! violation. Each does what its own paper says, with every choice that its paper leaves open taken
//! in its favour; the files say which. Absent on purpose: the simulator, and what Sage learns.

mod autoscale;
mod baro;
mod cause_infer;
mod cusum;
mod microscope;
mod oracle;
mod pc;
mod rival;
mod rules;
mod seer;
mod series;
#[cfg(test)]
mod tests;
mod usual;
mod view;

pub use rival::{Accused, Past, Rival, all};
