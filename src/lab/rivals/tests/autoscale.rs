//! Autoscalers name the busy.

use super::support::{State, first_accused, frames, history};
use crate::data::{QosTarget, Resource};
use crate::lab::rivals::autoscale::Autoscale;
use crate::lab::rivals::{Past, Rival as _};

fn accused(learn: fn(&Past<'_>) -> Autoscale, busy: [f64; 4]) -> Vec<String> {
    let target = QosTarget { service: "front".into(), quantile: 0.99, target_ms: 35.0 };
    let past = frames(&history(&[0], 20), 1);
    let (met, labels) = (vec![true; 20], std::collections::BTreeMap::new());
    let past = Past { frames: &past, met: &met, labels: &labels, target: &target, seed: 1 };
    let now = frames(&[State { busy, ..State::default() }], 2);
    let accused = learn(&past).accuse(&now);
    assert!(accused.iter().all(|(_, resource)| *resource == Some(Resource::Cpu)));
    accused.into_iter().map(|(service, _)| service).collect()
}

#[test]
fn every_tier_above_the_threshold_is_named_the_busiest_first() {
    // Everybody uses 0.3 cores of one.
    let busy = [0.3, 0.0, 0.5, 0.1];
    assert_eq!(accused(Autoscale::strict, busy), ["mid", "back"]);
    assert_eq!(accused(Autoscale::relax, busy), ["mid"]);
}

#[test]
fn whoever_was_seen_to_use_more_than_one_core_has_two() {
    let mut state = State::default();
    state.busy[0] = 1.2;
    let target = QosTarget { service: "front".into(), quantile: 0.99, target_ms: 35.0 };
    let (past, labels) = (frames(&[state], 1), std::collections::BTreeMap::new());
    let past = Past { frames: &past, met: &[true], labels: &labels, target: &target, seed: 1 };
    let now = State { busy: [0.6, 0.0, 0.0, 0.4], ..State::default() };
    let accused = Autoscale::strict(&past).accuse(&frames(&[now], 2));
    assert_eq!(accused, [("side".to_string(), Some(Resource::Cpu))]);
}

#[test]
fn a_slow_service_that_is_not_busy_is_overlooked() {
    let mut bug = State::default();
    bug.slow[0] = 40.0;
    assert_eq!(first_accused(Autoscale::strict, &history(&[0], 20), &[bug]), [None]);
}
