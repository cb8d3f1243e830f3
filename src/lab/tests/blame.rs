//! Who is to blame, by true counterfactuals.

use std::time::Duration;

use super::support::{all_of, any_of, fault};
use crate::data::Resource;
use crate::lab::sim::{AppSpec, Fault, FaultKind, SimConfig, Simulator, chain};
use crate::lab::{Blame, Minute, judge};

const INTERVAL: Duration = Duration::from_secs(20);

#[test]
fn exactly_those_to_blame_are_all_of_them_and_nobody_else() {
    let both = all_of(&[(1, FaultKind::Cpu), (4, FaultKind::Disk)]);
    for right in [&[1, 4][..], &[4, 1], &[1, 4, 1]] {
        assert!(both.is_exactly(right), "{right:?}");
    }
    for wrong in [&[][..], &[1], &[4], &[2], &[1, 4, 2]] {
        assert!(!both.is_exactly(wrong), "{wrong:?}");
    }
}

#[test]
fn where_any_one_suffices_some_of_them_are_exact_too() {
    let any = any_of(&[(1, FaultKind::Cpu), (4, FaultKind::Disk)]);
    for right in [&[1][..], &[4], &[1, 4]] {
        assert!(any.is_exactly(right), "{right:?}");
    }
    for wrong in [&[][..], &[2], &[1, 2]] {
        assert!(!any.is_exactly(wrong), "{wrong:?}");
    }
}

#[test]
fn two_faults_of_one_service_are_one_culprit_with_two_resources() {
    let blame = all_of(&[(3, FaultKind::Cpu), (3, FaultKind::LockContention)]);
    assert!(blame.is_exactly(&[3]));
    assert!(blame.names_resource(3, Some(Resource::Cpu)));
    assert!(blame.names_resource(3, None), "a bug has no resource");
    assert!(!blame.names_resource(3, Some(Resource::Disk)));
    assert!(!blame.names_resource(2, Some(Resource::Cpu)) && !blame.names(2));
}

/// Judges an interval of the chain in which `faults` hold, against a target above its calm tail.
fn verdict(faults: &[Fault]) -> Option<Blame> {
    let app = chain();
    let config = SimConfig { trace_ratio: 0.0, ..SimConfig::default() };
    let mut simulator = Simulator::new(&app, config, 5, 0).unwrap();
    let calm = simulator.run(INTERVAL, 1.0, &[]).truth.quantile_ms(0.99).unwrap();
    let minute = Minute { load: 1.0, faults: faults.to_vec() };
    let observed = simulator.clone().run(INTERVAL, 1.0, faults).truth.quantile_ms(0.99).unwrap();
    judge(&simulator, &minute, INTERVAL, 0.99, 1.3 * calm, observed)
}

/// Two services of the chain, one above the other, that do more than wait.
fn tiers(app: &AppSpec) -> (usize, usize) {
    (1, app.services.len() - 2)
}

#[test]
fn a_harmful_fault_is_blamed_and_a_loud_one_beside_it_is_not() {
    let (a, b) = tiers(&chain());
    let blame = verdict(&[fault(b, FaultKind::Cpu, 3.0), fault(a, FaultKind::LoudCpu, 3.0)]);
    let blame = blame.expect("the target is missed");
    assert_eq!(blame.faults, [fault(b, FaultKind::Cpu, 3.0)]);
    assert!(blame.alternatives, "undoing it alone suffices");
}

#[test]
fn nobody_is_blamed_when_nothing_harmful_happened() {
    let (a, _) = tiers(&chain());
    assert_eq!(verdict(&[fault(a, FaultKind::LoudDisk, 3.0)]), None);
    assert_eq!(verdict(&[]), None);
}

#[test]
fn of_two_faults_each_of_which_violates_alone_both_are_blamed_together() {
    let (a, b) = tiers(&chain());
    let both = [fault(a, FaultKind::Cpu, 3.0), fault(b, FaultKind::Cpu, 3.0)];
    let blame = verdict(&both).expect("the target is missed");
    assert_eq!((&blame.faults[..], blame.alternatives), (&both[..], false));
}

#[test]
fn a_fault_too_weak_to_matter_beside_a_strong_one_is_not_blamed() {
    let (a, b) = tiers(&chain());
    let strong = fault(b, FaultKind::Cpu, 3.0);
    let blame = verdict(&[fault(a, FaultKind::Cpu, 0.01), strong]).expect("the target is missed");
    assert_eq!(blame.faults, [strong]);
}

#[test]
fn a_target_that_is_missed_without_any_fault_blames_nobody() {
    let app = chain();
    let simulator = Simulator::new(&app, SimConfig::default(), 5, 0).unwrap();
    let minute = Minute { load: 1.0, faults: vec![fault(1, FaultKind::Cpu, 3.0)] };
    assert_eq!(judge(&simulator, &minute, INTERVAL, 0.99, 1e-3, 50.0), None);
}

#[test]
fn of_a_neighbour_that_only_as_a_whole_is_too_much_all_its_victims_are_blamed() {
    let app = AppSpec { nodes: 1, ..chain() };
    let config = SimConfig { trace_ratio: 0.0, ..SimConfig::default() };
    let mut simulator = Simulator::new(&app, config, 5, 0).unwrap();
    simulator.run(INTERVAL, 1.0, &[]);
    let mut all = Vec::new();
    for (service, hosts) in app.hosts().iter().enumerate() {
        let weak = fault(service, FaultKind::NoisyNeighbour, 0.5);
        all.extend((0..hosts.len()).map(|r| Fault { replica: Some(r), ..weak }));
    }
    let p99 = |faults: &[Fault]| {
        simulator.clone().run(INTERVAL, 1.0, faults).truth.quantile_ms(0.99).unwrap()
    };
    let without =
        |fault: &Fault| -> Vec<Fault> { all.iter().filter(|f| *f != fault).copied().collect() };
    let alone = all.iter().map(|f| p99(&[*f])).fold(0.0, f64::max);
    let rest = all.iter().map(|f| p99(&without(f))).fold(f64::INFINITY, f64::min);
    assert!(all.len() == 9 && alone < rest, "{alone} {rest}");
    let minute = Minute { load: 1.0, faults: all.clone() };
    let judged = |target_ms| judge(&simulator, &minute, INTERVAL, 0.99, target_ms, p99(&all));
    let blame = judged(f64::midpoint(alone, rest)).expect("the target is missed");
    assert_eq!((&blame.faults, blame.alternatives), (&all, false));
    assert!(blame.names_resource(all[0].service, Some(Resource::Cpu)));
    // Just above what is left without the one that matters most, undoing that one suffices.
    let blame = judged(1.001 * rest).expect("the target is missed");
    assert!(blame.alternatives && !blame.faults.is_empty(), "{blame:?}");
}
