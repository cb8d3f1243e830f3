//! Known graphs are recovered from data drawn from them.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::lab::rivals::pc::{
    Binary, Gaussian, Graph, Independence, Order, Search, chi_squared_tail, correlation, learn,
};

const ROWS: usize = 2000;

fn search() -> Search {
    Search { condition_max: 3, order: Order::Together { workers: 3 }, sinks: Vec::new() }
}

fn edges(graph: &Graph, size: usize) -> Vec<(usize, usize)> {
    let pairs = (0..size).flat_map(|x| (x + 1..size).map(move |y| (x, y)));
    pairs.filter(|(x, y)| graph.causes(*x).contains(y) || graph.causes(*y).contains(x)).collect()
}

/// 0 -> 2 <- 1, 2 -> 3 -> 4, linear with normal noise.
fn linear() -> Vec<Vec<f64>> {
    let mut rng = SmallRng::seed_from_u64(8);
    let mut columns = vec![Vec::new(); 5];
    for _ in 0..ROWS {
        let mut noise = || (0..12).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
        let (a, b) = (noise(), noise());
        let c = 0.8 * a - 0.7 * b + 0.5 * noise();
        let d = 0.9 * c + 0.6 * noise();
        let e = d + 0.7 * noise();
        for (column, value) in columns.iter_mut().zip([a, b, c, d, e]) {
            column.push(value);
        }
    }
    columns
}

#[test]
fn a_linear_graph_with_a_collider_is_recovered_with_all_directions() {
    let columns = linear();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let graph = learn(&Gaussian::new(&columns, 0.001), &search());
    assert_eq!(edges(&graph, 5), [(0, 2), (1, 2), (2, 3), (3, 4)]);
    // The collider directs its edges, and what follows must not become one.
    let causes: Vec<Vec<usize>> = (0..5).map(|v| graph.causes(v)).collect();
    assert_eq!(causes, [vec![], vec![], vec![0, 1], vec![2], vec![3]]);
    for order in [Order::Together { workers: 1 }, Order::OneByOne] {
        let other = learn(&Gaussian::new(&columns, 0.001), &Search { order, ..search() });
        assert_eq!(graph, other, "{order:?}");
    }
}

#[test]
fn a_chain_has_no_direction_until_its_end_is_known() {
    let columns = linear();
    let chain: Vec<&[f64]> = columns[2..].iter().map(Vec::as_slice).collect();
    let test = Gaussian::new(&chain, 0.001);
    let free = learn(&test, &search());
    assert_eq!((edges(&free, 3), free.causes(1)), (vec![(0, 1), (1, 2)], vec![0, 2]));
    let known = learn(&test, &Search { sinks: vec![2], ..search() });
    assert_eq!((known.causes(2), known.causes(1)), (vec![1], vec![0]));
}

#[test]
fn conditions_are_only_as_large_as_allowed() {
    // 0 and 3 have two common causes: one condition is not enough to separate them.
    let mut rng = SmallRng::seed_from_u64(9);
    let mut columns = vec![Vec::new(); 4];
    for _ in 0..ROWS {
        let mut noise = || rng.random_range(-1.0..1.0);
        let (b, c) = (noise(), noise());
        for (column, v) in columns.iter_mut().zip([b + c + noise(), b, c, b + c + noise()]) {
            column.push(v);
        }
    }
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let test = Gaussian::new(&columns, 0.001);
    let has_edge = |condition_max| {
        edges(&learn(&test, &Search { condition_max, ..search() }), 4).contains(&(0, 3))
    };
    assert!(has_edge(1) && !has_edge(2));
}

/// 0 -> 1 -> 2, each so or not, and passing it on nine times in ten.
fn binary() -> Vec<Vec<bool>> {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut columns = vec![Vec::new(); 3];
    for _ in 0..ROWS {
        let mut value = rng.random_bool(0.3);
        for column in &mut columns {
            column.push(value);
            value ^= rng.random_bool(0.1);
        }
    }
    columns
}

#[test]
fn entropy_tells_direct_dependence_from_what_is_passed_on() {
    let test = Binary::new(&binary(), 0.01);
    assert!(!test.holds(0, 1, &[]) && !test.holds(0, 2, &[]) && !test.holds(0, 1, &[2]));
    assert!(test.holds(0, 2, &[1]));
    assert_eq!(edges(&learn(&test, &search()), 3), [(0, 1), (1, 2)]);
}

#[test]
fn of_two_causes_that_say_the_same_one_stays_when_edges_fall_one_by_one() {
    // 1 and 2 are copies of 0, which is known to be an effect.
    let copies = vec![binary().remove(0); 3];
    let test = Binary::new(&copies, 0.01);
    let causes =
        |order| learn(&test, &Search { order, sinks: vec![0], ..search() }).causes(0).len();
    assert_eq!((causes(Order::OneByOne), causes(Order::Together { workers: 2 })), (1, 0));
}

#[test]
fn g_squared_is_twice_the_count_times_the_mutual_information() {
    // 30 rows more than a word of bits, so that the last word is not full.
    let x: Vec<bool> = (0..94).map(|i| i < 40).collect();
    let y: Vec<bool> = (0..94).map(|i| !(30..80).contains(&i)).collect();
    let counts = [[30.0, 10.0], [14.0, 40.0]];
    let expected: f64 = (0..4)
        .map(|i| {
            let n: f64 = counts[i / 2][i % 2];
            let (row, column) =
                (counts[i / 2][0] + counts[i / 2][1], counts[0][i % 2] + counts[1][i % 2]);
            2.0 * n * (n * 94.0 / (row * column)).ln()
        })
        .sum();
    let (g, freedom) = Binary::new(&[x, y], 0.05).g_squared(0, 1, &[]);
    assert!((g - expected).abs() < 1e-9 && freedom == 1, "{g} {expected} {freedom}");
}

#[test]
fn tails_and_correlations_have_their_known_values() {
    for (x, freedom, p) in [(3.841, 1, 0.05), (5.991, 2, 0.05), (7.815, 3, 0.05), (15.507, 8, 0.05)]
    {
        assert!((chi_squared_tail(x, freedom) - p).abs() < 1e-4, "{freedom}");
    }
    assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
    assert_eq!(correlation(&[1.0, 1.0], &[2.0, 4.0]), 0.0, "what stands still goes with nothing");
}
