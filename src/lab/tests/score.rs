//! How right a diagnosis is.

use super::support::{all_of, any_of};
use crate::data::Resource::{Cpu, Disk, Memory};
use crate::lab::sim::FaultKind;
use crate::lab::{Blame, Named, Score};

fn score(blame: &Blame, named: &[(usize, Option<crate::data::Resource>)]) -> Score {
    let mut score = Score::default();
    score.add(blame, &Named::from(named));
    score
}

const RIGHT: Score = Score {
    cases: 1,
    service: 1,
    both: 1,
    exact: 1,
    false_positive: 0,
    false_negative: 0,
    silent: 0,
};

#[test]
fn a_right_answer_counts_in_every_way() {
    let blame = all_of(&[(2, FaultKind::Cpu)]);
    assert_eq!(score(&blame, &[(2, Some(Cpu))]), RIGHT);
}

#[test]
fn the_wrong_resource_of_the_right_service_is_half_right() {
    let blame = all_of(&[(2, FaultKind::Cpu)]);
    for resource in [Some(Disk), None] {
        assert_eq!(score(&blame, &[(2, resource)]), Score { both: 0, ..RIGHT });
    }
    let bug = all_of(&[(2, FaultKind::FewThreads)]);
    assert_eq!(score(&bug, &[(2, None)]), RIGHT);
    assert_eq!(score(&bug, &[(2, Some(Cpu))]), Score { both: 0, ..RIGHT });
}

#[test]
fn naming_the_wrong_service_is_wrong_in_every_way() {
    let expected =
        Score { service: 0, both: 0, exact: 0, false_positive: 1, false_negative: 1, ..RIGHT };
    assert_eq!(score(&all_of(&[(2, FaultKind::Cpu)]), &[(3, Some(Cpu))]), expected);
}

#[test]
fn saying_nothing_is_silence_and_a_miss_but_accuses_nobody() {
    let expected = Score { service: 0, both: 0, exact: 0, false_negative: 1, silent: 1, ..RIGHT };
    assert_eq!(score(&all_of(&[(2, FaultKind::Cpu)]), &[]), expected);
    assert_eq!(score(&any_of(&[(2, FaultKind::Cpu)]), &[]), expected);
}

#[test]
fn the_first_name_decides_and_an_innocent_one_after_it_is_a_false_positive() {
    let blame = all_of(&[(2, FaultKind::Cpu)]);
    let more = score(&blame, &[(2, Some(Cpu)), (5, Some(Memory))]);
    assert_eq!(more, Score { exact: 0, false_positive: 1, ..RIGHT });
    let late = score(&blame, &[(5, Some(Memory)), (2, Some(Cpu))]);
    assert_eq!(late, Score { service: 0, both: 0, exact: 0, false_positive: 1, ..RIGHT });
}

#[test]
fn one_of_two_that_are_needed_is_a_miss_and_one_of_two_that_each_suffice_is_not() {
    let faults = [(2, FaultKind::Cpu), (4, FaultKind::Disk)];
    let one = [(4, Some(Disk))];
    assert_eq!(score(&all_of(&faults), &one), Score { exact: 0, false_negative: 1, ..RIGHT });
    assert_eq!(score(&any_of(&faults), &one), RIGHT);
    assert_eq!(score(&all_of(&faults), &[(4, Some(Disk)), (2, Some(Cpu))]), RIGHT);
}

#[test]
fn violations_add_up_and_shares_are_of_all_of_them() {
    let blame = all_of(&[(2, FaultKind::Cpu)]);
    let mut score = Score::default();
    assert_eq!(score.share(score.service), 0.0, "no cases, no share");
    for named in [(2, Some(Cpu)), (2, Some(Disk)), (3, None), (2, Some(Cpu))] {
        score.add(&blame, &Named::from([named]));
    }
    assert_eq!((score.cases, score.service, score.both), (4, 3, 2));
    assert_eq!((score.share(score.service), score.share(score.both)), (0.75, 0.5));
}
