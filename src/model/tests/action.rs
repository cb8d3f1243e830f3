//! Action and prediction, step by step: what is set, and what is then computed from what.

use ndarray::s;

use super::networks::Shaken;
use super::town::{brief, mixed, worlds};
use crate::data::{Percentiles, Resource, RpcKey};
use crate::graph::{Hypothesis, Latencies, Query, Restore, What};
use crate::model::Model;
use crate::model::basis::COMPONENTS;
use crate::model::infer::{Levels, Tier};
use crate::model::layout::{Kind, log_ms};

/// Random networks, the frame that is asked about, and the one that says what is normal.
fn setup(seed: u64) -> (Shaken, Model) {
    let s = Shaken::new(mixed(24, seed), seed);
    let mut model = s.town.fit(&brief(7)).unwrap();
    model.evaluator = s.evaluator();
    (s, model)
}

const SEEN: usize = 0;
const NORMAL: usize = 1;

fn ask(s: &Shaken, model: &Model, service: usize, what: What, hypothesis: Hypothesis) -> Latencies {
    let query = Query {
        restore: vec![Restore { service, what, nets: Vec::new() }],
        hypothesis,
        draw: None,
    };
    let frames = &s.town.frames;
    worlds(model, &frames[SEEN], &frames[NORMAL], &[query]).remove(0)
}

/// The tier of a service with normal metrics and the latents they lead one to expect.
fn normal_tier(s: &Shaken, model: &Model, j: usize, load: f32) -> Tier {
    let inputs = model.features.inputs(&s.town.frames[NORMAL], &model.net);
    let mut tier = model.evaluator.tiers(&inputs).swap_remove(j);
    tier.load = load;
    tier.latent = model.evaluator.prior_server(j, &tier).mean;
    tier
}

/// No slower than what was seen, and ascending.
fn bounded(predicted: Levels, seen: Percentiles) -> Levels {
    let mut low = f32::NEG_INFINITY;
    std::array::from_fn(|q| {
        low = low.max(predicted[q].min(log_ms(seen.0[q])));
        low
    })
}

/// What was missed `before` is kept, the less the further the latency moves.
fn kept(after: &Levels, before: &Levels, seen: Percentiles) -> Levels {
    const FADE: f32 = 0.3;
    std::array::from_fn(|q| {
        let fade = (-(after[q] - before[q]).abs() / FADE).exp();
        after[q] + (log_ms(seen.0[q]) - before[q]) * fade
    })
}

#[track_caller]
fn assert_is(world: Percentiles, expected: Levels) {
    for (ms, log) in world.0.iter().zip(expected) {
        let got = log_ms(*ms);
        assert!((got - log).abs() < 1e-3, "{world:?} is not {expected:?}");
    }
}

fn rpc(model: &Model, key: &RpcKey) -> (usize, usize) {
    let i = model.net.rpc(key).unwrap();
    (i, model.evaluator.layout.callee[i])
}

/// A leaf: nothing but its own causes changes.
#[test]
fn a_restored_service_does_what_its_decoder_says_of_normal_causes() {
    for seed in [71, 72, 73, 74] {
        let (s, model) = setup(seed);
        let key = RpcKey::new("mail", "send", "smtp", "relay");
        let (i, j) = rpc(&model, &key);
        let abducted = s.abduct(&model.evaluator, SEEN);
        let mut tiers = abducted.tiers.clone();
        tiers[j] = normal_tier(&s, &model, j, tiers[j].load);
        let expected = model.evaluator.predict_server(i, &abducted.observed, &tiers);
        let seen = s.town.frames[SEEN].rpc(&key).unwrap().server;
        for what in [What::All, What::Server] {
            let world = ask(&s, &model, j, what, Hypothesis::Keep);
            assert_is(world.server[i], bounded(expected, seen));
        }
    }
}

/// Only part of the metrics is set; the latents keep what is unexplained and follow their prior.
#[test]
fn restoring_one_resource_moves_the_latents_as_their_prior_does() {
    for seed in [71, 72, 73, 74] {
        let (s, model) = setup(seed);
        let key = RpcKey::new("cart", "list", "mongo", "find");
        let (i, j) = rpc(&model, &key);
        let abducted = s.abduct(&model.evaluator, SEEN);
        let normal = normal_tier(&s, &model, j, abducted.tiers[j].load);
        let seen = s.town.frames[SEEN].rpc(&key).unwrap().server;
        for resource in [Resource::Cpu, Resource::Memory, Resource::Disk] {
            let mut tiers = abducted.tiers.clone();
            let from = resource.index() * COMPONENTS;
            let place = from..from + COMPONENTS;
            tiers[j].server[place.clone()].copy_from_slice(&normal.server[place]);
            let prior = model.evaluator.prior_server(j, &tiers[j]).mean;
            let before = abducted.server[j].prior.mean;
            for n in 0..prior.len() {
                tiers[j].latent[n] += prior[n] - before[n];
            }
            let expected = model.evaluator.predict_server(i, &abducted.observed, &tiers);
            let world = ask(&s, &model, j, What::Resource(resource), Hypothesis::Keep);
            assert_is(world.server[i], bounded(expected, seen));
        }
    }
}

/// One tier up: mail waits for smtp. What the prediction of the observed world misses is kept, the
/// less the further the latency moves; under back-pressure that prediction is made from the prior.
#[test]
fn a_caller_keeps_what_its_prediction_misses_and_under_pressure_its_latents_go_back() {
    for seed in [71, 72, 73, 74] {
        let (s, model) = setup(seed);
        let (below, smtp) = rpc(&model, &RpcKey::new("mail", "send", "smtp", "relay"));
        let key = RpcKey::new("cart", "buy", "mail", "send");
        let (i, _) = rpc(&model, &key);
        let abducted = s.abduct(&model.evaluator, SEEN);
        let seen = s.town.frames[SEEN].rpc(&key).unwrap().server;
        for hypothesis in [Hypothesis::Keep, Hypothesis::BackPressure] {
            let tiers = match hypothesis {
                Hypothesis::Keep => abducted.tiers.clone(),
                Hypothesis::BackPressure => abducted.prior_tiers(),
            };
            let world = ask(&s, &model, smtp, What::All, hypothesis);
            let mut observed = abducted.observed.clone();
            let before = model.evaluator.predict_server(i, &observed, &tiers);
            let faster = world.client[below].0.map(log_ms);
            let mut row = observed.latency.slice_mut(s![Kind::Client as usize, below, ..]);
            row.assign(&ndarray::ArrayView1::from(&faster));
            let after = model.evaluator.predict_server(i, &observed, &tiers);
            assert_is(world.server[i], bounded(kept(&after, &before, seen), seen));
        }
    }
}

/// The network of an RPC: its decoder says what normal metrics of the callee's network and expected
/// latents make of the delays. Where only the metrics are restored, the latents keep what is
/// unexplained, as those of a service do.
#[test]
fn a_restored_network_has_the_delays_its_decoder_says_of_normal_causes() {
    for seed in [71, 72, 73, 74] {
        let (s, model) = setup(seed);
        let key = RpcKey::new("mail", "send", "smtp", "relay");
        let (i, j) = rpc(&model, &key);
        let abducted = s.abduct(&model.evaluator, SEEN);
        let window = s.town.frames[SEEN].rpc(&key).unwrap();
        let mut tiers = abducted.tiers.clone();
        tiers[j].net = normal_tier(&s, &model, j, tiers[j].load).net;
        let x = model.evaluator.net_inputs(i, |j| tiers[j]);
        let prior = model.evaluator.prior_net(i, &x).mean;
        let latent = abducted.net[i].as_ref().unwrap();
        let x_seen = model.evaluator.net_inputs(i, |j| abducted.tiers[j]);
        let ceiling = abducted.observed.ceiling;
        let before = model.evaluator.decode_net(i, &x_seen, &latent.posterior.mean, ceiling);
        for nets in [vec![i], vec![]] {
            let delays = if nets.is_empty() {
                let (from, to) = (latent.posterior.mean, latent.prior.mean);
                let z = std::array::from_fn(|n| from[n] + prior[n] - to[n]);
                let after = model.evaluator.decode_net(i, &x, &z, ceiling);
                [
                    kept(&after[0], &before[0], window.request),
                    kept(&after[1], &before[1], window.response),
                ]
            } else {
                model.evaluator.decode_net(i, &x, &prior, ceiling)
            };
            let [request, response] = delays;
            let parts = [
                bounded(request, window.request),
                bounded(response, window.response),
                window.server.0.map(log_ms),
            ];
            let e = &model.evaluator;
            let mail = &abducted.tiers[e.layout.caller[i].unwrap()];
            let after = e.decode_client(i, &[e.client_inputs(i, mail, &parts)], ceiling)[0];
            let start = e.predict_client(i, &abducted.observed, &abducted.tiers).unwrap();
            let expected = bounded(kept(&after, &start, window.client), window.client);
            let restore = vec![Restore { service: j, what: What::Network, nets }];
            let query = Query { restore, hypothesis: Hypothesis::Keep, draw: None };
            let frames = &s.town.frames;
            let world = worlds(&model, &frames[SEEN], &frames[NORMAL], &[query]).remove(0);
            assert_is(world.client[i], expected);
            assert_is(world.server[i], window.server.0.map(log_ms));
        }
    }
}

/// front's operations share its workers: a faster callee of one of them frees them for the other.
#[test]
fn restoring_the_callee_of_one_operation_reaches_the_others_through_the_pool() {
    let (s, model) = setup(71);
    let (show, pay) =
        (RpcKey::new("front", "page", "ads", "show"), RpcKey::new("user", "", "front", "pay"));
    let mut frame = s.town.frames[SEEN].clone();
    for slow in frame.rpcs.iter_mut().filter(|r| r.key == show || r.key == pay) {
        for latency in [&mut slow.server, &mut slow.client] {
            latency.0 = latency.0.map(|ms| ms * 50.0);
        }
    }
    let restore = Restore { service: rpc(&model, &show).1, what: What::All, nets: Vec::new() };
    let query = Query { restore: vec![restore], hypothesis: Hypothesis::Keep, draw: None };
    let world = worlds(&model, &frame, &s.town.frames[NORMAL], &[query]).remove(0);
    let seen = frame.rpc(&pay).unwrap().server;
    let world = world.server[rpc(&model, &pay).0];
    assert!(world.0.iter().zip(seen.0).any(|(w, s)| *w < 0.999 * s), "{world:?} is {seen:?}");
}
