//! Thresholds with hindsight.

use super::support::{State, first_accused, history, short_of_cpu};
use crate::data::Resource;
use crate::lab::rivals::oracle::{Oracle, best_threshold};

#[test]
fn the_threshold_lies_half_way_between_guilt_and_innocence() {
    let column = vec![(1.0, false), (9.0, true), (2.0, false), (8.0, true), (4.0, false)];
    assert_eq!(best_threshold(column), 6.0);
}

#[test]
fn where_they_overlap_most_are_told_apart() {
    let column = vec![(9.0, true), (8.0, true), (7.0, true), (6.0, false), (5.0, true)];
    let rest = (0..20).map(|i| (f64::from(i) / 5.0, false));
    let above = best_threshold(column.into_iter().chain(rest).collect());
    assert_eq!(above, 4.4, "one false alarm is cheaper than one miss");
}

#[test]
fn what_never_was_to_blame_is_never_accused_within_what_it_was() {
    assert_eq!(best_threshold(vec![(1.0, false), (3.0, false), (2.0, false)]), 3.0);
}

#[test]
fn what_was_to_blame_before_is_found_again() {
    let found = first_accused(Oracle::learn, &history(&[0, 2], 100), &[0, 2].map(short_of_cpu));
    let expected = ["back", "mid"].map(|s| Some((s.to_string(), Some(Resource::Cpu))));
    assert_eq!(found, expected);
    assert_eq!(first_accused(Oracle::learn, &history(&[0], 100), &[State::default()]), [None]);
}
