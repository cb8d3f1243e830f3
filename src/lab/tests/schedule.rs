//! Load and faults over time.

use std::collections::BTreeSet;

use crate::lab::sim::{AppSpec, Fault, FaultKind, chain, social_network};
use crate::lab::{Minute, Schedule, Weather};

fn minutes(spec: &AppSpec, weather: Weather, seed: u64, count: usize) -> Vec<Minute> {
    let mut schedule = Schedule::new(spec, weather, seed);
    (0..count).map(|_| schedule.next_minute()).collect()
}

fn as_text(minutes: &[Minute]) -> String {
    format!("{minutes:?}")
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
    let app = social_network();
    let of = |seed| as_text(&minutes(&app, Weather::default(), seed, 200));
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
}

#[test]
fn strengths_and_loads_stay_within_the_weather() {
    let weather = Weather::default();
    let (low, high) = weather.strength;
    for minute in minutes(&social_network(), weather, 5, 1000) {
        assert!((0.6..=1.4).contains(&minute.load), "{}", minute.load);
        for fault in &minute.faults {
            assert!((low..=high).contains(&fault.strength), "{fault:?}");
        }
    }
}

#[test]
fn every_kind_of_fault_strikes_sooner_or_later_and_some_intervals_are_calm() {
    let all = minutes(&social_network(), Weather::default(), 6, 2000);
    for kind in FaultKind::ALL {
        assert!(all.iter().flat_map(|m| &m.faults).any(|f| f.kind == kind), "{kind}");
    }
    let calm = all.iter().filter(|m| m.faults.iter().all(|f| f.kind.is_bystander())).count();
    assert!((1000..1800).contains(&calm), "{calm} of 2000 are without harm");
    let harmful = |m: &Minute| m.faults.iter().filter(|f| !f.kind.is_bystander()).count();
    assert!(all.iter().any(|m| harmful(m) >= 2), "faults coincide");
}

#[test]
fn no_fault_outlasts_an_episode() {
    let weather = Weather { length: (1, 2), ..Weather::default() };
    let all = minutes(&social_network(), weather, 7, 1000);
    for three in all.windows(3) {
        let lasts = |f: &&Fault| three[1].faults.contains(f) && three[2].faults.contains(f);
        assert!(!three[0].faults.iter().any(|f| lasts(&f)), "{three:?}");
    }
}

#[test]
fn episodes_last_as_long_as_the_weather_has_it() {
    let spec = social_network();
    let mut schedule = Schedule::new(&spec, Weather::default(), 11);
    schedule.next_minute();
    schedule.change(Weather { length: (5, 5), bystander: 0.0, ..Weather::default() });
    let all: Vec<Minute> = (0..600).map(|_| schedule.next_minute()).collect();
    // Two fault-free intervals before, so that what began under the old weather is over.
    let starts = all.windows(3).enumerate().filter(|(_, w)| {
        w[0].faults.is_empty() && w[1].faults.is_empty() && !w[2].faults.is_empty()
    });
    let starts: Vec<usize> = starts.map(|(n, _)| n + 2).filter(|n| n + 5 < all.len()).collect();
    assert!(starts.len() > 10);
    for start in starts {
        assert!(all[start..start + 5].iter().all(|m| m.faults == all[start].faults));
        assert_ne!(all[start + 5].faults, all[start].faults);
    }
}

#[test]
fn no_service_has_the_same_fault_twice_at_once() {
    for minute in minutes(&chain(), Weather::default(), 8, 1000) {
        let mut kinds: Vec<_> = minute.faults.iter().map(|f| (f.service, f.kind)).collect();
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), count, "{minute:?}");
    }
}

#[test]
fn only_who_calls_somebody_can_run_out_of_connections() {
    let app = social_network();
    let calls = |service: usize| {
        let steps = app.services[service].ops.iter().flat_map(|o| &o.steps);
        steps.into_iter().any(|s| !s.calls().is_empty())
    };
    let all = minutes(&app, Weather::default(), 9, 3000);
    let few: Vec<&Fault> = all
        .iter()
        .flat_map(|m| &m.faults)
        .filter(|f| f.kind == FaultKind::FewConnections)
        .collect();
    assert!(!few.is_empty() && few.iter().all(|f| calls(f.service)), "{few:?}");
}

/// The noisy neighbours of an interval.
fn neighbours(minute: &Minute) -> Vec<Fault> {
    let is_one = |f: &&Fault| f.kind == FaultKind::NoisyNeighbour;
    minute.faults.iter().filter(is_one).copied().collect()
}

#[test]
fn a_neighbour_strikes_all_replicas_of_one_host_alike() {
    let app = social_network();
    let mut struck = BTreeSet::new();
    for minute in minutes(&app, Weather::default(), 11, 3000) {
        let faults = neighbours(&minute);
        let Some(first) = faults.first() else { continue };
        let host = app.hosts()[first.service][first.replica.unwrap()];
        let mut there = Vec::new();
        for (service, hosts) in app.hosts().iter().enumerate() {
            let here = hosts.iter().enumerate().filter(|(_, h)| **h == host);
            there.extend(here.map(|(replica, _)| (service, Some(replica))));
        }
        let places: Vec<_> = faults.iter().map(|f| (f.service, f.replica)).collect();
        assert_eq!(places, there);
        assert!(faults.iter().all(|f| f.strength == first.strength), "{faults:?}");
        struck.insert(host);
    }
    assert_eq!(struck.len(), app.nodes);
}

#[test]
fn the_asked_share_of_the_episodes_is_a_neighbours_and_nothing_else_changes() {
    let of = |neighbours| {
        let weather = Weather { neighbours, length: (1, 1), second: 0.0, ..Weather::default() };
        minutes(&social_network(), weather, 12, 10_000)
    };
    let (never, sometimes) = (of(0.0), of(0.08));
    let harmful = |m: &Minute| m.faults.iter().any(|f| !f.kind.is_bystander());
    let episodes = sometimes.iter().filter(|m| harmful(m)).count() as f64;
    let crowded = sometimes.iter().filter(|m| !neighbours(m).is_empty()).count() as f64;
    // Five standard deviations of a binomial count.
    let spread = (0.08 * 0.92 * episodes).sqrt();
    assert!((crowded - 0.08 * episodes).abs() < 5.0 * spread, "{crowded} of {episodes}");
    for (a, b) in never.iter().zip(&sometimes) {
        assert!(neighbours(a).is_empty() && a.load == b.load && harmful(a) == harmful(b));
        assert!(!neighbours(b).is_empty() || a.faults == b.faults, "{a:?} {b:?}");
    }
}

#[test]
fn in_fair_weather_nothing_happens() {
    let fair = Weather { episode: 0.0, bystander: 0.0, ..Weather::default() };
    assert!(minutes(&chain(), fair, 10, 500).iter().all(|m| m.faults.is_empty()));
}
