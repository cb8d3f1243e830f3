//! The skeleton: an edge falls when any small set of neighbours makes its ends independent.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::orient::orient;
use crate::parallel;

/// Conditions tried per edge and size; an edge that survives so many stays.
const CONDITIONS_MAX: usize = 2000;

/// A test of conditional independence.
pub(in crate::lab::rivals) trait Independence: Sync {
    /// Number of variables.
    fn variables(&self) -> usize;
    /// Whether `x` and `y` look independent given the others.
    fn holds(&self, x: usize, y: usize, given: &[usize]) -> bool;
}

/// How to search.
#[derive(Clone, Debug)]
pub(in crate::lab::rivals) struct Search {
    /// Largest set of variables to condition on.
    pub(in crate::lab::rivals) condition_max: usize,
    /// In which order edges fall.
    pub(in crate::lab::rivals) order: Order,
    /// Variables known to cause no other.
    pub(in crate::lab::rivals) sinks: Vec<usize>,
}

/// In which order edges fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::lab::rivals) enum Order {
    /// One after the other, as first published. Of several variables that say the same, one stays.
    OneByOne,
    /// All that fall by conditions of one size fall together, so that the order of the variables
    /// does not matter and so many threads can test at once.
    Together {
        /// Threads. The result does not depend on it.
        workers: usize,
    },
}

/// What made the ends of fallen edges independent, by ends in order.
pub(super) type Separators = BTreeMap<(usize, usize), Vec<usize>>;

/// Learns the graph.
pub(in crate::lab::rivals) fn learn(test: &dyn Independence, search: &Search) -> Graph {
    let mut graph = Graph::complete(test.variables());
    let mut separators = Separators::new();
    for size in 0..=search.condition_max {
        let edges = edges(&graph);
        let mut fall = |graph: &mut Graph, (x, y), given: Option<Vec<usize>>| {
            if let Some(given) = given {
                graph.remove(x, y);
                separators.insert((x, y), given);
            }
        };
        match search.order {
            Order::OneByOne => {
                for edge in edges {
                    let given = separator(test, search, &graph, edge, size);
                    fall(&mut graph, edge, given);
                }
            }
            Order::Together { workers } => {
                let of = |edge: &(usize, usize)| separator(test, search, &graph, *edge, size);
                let found = parallel::map(&edges, workers, of);
                for (edge, given) in edges.into_iter().zip(found) {
                    fall(&mut graph, edge, given);
                }
            }
        }
    }
    orient(&mut graph, &separators, &search.sinks);
    graph
}

fn edges(graph: &Graph) -> Vec<(usize, usize)> {
    let to_later = |x: usize| move |y: &usize| *y > x;
    let from = |x| graph.neighbours(x).into_iter().filter(to_later(x)).map(move |y| (x, y));
    (0..graph.size()).flat_map(from).collect()
}

/// Neighbours of `x` or of `y`, `size` of them, that make the two independent. Of a sink, which comes
/// after all others, its own neighbours are enough.
fn separator(
    test: &dyn Independence,
    search: &Search,
    graph: &Graph,
    (x, y): (usize, usize),
    size: usize,
) -> Option<Vec<usize>> {
    let others = |of: usize| -> Vec<usize> {
        graph.neighbours(of).into_iter().filter(|n| *n != x && *n != y).collect()
    };
    let by = |of: usize, other: usize| {
        let accepts = |given: &[usize]| test.holds(x, y, given);
        let is_enough = !search.sinks.contains(&other) || search.sinks.contains(&of);
        if is_enough { find_subset(&others(of), size, &accepts) } else { None }
    };
    by(x, y).or_else(|| if size == 0 { None } else { by(y, x) })
}

/// The first subset of `size` items that is accepted, in the order of the items.
pub(super) fn find_subset(
    items: &[usize],
    size: usize,
    accepts: &dyn Fn(&[usize]) -> bool,
) -> Option<Vec<usize>> {
    if size > items.len() {
        return None;
    }
    let mut at: Vec<usize> = (0..size).collect();
    for _ in 0..CONDITIONS_MAX {
        let subset: Vec<usize> = at.iter().map(|i| items[*i]).collect();
        if accepts(&subset) {
            return Some(subset);
        }
        // The last position that can still move on; those behind it follow.
        let moving = (0..size).rev().find(|p| at[*p] < items.len() - size + p)?;
        at[moving] += 1;
        for p in moving + 1..size {
            at[p] = at[p - 1] + 1;
        }
    }
    None
}
