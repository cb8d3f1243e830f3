//! Questions and answers: counterfactuals of every service, and a whole diagnosis.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use sage::data::{Alert, AlertKey, AlertStatus, Frame};
use sage::diagnose::{Config, Question, Verdict, diagnose, normal_frame};
use sage::graph::{Hypothesis, Mechanism, Query, Restore, What};
use sage::lab::sim::{AppSpec, Fault, FaultKind, Step, gateway, random_graph, social_network};
use sage::model::Model;
use support::Watched;

const FRAMES: usize = 120;
/// How long is trained does not change how fast answers come.
const STEPS: [usize; 2] = [60, 20];

fn main() {
    divan::main();
}

/// Everybody alone, under both hypotheses: the first round of every diagnosis.
fn singles(model: &Model) -> Vec<Query> {
    let net = model.net();
    let alone = |hypothesis| {
        (0..net.services.len()).map(move |service| {
            let nets = net.served(service).collect();
            Query {
                restore: vec![Restore { service, what: What::All, nets }],
                hypothesis,
                draw: None,
            }
        })
    };
    alone(Hypothesis::Keep).chain(alone(Hypothesis::BackPressure)).collect()
}

/// The newest violating frame, and what is normal.
fn case(watched: &Watched) -> (Arc<Frame>, Frame) {
    let is_violated = |f: &&Arc<Frame>| watched.target.is_violated(f) == Some(true);
    let violating = watched.frames.iter().rfind(is_violated).expect("there was trouble");
    let calm: Vec<&Frame> =
        watched.frames.iter().filter(|f| !is_violated(f)).map(|f| &**f).collect();
    (Arc::clone(violating), normal_frame(&calm))
}

/// Abduction, and all counterfactuals of what the target is about.
fn bench_singles(
    bencher: Bencher,
    watched: &Watched,
    model: &Model,
    frame: &Frame,
    normal: &Frame,
) {
    let net = model.net();
    let entry = net.service(&watched.target.service).expect("the target is of a known service");
    let (queries, rpcs) = (singles(model), net.entries(entry));
    bencher
        .counter(ItemsCount::new(queries.len()))
        .bench(|| model.abduct(frame, normal).answer(&queries, &rpcs));
}

#[divan::bench]
fn counterfactuals_social_network(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    let (model, (frame, normal)) = (watched.train(STEPS), case(&watched));
    bench_singles(bencher, &watched, &model, &frame, &normal);
}

#[divan::bench]
fn situation_social_network(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    let (model, (frame, normal)) = (watched.train(STEPS), case(&watched));
    bencher.bench(|| model.abduct(&frame, &normal).situation());
}

#[divan::bench(sample_count = 10)]
fn counterfactuals_1000_services(bencher: Bencher) {
    let watched = Watched::new(&random_graph(1000, 1), 20);
    let model = watched.train([1, 1]);
    let (frame, normal) = (&watched.frames[20], normal_frame(&[&watched.frames[5]]));
    bench_singles(bencher, &watched, &model, frame, &normal);
}

/// The same, and the latency of every RPC in every world is wanted, not of those of one target only.
#[divan::bench(sample_count = 10)]
fn every_rpc_in_every_world_1000_services(bencher: Bencher) {
    let watched = Watched::new(&random_graph(1000, 1), 20);
    let model = watched.train([1, 1]);
    let (frame, normal) = (&watched.frames[20], normal_frame(&[&watched.frames[5]]));
    let queries = singles(&model);
    let rpcs: Vec<usize> = (0..model.net().rpcs.len()).collect();
    bencher
        .counter(ItemsCount::new(queries.len()))
        .bench(|| model.abduct(frame, &normal).answer(&queries, &rpcs));
}

/// A whole diagnosis of the newest violating frames: targets, range, normal values, baseline, evidence,
/// counterfactuals, resources, probabilities, path.
fn whole(watched: &Watched, model: &Model, alert: &Alert, config: &Config) -> Verdict {
    diagnose(&Question {
        last_ended: None,
        alert,
        history: &watched.frames,
        watermark: None,
        targets: std::slice::from_ref(&watched.target),
        mechanism: Some(model),
        config,
    })
}

fn alert(watched: &Watched, frame: &Frame) -> Alert {
    Alert {
        key: AlertKey { fingerprint: "bench".into(), starts_at: frame.interval.end },
        status: AlertStatus::Firing,
        labels: BTreeMap::from([("service".into(), watched.target.service.clone())]),
        annotations: BTreeMap::new(),
        ends_at: None,
    }
}

#[divan::bench]
fn whole_diagnosis_social_network(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    let (model, (frame, _)) = (watched.train(STEPS), case(&watched));
    let (alert, config) = (alert(&watched, &frame), Config::default());
    bencher.bench(|| whole(&watched, &model, &alert, &config));
}

/// Calm intervals before the alert, and violating ones: as many of both as a diagnosis looks at.
const PAST: usize = 240;
const STRUCK: usize = 8;
/// Services of the generated applications.
const SIZES: [usize; 3] = [25, 250, 1000];

/// Every request passes one gateway, so whatever happens to any service matters to the target. Of `struck`
/// services, callers before callees along the first pages, each is short of processor time.
fn scale(bencher: Bencher, services: usize, struck: usize) {
    let app = gateway(services, 1);
    let fault = |service| Fault { service, kind: FaultKind::Cpu, strength: 3.0, replica: None };
    let faults: Vec<Fault> = called(&app).into_iter().take(struck).map(fault).collect();
    let mut watched = Watched::struck(&app, &faults, STRUCK);
    let model = watched.train([1, 1]);
    // So that every struck interval is one of the episode.
    let observed =
        watched.frames.iter().rev().take(STRUCK).filter_map(|f| watched.target.observed_ms(f));
    watched.target.target_ms =
        watched.target.target_ms.min(0.99 * observed.fold(f64::MAX, f64::min));
    let watched = watched.with_past(PAST);
    let newest = watched.frames.last().expect("there are frames").clone();
    let (alert, config) = (alert(&watched, &newest), Config::default());
    let verdict = whole(&watched, &model, &alert, &config);
    let abnormal = verdict.services.iter().filter(|s| s.probability != 0.0).count();
    bencher.counter(ItemsCount::new(abnormal)).bench(|| whole(&watched, &model, &alert, &config));
}

/// Services in the order in which the requests of one page after another reach them; the gateway is not among
/// them.
fn called(app: &AppSpec) -> Vec<usize> {
    let gateway = app.entries[0].service;
    let mut waiting: Vec<(usize, usize)> =
        app.entries.iter().map(|e| (e.service, e.op)).rev().collect();
    let mut order = Vec::new();
    while let Some((service, op)) = waiting.pop() {
        if service != gateway && !order.contains(&service) {
            order.push(service);
        }
        for step in &app.services[service].ops[op].steps {
            let calls = match step {
                Step::Call(call) | Step::Publish(call) => std::slice::from_ref(call),
                Step::Parallel(calls) => calls,
                Step::Cpu { .. } | Step::Disk { .. } => &[],
            };
            waiting.extend(calls.iter().map(|c| (c.service, c.op)));
        }
    }
    order
}

/// Items are services that are abnormal.
#[divan::bench(args = SIZES, sample_count = 10)]
fn whole_diagnosis_one_abnormal(bencher: Bencher, services: usize) {
    scale(bencher, services, 1);
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn whole_diagnosis_ten_abnormal(bencher: Bencher, services: usize) {
    scale(bencher, services, 10);
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn whole_diagnosis_hundred_abnormal(bencher: Bencher, services: usize) {
    scale(bencher, services, 100);
}
