//! Questions and answers: counterfactuals of every service, and a whole diagnosis.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use sage::data::{Alert, AlertKey, AlertStatus, Frame};
use sage::diagnose::{Config, Question, diagnose, normal_frame};
use sage::graph::{Hypothesis, Mechanism, Query, Restore, What};
use sage::lab::sim::{random_graph, social_network};
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

/// From an alert to its verdict: targets, range, normal values, baseline, counterfactuals, resource.
#[divan::bench]
fn whole_diagnosis_social_network(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    let (model, (frame, _)) = (watched.train(STEPS), case(&watched));
    let alert = Alert {
        key: AlertKey { fingerprint: "bench".into(), starts_at: frame.interval.end },
        status: AlertStatus::Firing,
        labels: BTreeMap::from([("service".into(), watched.target.service.clone())]),
        annotations: BTreeMap::new(),
        ends_at: None,
    };
    let config = Config::default();
    bencher.bench(|| {
        diagnose(&Question {
            last_ended: None,
            alert: &alert,
            history: &watched.frames,
            watermark: None,
            targets: std::slice::from_ref(&watched.target),
            mechanism: Some(&model),
            config: &config,
        })
    });
}
