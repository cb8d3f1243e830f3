//! The applications are as lively as the paper's, and not more.

use std::time::Duration;

use super::{paper_apps, random_graph};
use crate::lab::sim::{AppSpec, Fault, FaultKind, Kind, SimConfig, Simulator};

const INTERVAL: Duration = Duration::from_secs(30);

/// Share of its cores that each service uses at load 1.
fn utilisation(app: &AppSpec) -> Vec<f64> {
    let cores = app.services.iter().map(|s| (s.replicas * s.cores) as f64);
    app.nominal().unwrap().iter().zip(cores).map(|(n, cores)| n.cpu_cores / cores).collect()
}

fn p99(app: &AppSpec, faults: &[Fault]) -> f64 {
    let config = SimConfig { trace_ratio: 0.0, ..SimConfig::default() };
    let mut sim = Simulator::new(app, config, 1, 0).unwrap();
    sim.run(INTERVAL, 1.0, &[]);
    sim.run(INTERVAL, 1.0, faults).truth.quantile_ms(0.99).unwrap()
}

/// The busiest services first.
fn hottest(app: &AppSpec) -> Vec<usize> {
    let busy = utilisation(app);
    let mut services: Vec<usize> = (0..busy.len()).collect();
    services.sort_by(|a, b| busy[*b].total_cmp(&busy[*a]));
    services
}

#[test]
fn applications_of_the_paper_are_healthy_and_moderately_busy() {
    for app in paper_apps() {
        let p99 = p99(&app, &[]);
        assert!((20.0..65.0).contains(&p99), "{}: {p99}", app.name);
        let busy = utilisation(&app);
        let busiest = busy.iter().copied().fold(0.0, f64::max);
        assert!((0.25..0.5).contains(&busiest), "{}: {busiest}", app.name);
        assert!(busy.iter().all(|b| *b > 0.01), "{}: {busy:?}", app.name);
    }
}

#[test]
fn services_of_applications_of_the_paper_use_the_cores_that_were_computed_for_them() {
    for app in paper_apps() {
        let mut sim = Simulator::new(&app, SimConfig::default(), 6, 0).unwrap();
        let (mut used, mut series) = (vec![0.0; app.services.len()], 0);
        let runs = [sim.run(INTERVAL, 1.0, &[]), sim.run(INTERVAL, 1.0, &[])];
        for s in &runs[1].series {
            if s.label("__name__").unwrap() == "container_cpu_usage_seconds_total" {
                let service =
                    app.services.iter().position(|t| *t.name == *s.label("container").unwrap());
                used[service.unwrap()] += (s.samples[1].value - s.samples[0].value) / 15.0;
                series += 1;
            }
        }
        assert_eq!(series, app.services.iter().map(|s| s.replicas).sum::<usize>());
        for (service, (used, nominal)) in
            app.services.iter().zip(used.iter().zip(app.nominal().unwrap()))
        {
            // Housekeeping and polling come on top; fifteen seconds of few requests vary.
            let difference = used - nominal.cpu_cores;
            let allowed = 0.03 * service.replicas as f64 + 0.3 * nominal.cpu_cores;
            assert!(
                difference.abs() < allowed,
                "{} {}: {used} {nominal:?}",
                app.name,
                service.name
            );
        }
    }
}

#[test]
fn a_shortage_of_the_busiest_service_of_every_application_is_felt() {
    for app in paper_apps() {
        let (quiet, service) = (p99(&app, &[]), hottest(&app)[0]);
        for (kind, least) in
            [(FaultKind::Cpu, 1.5), (FaultKind::Memory, 1.2), (FaultKind::LockContention, 1.2)]
        {
            let struck = p99(&app, &[Fault { service, kind, strength: 1.0, replica: None }]);
            assert!(struck > least * quiet, "{} {kind}: {quiet} -> {struck}", app.name);
        }
    }
}

#[test]
fn frontends_and_stores_are_where_they_belong() {
    for app in paper_apps().into_iter().chain([random_graph(60, 1)]) {
        for service in &app.services {
            let is_store = matches!(service.kind, Kind::Cache | Kind::Database);
            assert_eq!(service.instrumented, !is_store, "{} {}", app.name, service.name);
            let calls = service.ops.iter().flat_map(|op| &op.steps).any(|s| !s.calls().is_empty());
            assert!(!(is_store && calls), "{} {}", app.name, service.name);
        }
        for entry in &app.entries {
            assert_eq!(app.services[entry.service].kind, Kind::Frontend);
            assert!(app.services[entry.service].queue_in_span);
        }
    }
}

#[test]
fn generated_applications_of_any_size_have_no_cycle_and_can_be_simulated() {
    for (services, seconds) in [(10, 10), (100, 10), (2000, 3)] {
        let app = random_graph(services, 7);
        assert_eq!(app.services.len(), services);
        // Refuses cycles.
        let nominal = app.nominal().unwrap();
        assert!(nominal.iter().all(|n| n.requests_per_second > 0.0), "every service is used");
        let hops: f64 = nominal.iter().map(|n| n.requests_per_second).sum::<f64>() / app.base_rate;
        assert!((5.0..60.0).contains(&hops), "{services}: {hops} calls per request");
        let mut sim = Simulator::new(&app, SimConfig::default(), 1, 0).unwrap();
        let truth = sim.run(Duration::from_secs(seconds), 1.0, &[]).truth;
        let p99 = truth.quantile_ms(0.99).unwrap();
        assert!(truth.dropped == 0 && (10.0..150.0).contains(&p99), "{services}: {p99}");
    }
}

#[test]
fn generated_applications_differ_by_seed_alone() {
    assert_eq!(random_graph(50, 3), random_graph(50, 3));
    assert_ne!(random_graph(50, 3).services, random_graph(50, 4).services);
    let early: Vec<bool> =
        (0..8).map(|seed| random_graph(20, seed).services[0].queue_in_span).collect();
    assert!(early.contains(&true) && early.contains(&false), "{early:?}");
}

#[test]
fn busy_services_of_generated_applications_are_given_replicas() {
    let app = random_graph(1000, 1);
    assert!(app.services.iter().any(|s| s.replicas > 1));
    assert!(utilisation(&app).iter().all(|busy| *busy < 0.4));
}
