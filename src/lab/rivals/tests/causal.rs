//! Systems that learn who depends on whom find a culprit they were never told of.

use super::support::{State, first_accused, history, short_of_cpu};
use crate::data::Resource;
use crate::lab::rivals::cause_infer::CauseInfer;
use crate::lab::rivals::microscope::Microscope;

#[test]
fn cause_infer_walks_to_the_metric_of_the_service_at_the_bottom() {
    let states = history(&[0, 2, 3], 300);
    let found = first_accused(CauseInfer::learn, &states, &[short_of_cpu(0), short_of_cpu(3)]);
    let expected = ["back", "side"].map(|s| Some((s.to_string(), Some(Resource::Cpu))));
    assert_eq!(found, expected);
}

#[test]
fn cause_infer_stops_at_a_latency_that_no_metric_explains() {
    let mut bug = State::default();
    bug.slow[0] = 40.0;
    let found = first_accused(CauseInfer::learn, &history(&[0, 2, 3], 300), &[bug]);
    assert_eq!(found, [Some(("back".to_string(), None))]);
}

#[test]
fn microscope_stops_where_no_neighbour_is_anomalous() {
    let states = history(&[0, 2, 3], 300);
    let found = first_accused(Microscope::learn, &states, &[0, 2, 3].map(short_of_cpu));
    let expected = ["back", "mid", "side"].map(|s| Some((s.to_string(), Some(Resource::Cpu))));
    assert_eq!(found, expected);
}
