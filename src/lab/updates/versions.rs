//! The Social Network and its six updates, A to F of the paper's section 6.4.
//!
//! Services are only ever appended, so that replicas stay on their hosts; one that is removed stays in the
//! list, gets no requests, and nobody sees its metrics.

use std::collections::BTreeSet;

use crate::lab::sim::{AppSpec, CallSpec, OpSpec, ServiceSpec, Step, social_network};

/// The application between two updates.
#[derive(Clone, Debug)]
pub struct Version {
    /// Letter of the update that led to it.
    pub name: &'static str,
    /// What the update did.
    pub what: &'static str,
    /// The application.
    pub spec: AppSpec,
    /// Services that are in the list only to keep the others in their places.
    pub removed: Vec<String>,
}

/// What an update is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Touched {
    /// Services that are new or behave differently.
    pub changed: BTreeSet<usize>,
    /// Those they call and those that call them.
    pub near: BTreeSet<usize>,
}

impl Version {
    /// What is different from the version `before`.
    pub(super) fn touched(&self, before: &Self) -> Touched {
        let is_used = |version: &Self, j: usize| {
            !version.removed.iter().any(|r| *r == version.spec.services[j].name)
        };
        let is_changed = |j: &usize| {
            is_used(self, *j)
                && (!is_used(before, *j) || self.spec.services[*j] != before.spec.services[*j])
        };
        let services = self.spec.services.iter();
        let changed: BTreeSet<usize> = (0..services.len()).filter(is_changed).collect();
        let calls = services.enumerate().flat_map(|(j, s)| {
            let steps = s.ops.iter().flat_map(|op| &op.steps);
            steps.flat_map(Step::calls).map(move |call| (j, call.service))
        });
        let ends: Vec<(usize, usize)> =
            calls.filter(|(a, b)| is_used(self, *a) && is_used(self, *b)).collect();
        let near = ends.iter().flat_map(|&(a, b)| {
            let other = |one: usize, other: usize| changed.contains(&one).then_some(other);
            [other(a, b), other(b, a)].into_iter().flatten()
        });
        let near = near.filter(|j| !changed.contains(j)).collect();
        Touched { changed, near }
    }
}

const CPU_CV: f64 = 0.6;
const HASHTAG: &str = "hashtag-service";
const PREPROCESSING: &str = "url-preprocessing-service";
/// Processor time of the two services that are added, microseconds.
const HASHTAG_US: f64 = 2500.0;
const PREPROCESSING_US: f64 = 2000.0;

/// The application as it was, then after each update.
pub fn versions() -> Vec<Version> {
    let base = with_spares(social_network());
    let a = with_hashtag(&base, HASHTAG_US);
    let b = with_hashtag(&base, 5.0 * HASHTAG_US);
    let d = with_preprocessing(&base, PREPROCESSING_US);
    let e = without_entry(
        &with_preprocessing(&with_hashtag(&base, HASHTAG_US), 4.0 * PREPROCESSING_US),
        "user-timeline-service",
    );
    let f = without_entry(
        &with_preprocessing(&with_hashtag(&base, HASHTAG_US), PREPROCESSING_US),
        "home-timeline-service",
    );
    let f = with_heavier_compose(f);
    let version = |name, what, spec: AppSpec| Version { name, what, removed: unused(&spec), spec };
    vec![
        version("-", "Social Network", base.clone()),
        version("A", "hashtag-service added below compose-post", a),
        version("B", "hashtag-service needs 5 times the processor time", b),
        version("C", "hashtag-service removed", base),
        version("D", "url-preprocessing between url-shorten and its database", d),
        version("E", "hashtag back, url-preprocessing 4 times slower, user-timeline removed", e),
        version("F", "E undone, home-timeline and its redis removed, compose-post heavier", f),
    ]
}

/// The two services that are added later, without anybody calling them.
fn with_spares(mut spec: AppSpec) -> AppSpec {
    let like = spec.services[at(&spec, "unique-id-service")].clone();
    let insert = operation(&spec, "url-shorten-mongodb", "insert");
    let service = |name: &str, op: &str, steps: Vec<Step>| {
        let ops = vec![OpSpec { name: op.into(), steps }];
        ServiceSpec { name: name.into(), ops, ..like.clone() }
    };
    spec.services.push(service(HASHTAG, "ComposeHashtags", vec![cpu(HASHTAG_US)]));
    let steps = vec![cpu(PREPROCESSING_US), Step::Call(insert), cpu(0.4 * PREPROCESSING_US)];
    spec.services.push(service(PREPROCESSING, "PreprocessUrls", steps));
    spec
}

fn with_hashtag(spec: &AppSpec, mean_us: f64) -> AppSpec {
    let mut spec = spec.clone();
    let hashtag = operation(&spec, HASHTAG, "ComposeHashtags");
    let service = at(&spec, HASHTAG);
    spec.services[service].ops[0].steps = vec![cpu(mean_us)];
    let compose = at(&spec, "compose-post-service");
    let first = spec.services[compose].ops[0].steps.iter_mut().find_map(|step| match step {
        Step::Parallel(calls) => Some(calls),
        _ => None,
    });
    first.expect("compose-post calls several services at once").push(hashtag);
    spec
}

fn with_preprocessing(spec: &AppSpec, mean_us: f64) -> AppSpec {
    let mut spec = spec.clone();
    let preprocess = operation(&spec, PREPROCESSING, "PreprocessUrls");
    let insert = operation(&spec, "url-shorten-mongodb", "insert");
    let service = at(&spec, PREPROCESSING);
    spec.services[service].ops[0].steps =
        vec![cpu(mean_us), Step::Call(insert), cpu(0.4 * mean_us)];
    let shorten = at(&spec, "url-shorten-service");
    for step in &mut spec.services[shorten].ops[0].steps {
        if let Step::Call(call) = step
            && call.service == insert.service
        {
            *call = CallSpec { probability: call.probability, ..preprocess };
        }
    }
    spec
}

/// Without a timeline: nobody calls it, and the users who read it do not come.
fn without_entry(spec: &AppSpec, name: &str) -> AppSpec {
    let mut spec = spec.clone();
    let gone = at(&spec, name);
    let calls_gone: Vec<Vec<bool>> = spec
        .services
        .iter()
        .map(|s| {
            let waits = |op: &OpSpec| {
                let is_gone = |step: &Step| matches!(step, Step::Call(c) if c.service == gone);
                op.steps.iter().any(is_gone)
            };
            s.ops.iter().map(waits).collect()
        })
        .collect();
    let total: f64 = spec.entries.iter().map(|e| e.weight).sum();
    spec.entries.retain(|e| !calls_gone[e.service][e.op]);
    spec.base_rate *= spec.entries.iter().map(|e| e.weight).sum::<f64>() / total;
    for op in spec.services.iter_mut().flat_map(|s| &mut s.ops) {
        for step in &mut op.steps {
            if let Step::Parallel(calls) = step {
                calls.retain(|c| c.service != gone);
            }
        }
        op.steps.retain(|step| match step {
            Step::Call(call) | Step::Publish(call) => call.service != gone,
            Step::Parallel(calls) => !calls.is_empty(),
            Step::Cpu { .. } | Step::Disk { .. } => true,
        });
    }
    spec
}

/// compose-post needs twice the processor time and half as much memory again.
fn with_heavier_compose(mut spec: AppSpec) -> AppSpec {
    let compose = at(&spec, "compose-post-service");
    let service = &mut spec.services[compose];
    service.memory_bytes = service.memory_bytes * 3 / 2;
    for step in service.ops.iter_mut().flat_map(|op| &mut op.steps) {
        if let Step::Cpu { mean_us, .. } = step {
            *mean_us *= 2.0;
        }
    }
    spec
}

/// Services no request reaches.
fn unused(spec: &AppSpec) -> Vec<String> {
    let mut reached: Vec<(usize, usize)> = spec.entries.iter().map(|e| (e.service, e.op)).collect();
    let mut next = 0;
    while let Some(&(service, op)) = reached.get(next) {
        for call in spec.services[service].ops[op].steps.iter().flat_map(Step::calls) {
            if !reached.contains(&(call.service, call.op)) {
                reached.push((call.service, call.op));
            }
        }
        next += 1;
    }
    let is_unused = |j: &usize| reached.iter().all(|(service, _)| service != j);
    (0..spec.services.len()).filter(is_unused).map(|j| spec.services[j].name.clone()).collect()
}

fn cpu(mean_us: f64) -> Step {
    Step::Cpu { mean_us, cv: CPU_CV }
}

fn at(spec: &AppSpec, name: &str) -> usize {
    spec.service(name).expect("the Social Network has this service")
}

/// One certain call of an operation.
fn operation(spec: &AppSpec, service: &str, op: &str) -> CallSpec {
    let service = at(spec, service);
    let op = spec.services[service].ops.iter().position(|o| o.name == op);
    let op = op.expect("the service has this operation");
    CallSpec { service, op, probability: 1.0, times: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_touches_what_it_changed_and_the_neighbours_of_that() {
        let versions = versions();
        let names = |v: usize| {
            let Touched { changed, near } = versions[v].touched(&versions[v - 1]);
            let name = |j: &usize| versions[v].spec.services[*j].name.as_str();
            (
                changed.iter().map(name).collect::<Vec<_>>(),
                near.iter().map(name).collect::<Vec<_>>(),
            )
        };
        assert_eq!(names(2), (vec![HASHTAG], vec!["compose-post-service"]));
        assert_eq!(names(3).0, ["compose-post-service"]);
        let (changed, near) = names(4);
        assert_eq!(changed, ["url-shorten-service", PREPROCESSING]);
        assert!(near.contains(&"url-shorten-mongodb") && !near.contains(&"post-storage-mongodb"));
        assert!(!names(5).0.contains(&"user-timeline-service"));
        assert!(names(6).0.contains(&"user-timeline-service"));
    }

    #[test]
    fn every_version_runs_and_has_the_services_its_update_says() {
        let versions = versions();
        let names: String = versions.iter().map(|v| v.name).collect();
        assert_eq!(names, "-ABCDEF");
        let has = |v: usize, name: &str| !versions[v].removed.iter().any(|r| r == name);
        let hashtag: Vec<bool> = (0..7).map(|v| has(v, HASHTAG)).collect();
        assert_eq!(hashtag, [false, true, true, false, false, true, true]);
        let preprocessing: Vec<bool> = (0..7).map(|v| has(v, PREPROCESSING)).collect();
        assert_eq!(preprocessing, [false, false, false, false, true, true, true]);
        assert!(!has(5, "user-timeline-service") && has(6, "user-timeline-service"));
        assert!(!has(6, "home-timeline-redis") && has(5, "home-timeline-redis"));
        for version in &versions {
            let used = version.spec.nominal().unwrap();
            assert!(used.iter().all(|u| u.requests_per_second.is_finite()), "{}", version.name);
            assert_eq!(version.spec.services.len(), versions[0].spec.services.len());
        }
    }
}
