//! Changes are found soon, and not where there are none.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::lab::rivals::cusum::changes;

/// Roughly normal: mean 0, deviation 1.
fn noise(count: usize) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(4);
    (0..count).map(|_| (0..12).map(|_| rng.random_range(-0.5..0.5)).sum()).collect()
}

#[test]
fn a_shift_is_found_within_a_few_intervals_and_stays_found() {
    let mut values = noise(200);
    values[100..].iter_mut().for_each(|v| *v += 3.0);
    let found = changes(&values);
    assert!(!found[..100].contains(&true), "nothing happened yet");
    assert!(found[100..104].contains(&true), "three sigma add up soon");
    assert!(found[100..].iter().filter(|f| **f).count() > 20, "and go on adding up");
}

#[test]
fn one_great_leap_is_found_at_once_and_is_over_at_once() {
    let mut values = noise(50);
    values[30] = 20.0;
    let found: Vec<usize> = (0..50).filter(|i| changes(&values)[*i]).collect();
    assert_eq!(found, [30]);
}

#[test]
fn a_shift_downwards_is_not_what_is_looked_for() {
    let values: Vec<f64> = noise(100).iter().map(|v| v - 3.0).collect();
    assert!(!changes(&values).contains(&true));
}
