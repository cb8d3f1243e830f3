//! `sage demo`: the real sidecar on its real listeners, a simulated Social Network that sends it real
//! bytes, and one fault after another.

mod run;
mod scenario;
mod table;

pub use run::{INTERVAL, Options, Stage, Watcher, run};
pub use scenario::{Scenario, scenarios};
pub use table::{Verdict, print_head, print_row, print_score};
