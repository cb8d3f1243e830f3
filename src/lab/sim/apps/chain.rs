//! Chain (paper, Fig. 8): each service works, calls the next one and passes its answer on.

use super::draft::{Draft, call, cpu};
use crate::lab::sim::spec::AppSpec;

/// Five services in a row.
pub fn chain() -> AppSpec {
    let mut app = Draft::new();
    let tier5 = app.logic("chain-5", 1, 2);
    let mut next = app.op(tier5, "Process", vec![cpu(4200.0)]);
    for (number, cpu_us) in [(4, 3600.0), (3, 3000.0), (2, 3400.0)] {
        let tier = app.logic(&format!("chain-{number}"), 2, 1);
        let steps = vec![cpu(0.7 * cpu_us), call(next), cpu(0.3 * cpu_us)];
        next = app.op(tier, "Process", steps);
    }
    let tier1 = app.frontend("chain-1", 2, 1);
    let root = app.op(tier1, "Process", vec![cpu(2000.0), call(next), cpu(1000.0)]);
    app.entry(root, 1.0);
    app.finish("chain", 180.0, 4)
}
