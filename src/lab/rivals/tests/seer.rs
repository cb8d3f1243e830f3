//! Seer's network learns what can be learnt, and only from labels.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::support::{first_accused, history, short_of_cpu};
use crate::data::Resource;
use crate::lab::rivals::seer::{CHANNELS, Example, Lesson, PAST, Seer, train};

const TIERS: usize = 5;

/// One tier stands out in one channel now; another one did, more so, some intervals ago.
fn example(rng: &mut SmallRng) -> Example {
    let mut input: Vec<f32> =
        (0..PAST * CHANNELS * TIERS).map(|_| rng.random_range(-0.3..0.3)).collect();
    let (now, before) = (rng.random_range(0..TIERS), rng.random_range(0..TIERS));
    input[(PAST - 1) * CHANNELS * TIERS + 2 * TIERS + now] += 2.0;
    input[2 * TIERS + before] += 3.0;
    Example { input, to_blame: vec![now] }
}

#[test]
fn a_separable_toy_is_learnt_and_holds_for_what_was_not_seen() {
    let mut rng = SmallRng::seed_from_u64(5);
    let examples: Vec<Example> = (0..80).map(|_| example(&mut rng)).collect();
    let trained = train(&Lesson { examples: &examples, tiers: TIERS, seed: 6 }).unwrap();
    let is_right = |_: &usize| {
        let unseen = example(&mut rng);
        let p = trained.probabilities(&unseen.input);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-4, "probabilities: {p:?}");
        p.iter().all(|q| *q <= p[unseen.to_blame[0]])
    };
    let right = (0..100).filter(is_right).count();
    assert!(right >= 95, "{right} of 100");
}

#[test]
fn without_labels_nothing_is_learnt_and_nobody_accused() {
    assert!(train(&Lesson { examples: &[], tiers: TIERS, seed: 6 }).is_none());
}

#[test]
fn a_culprit_known_from_labels_is_found_behind_a_caller_that_is_slow_too() {
    let states = history(&[0, 2, 3], 300);
    let found = first_accused(Seer::learn, &states, &[0, 2, 3].map(short_of_cpu));
    let expected = ["back", "mid", "side"].map(|s| Some((s.to_string(), Some(Resource::Cpu))));
    assert_eq!(found, expected);
}
