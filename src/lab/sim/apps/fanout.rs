//! Fanout (paper, Fig. 8): the root asks every leaf at once and answers when all have answered.

use super::draft::{Draft, cpu, parallel};
use crate::lab::sim::spec::AppSpec;

/// A root and six leaves.
pub fn fanout() -> AppSpec {
    let mut app = Draft::new();
    let leaves: Vec<_> = [5200.0, 4400.0, 6000.0, 4800.0, 5600.0, 4000.0]
        .iter()
        .enumerate()
        .map(|(i, cpu_us)| {
            let tier = app.logic(&format!("fanout-leaf-{}", i + 1), 1 + i % 2, 2 - i % 2);
            app.op(tier, "Process", vec![cpu(*cpu_us)])
        })
        .collect();
    let tier = app.frontend("fanout-root", 2, 1);
    let root = app.op(tier, "Process", vec![cpu(2400.0), parallel(&leaves), cpu(1600.0)]);
    app.entry(root, 1.0);
    app.finish("fanout", 130.0, 4)
}
