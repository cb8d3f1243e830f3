//! Whoever stands out most.

use super::support::{State, first_accused, history, short_of_cpu};
use crate::data::Resource;
use crate::lab::rivals::baro::Baro;
use crate::lab::rivals::rules::Rule;

#[test]
fn shortages_are_found_by_metrics_and_bugs_by_the_time_that_a_service_spends_itself() {
    let states = history(&[0, 2], 100);
    let mut bug = State::default();
    bug.slow[2] = 40.0;
    let shortage = Some(("back".to_string(), Some(Resource::Cpu)));
    let by_metric = first_accused(Rule::metric, &states, &[short_of_cpu(0), bug]);
    assert_eq!(by_metric, [shortage.clone(), None]);
    let by_own_time = first_accused(Rule::own_time, &states, &[short_of_cpu(0), bug]);
    assert_eq!(by_own_time, [shortage, Some(("mid".to_string(), None))]);
}

#[test]
fn by_latency_the_one_it_multiplies_most_is_named() {
    let states = history(&[0, 2], 100);
    let [found] = &first_accused(Rule::latency, &states, &[short_of_cpu(0)])[..] else {
        panic!("one question, one answer")
    };
    assert_eq!(found, &Some(("back".to_string(), Some(Resource::Cpu))));
}

#[test]
fn the_robust_scorer_names_the_service_and_its_resource() {
    let states = history(&[0, 2], 100);
    let found = first_accused(Baro::new, &states, &[short_of_cpu(3)]);
    assert_eq!(found, [Some(("side".to_string(), Some(Resource::Cpu)))]);
}
