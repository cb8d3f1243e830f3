//! When a model follows its application, and when it takes that back.

use std::sync::Arc;

use super::town::Town;
use super::updates::{UPDATED, add_audit, before, slow_cart, update};
use crate::model::{Model, Next, Policy};

/// What came of every interval around the update, up to and including how many, and what is in use in the end.
struct Followed {
    retrained: Vec<usize>,
    restored: Vec<usize>,
    policy: Policy,
    model: Arc<Model>,
}

fn follow(town: &Town, base: &Arc<Model>) -> Followed {
    let frames = town.frames();
    let (retrained, restored) = (Vec::new(), Vec::new());
    let policy = Policy::default();
    let mut all = Followed { retrained, restored, policy, model: base.clone() };
    for until in UPDATED - 10..=town.frames.len() {
        match all.policy.observe(&all.model, &frames[..until], &town.met[..until]) {
            Some(Next::Retrain(work)) => {
                all.retrained.push(until);
                all.model = Arc::new(update(town, &work.base, &work.changes, until));
            }
            Some(Next::Restore(before)) => {
                all.restored.push(until);
                all.model = before;
            }
            None => {}
        }
    }
    all
}

#[test]
fn the_policy_retrains_soon_and_again_while_data_grows_and_then_rests() {
    let (mut town, model) = before();
    add_audit(&mut town);
    let Followed { retrained, restored, policy, .. } = follow(&town, &Arc::new(model));
    assert_eq!((retrained, restored), ([2, 5, 10, 20].map(|n| UPDATED + n).to_vec(), vec![]));
    assert!(policy.is_open());
    let newest = town.frames[UPDATED + 4].interval.end;
    let (reason, until) = policy.converging(newest, 30_000).unwrap();
    assert!(reason.contains("audit is new"), "{reason}");
    assert_eq!(until, town.frames[UPDATED + 20].interval.start);
    assert_eq!(policy.converging(until, 30_000), None);
}

/// Cart is slower for eight intervals, the target is met, and then all is as before.
#[test]
fn what_has_passed_was_no_change_and_the_model_from_before_it_returns() {
    let (mut town, model) = before();
    let after = UPDATED + 8;
    let tail = town.frames.split_off(after);
    slow_cart(&mut town, 6.0);
    town.frames.extend(tail);
    let base = Arc::new(model);
    let Followed { retrained, restored, policy, model } = follow(&town, &base);
    assert!(!retrained.is_empty(), "it was taken for a change");
    assert_eq!(restored.len(), 1, "{restored:?}");
    assert!((after + 3..after + 9).contains(&restored[0]), "{restored:?}");
    assert!(Arc::ptr_eq(&model, &base) && !policy.is_open());
}

/// Cart is slower for ten intervals in most of which the target is met, and then so slow that it is missed.
#[test]
fn what_ends_in_missed_targets_was_no_change_and_the_model_from_before_it_finds_out_why() {
    let (mut town, model) = before();
    slow_cart(&mut town, 6.0);
    let missed = UPDATED + 10;
    town.met[missed..].fill(false);
    let base = Arc::new(model);
    let Followed { retrained, restored, policy, model } = follow(&town, &base);
    assert!(retrained.iter().any(|at| *at <= missed), "it was taken for a change: {retrained:?}");
    assert_eq!(restored.len(), 1, "{restored:?}");
    assert!((missed + 2..missed + 8).contains(&restored[0]), "{restored:?}");
    assert!(Arc::ptr_eq(&model, &base) && !policy.is_open());
}
