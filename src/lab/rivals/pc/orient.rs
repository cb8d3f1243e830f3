//! Directions: what is known, then colliders, then what follows from them (Meek's rules 1 to 3).

use super::graph::Graph;
use super::search::Separators;

/// Directs as many edges as the separators allow.
pub(super) fn orient(graph: &mut Graph, separators: &Separators, sinks: &[usize]) {
    for sink in sinks {
        for cause in graph.neighbours(*sink) {
            graph.direct(cause, *sink);
        }
    }
    colliders(graph, separators);
    while spread(graph) {}
}

/// `x - z - y` without an edge between `x` and `y`, which were made independent without `z`: only a
/// common effect does that. Where two colliders contradict each other, the first one counts.
fn colliders(graph: &mut Graph, separators: &Separators) {
    for ((x, y), given) in separators {
        for z in graph.neighbours(*x) {
            let is_unshielded = graph.is_adjacent(z, *y);
            if is_unshielded && !given.contains(&z) && graph.may(*x, z) && graph.may(*y, z) {
                graph.direct(*x, z);
                graph.direct(*y, z);
            }
        }
    }
}

/// Directs what must be, lest there be new colliders or cycles. Whether anything changed.
fn spread(graph: &mut Graph) -> bool {
    let mut changed = false;
    for a in 0..graph.size() {
        for b in graph.neighbours(a) {
            if graph.is_undirected(a, b) && must_point(graph, a, b) {
                changed |= graph.direct(a, b);
            }
        }
    }
    changed
}

/// Whether `a - b` must be `a -> b`.
fn must_point(graph: &Graph, a: usize, b: usize) -> bool {
    let around = graph.neighbours(a);
    let no_new_collider =
        around.iter().any(|c| graph.is_directed(*c, a) && *c != b && !graph.is_adjacent(*c, b));
    let no_cycle = || around.iter().any(|c| graph.is_directed(a, *c) && graph.is_directed(*c, b));
    let no_forced_collider = || {
        let middle: Vec<usize> = around
            .iter()
            .copied()
            .filter(|c| graph.is_undirected(a, *c) && graph.is_directed(*c, b))
            .collect();
        middle.iter().any(|c| middle.iter().any(|d| c != d && !graph.is_adjacent(*c, *d)))
    };
    no_new_collider || no_cycle() || no_forced_collider()
}
