//! Updates of an application: what is noticed, what is retrained, and what stays.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;

use super::town::{Town, chain, feature, mixed, throttling};
use crate::data::{FeatureWindow, Frame, Role, RpcKey, RpcKind, RpcWindow, Scope, Signal};
use crate::graph::Mechanism as _;
use crate::model::dataset::Tensors;
use crate::model::gvae::{Gvae, Latents};
use crate::model::index::Index;
use crate::model::memory::{bytes, newest_that_fit};
use crate::model::part::Part;
use crate::model::reshape::{extract, put_back};
use crate::model::{Changes, Config, Model, Reach, Update, detect, retrain};

pub(super) const UPDATED: usize = 100;
const LIST: [&str; 4] = ["front", "get", "cart", "list"];
const READ: [&str; 4] = ["cart", "list", "db", "read"];
const AUDIT: [&str; 4] = ["cart", "list", "audit", "log"];

fn key([caller, caller_op, callee, op]: [&str; 4]) -> RpcKey {
    RpcKey::new(caller, caller_op, callee, op)
}

/// The chain for a hundred intervals, and a model of that.
pub(super) fn before() -> (Town, Model) {
    before_of(chain(UPDATED + 24, 41, throttling))
}

fn before_of(mut town: Town) -> (Town, Model) {
    let later = (town.frames.split_off(UPDATED), town.met.split_off(UPDATED));
    let model = town.fit(&Config { steps: [80, 30], ..Config::default() }).unwrap();
    town.frames.extend(later.0);
    town.met.extend(later.1);
    (town, model)
}

fn add(window: &mut RpcWindow, ms: f32) {
    for part in [&mut window.server, &mut window.client] {
        part.0 = part.0.map(|v| v + ms);
    }
}

/// From the update on, cart takes longer by itself, and so does whoever waits for it.
pub(super) fn slow_cart(town: &mut Town, ms: f32) {
    for frame in &mut town.frames[UPDATED..] {
        let above = |w: &&mut RpcWindow| ["front", "cart"].contains(&&*w.key.callee);
        frame.rpcs.iter_mut().filter(above).for_each(|w| add(w, ms));
    }
}

/// From the update on, cart also calls audit.
pub(super) fn add_audit(town: &mut Town) {
    slow_cart(town, 6.0);
    for frame in &mut town.frames[UPDATED..] {
        let mut window = frame.rpc(&key(READ)).unwrap().clone();
        window.key = key(AUDIT);
        for part in [&mut window.server, &mut window.client] {
            part.0 = [3.6, 4.2, 4.8, 5.4, 6.0];
        }
        frame.rpcs.push(window);
        frame.rpcs.sort_by(|a, b| a.key.cmp(&b.key));
        let mut service = frame.service("db").unwrap().clone();
        service.service = "audit".into();
        frame.services.insert(0, service);
    }
}

/// From the update on, cart does without the database.
fn remove_db(town: &mut Town) {
    for frame in &mut town.frames[UPDATED..] {
        frame.rpcs.retain(|w| w.key != key(READ));
        frame.services.retain(|s| &*s.service != "db");
    }
    town.met[UPDATED..].fill(true);
}

fn changes(town: &Town, model: &Model, until: usize) -> Changes {
    let frames = town.frames();
    let from = UPDATED - 8;
    detect(model, &frames[from..until], &town.met[from..until])
}

pub(super) fn update(town: &Town, model: &Model, changes: &Changes, until: usize) -> Model {
    let frames = town.frames();
    let update = Update { frames: &frames[..until], met: &town.met[..until], changes };
    let config = Config { steps: [80, 30], ..Config::default() };
    retrain(model, &update, (&config, Reach::Partial), &|_| {}, &AtomicBool::new(false)).unwrap()
}

/// Mean distance of predicted from observed log latency of RPC `which` at its server, over calm frames.
fn error(model: &Model, town: &Town, which: [&str; 4]) -> f64 {
    let i = model.net().rpc(&key(which)).unwrap();
    let calm: Vec<&Frame> =
        (UPDATED..town.frames.len()).filter(|t| town.met[*t]).map(|t| &town.frames[t]).collect();
    let of = |frame: &&Frame| {
        let (seen, _) = model.look_at(frame);
        let predicted = model.evaluator.predict_server(i, &seen.observed, &seen.prior_tiers());
        (0..5)
            .map(|q| f64::from((predicted[q] - seen.observed.latency[[0, i, q]]).abs()))
            .sum::<f64>()
            / 5.0
    };
    calm.iter().map(of).sum::<f64>() / calm.len() as f64
}

/// From the update on, a processor is three times as busy as before, of the services or of their host.
fn busier(scope: Scope) -> Town {
    let mut town = chain(UPDATED + 24, 41, throttling);
    for (n, frame) in town.frames.iter_mut().enumerate() {
        let level = if n < UPDATED { 0.2 } else { 0.6 } + 0.002 * (n * 7 % 11) as f64;
        let busy = FeatureWindow {
            scope,
            signal: Signal::Usage,
            ..feature("processor_busy", Role::Cpu, level)
        };
        for service in &mut frame.services {
            service.features.push(busy.clone());
            service.features.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
    town.met.fill(true);
    town
}

/// Somebody else's work on a host comes and goes, and is no update of those who share it.
#[test]
fn a_busier_host_is_no_change_of_the_application() {
    let (town, model) = before_of(busier(Scope::Service));
    assert_eq!(named(&changes(&town, &model, UPDATED + 12)), ["cart", "db", "front"]);
    let (town, model) = before_of(busier(Scope::Node));
    assert_eq!(named(&changes(&town, &model, UPDATED + 12)), [""; 0]);
}

fn named(changes: &Changes) -> Vec<&str> {
    changes.services.keys().map(|s| &**s).collect()
}

#[test]
fn calm_weather_faults_and_load_are_no_change() {
    let (mut town, model) = before();
    assert_eq!(changes(&town, &model, UPDATED + 20), Changes::default());
    for frame in &mut town.frames[UPDATED..] {
        frame.rpcs.iter_mut().for_each(|w| w.count *= 3);
    }
    assert_eq!(changes(&town, &model, UPDATED + 20), Changes::default());
}

#[test]
fn a_slower_service_is_noticed_itself_and_not_those_that_wait_for_it() {
    let (mut town, model) = before();
    slow_cart(&mut town, 10.0);
    let found = changes(&town, &model, UPDATED + 8);
    assert_eq!(named(&found), ["cart"], "{found:?}");
    assert_eq!(found.reason(), "cart own latency up");
    assert_eq!(found.since, town.frames[UPDATED].interval.start);
    assert_eq!(changes(&town, &model, UPDATED + 1), Changes::default());
}

#[test]
fn a_service_that_violates_its_target_from_now_on_is_a_fault_and_no_new_normal() {
    let (mut town, model) = before();
    slow_cart(&mut town, 10.0);
    town.met[UPDATED..].fill(false);
    assert_eq!(changes(&town, &model, UPDATED + 20), Changes::default());
}

#[test]
fn new_and_removed_calls_are_noticed_within_two_intervals() {
    let (mut town, model) = before();
    add_audit(&mut town);
    assert!(changes(&town, &model, UPDATED + 1).is_empty());
    let found = changes(&town, &model, UPDATED + 2);
    assert_eq!(named(&found), ["audit", "cart"], "{found:?}");
    assert_eq!(found.new_rpcs, [(key(AUDIT), RpcKind::Paired)].into());
    assert_eq!(found.since, town.frames[UPDATED].interval.start);

    let (mut town, model) = before();
    remove_db(&mut town);
    let found = changes(&town, &model, UPDATED + 2);
    assert_eq!(named(&found), ["cart"], "{found:?}");
    assert_eq!(found.gone_rpcs, [key(READ)].into());
    assert_eq!(found.since, town.frames[UPDATED].interval.start);
}

/// Five intervals after the update, its model knows the new normal, and what lies below is what it was.
#[test]
fn only_a_changed_service_and_its_callers_are_retrained() {
    let (mut town, model) = before();
    slow_cart(&mut town, 10.0);
    let found = changes(&town, &model, UPDATED + 8);
    let new = update(&town, &model, &found, UPDATED + 5);
    assert_eq!(new.trained_services, 2);
    let (old_net, net) = (&model.evaluator.network, &new.evaluator.network);
    let read = model.net().rpc(&key(READ)).unwrap();
    let list = model.net().rpc(&key(LIST)).unwrap();
    let db = model.net().service("db").unwrap();
    assert_eq!(net.own_server.row(read), old_net.own_server.row(read));
    assert_ne!(net.own_server.row(list), old_net.own_server.row(list));
    let weights = |n: &crate::model::network::PlainStack, at: usize| n.gather(&[vec![at]]);
    assert!(weights(&net.decoder_server, read) == weights(&old_net.decoder_server, read));
    assert!(weights(&net.encoder_server, db) == weights(&old_net.encoder_server, db));
    assert!(weights(&net.decoder_server, list) != weights(&old_net.decoder_server, list));
    assert_eq!(new.calm[db], model.calm[db]);
    let (was, is) = (error(&model, &town, LIST), error(&new, &town, LIST));
    assert!(was > 0.5 && is < 0.15, "{was} {is}");
}

#[test]
fn a_new_service_gets_networks_and_its_callers_learn_about_it() {
    let (mut town, model) = before();
    add_audit(&mut town);
    let found = changes(&town, &model, UPDATED + 5);
    let new = update(&town, &model, &found, UPDATED + 5);
    assert_eq!(new.net().services.len(), 4);
    assert_eq!(new.trained_services, 3);
    for rpc in [AUDIT, LIST, READ] {
        let is = error(&new, &town, rpc);
        assert!(is < 0.15, "{rpc:?} {is}");
    }
    // It is a model like any other: it can be saved, read and asked.
    let read = Model::load(&new.save().unwrap()).unwrap();
    assert_eq!(read.net(), new.net());
    let situation = new.abduct(&town.frames[UPDATED + 4], &town.frames[0]).situation();
    assert!(situation.slowness.iter().all(|z| z.abs() < 5.0), "{situation:?}");
}

#[test]
fn work_in_flight_has_a_new_normal_where_requests_take_longer() {
    let (mut town, model) = before();
    slow_cart(&mut town, 20.0);
    let found = changes(&town, &model, UPDATED + 8);
    let new = update(&town, &model, &found, UPDATED + 8);
    let calm: Vec<&Frame> =
        (UPDATED..UPDATED + 8).filter(|t| town.met[*t]).map(|t| &town.frames[t]).collect();
    let rise = |model: &Model, service: &str| {
        let j = model.net().service(service).unwrap();
        let all = calm.iter().map(|f| model.features.in_flight.of(f, model.net())[j]);
        crate::stats::median(all).unwrap()
    };
    for service in ["front", "cart"] {
        let (was, is) = (rise(&model, service), rise(&new, service));
        assert!(was > 0.4 && is.abs() < 0.2, "{service}: {was} {is}");
    }
    assert_eq!(rise(&model, "db"), rise(&new, "db"));
}

/// Callers that give up leave what cart goes on with to nobody; a page that opens it to users does so in peace, too.
#[test]
fn requests_from_outside_that_come_with_missed_targets_are_no_change() {
    let (mut town, model) = before();
    for frame in &mut town.frames[UPDATED..] {
        let mut window = frame.rpc(&key(LIST)).unwrap().clone();
        window.key = RpcKey::new("user", "", "cart", "list");
        window.kind = RpcKind::ServerOnly;
        frame.rpcs.push(window);
        frame.rpcs.sort_by(|a, b| a.key.cmp(&b.key));
    }
    let until = UPDATED + 4;
    town.met[UPDATED..].fill(false);
    assert!(changes(&town, &model, until).new_rpcs.is_empty());
    town.met[UPDATED..].fill(true);
    assert_eq!(named(&changes(&town, &model, until)), ["cart"]);
}

#[test]
fn a_removed_service_is_gone_from_the_model() {
    let (mut town, model) = before();
    remove_db(&mut town);
    let found = changes(&town, &model, UPDATED + 5);
    let new = update(&town, &model, &found, UPDATED + 5);
    assert_eq!(new.net().service("db"), None);
    assert_eq!(new.net().rpcs.len(), 2);
    assert_eq!(Model::load(&new.save().unwrap()).unwrap().net(), new.net());
}

/// A part sees what the whole sees: same predictions at its nodes, from fewer columns.
#[test]
fn a_part_computes_what_the_whole_computes() {
    let town = mixed(40, 42);
    let model = town.fit(&super::town::brief(7)).unwrap();
    let (layout, network) = (&model.evaluator.layout, &model.evaluator.network);
    let device = Device::flex();
    let frames: Vec<_> = town
        .frames()
        .into_iter()
        .map(|f| (model.features.inputs(f, &town.net), layout.observe(f, &town.net)))
        .collect();
    let trained: Vec<bool> =
        town.net.services.iter().map(|s| ["cart", "mongo"].contains(&&**s)).collect();
    let nets: Vec<bool> = town.net.rpcs.iter().map(|r| &*r.key.callee == "cart").collect();
    let part = Part::of(layout, &trained, &nets);
    assert!(part.rpcs.len() < layout.callee.len() && !part.clients.is_empty());
    let decode = |part: &Part| {
        let gvae = Gvae::of(&extract(network, part), &device);
        let data = Tensors::of(&frames, layout, part, &device);
        let index = Index::new(layout, part, &device);
        let prior = gvae.prior(&index, &data);
        let rest = crate::model::loss::residual(&gvae, &index, &data);
        let posterior = gvae.posterior(&index, &data, &prior, &rest);
        let z = Latents { server: posterior.server.0, net: posterior.net.0 };
        gvae.decode(&index, &data, &z)
    };
    let (all, some) = (decode(&Part::whole(layout)), decode(&part));
    let close = |a: burn::tensor::Tensor<3>, b: burn::tensor::Tensor<3>, at: &[usize]| {
        for (n, i) in at.iter().enumerate() {
            let (a, b) = (a.clone().narrow(0, *i, 1), b.clone().narrow(0, n, 1));
            let distance: f32 = (a - b).abs().max().into_scalar();
            assert!(distance < 1e-4, "{distance}");
        }
    };
    close(all.server, some.server, &part.rpcs);
    close(all.client, some.client, &part.clients);
    close(all.delays, some.delays, &part.paired);
}

#[test]
fn what_is_taken_out_and_put_back_unchanged_changes_nothing() {
    let town = mixed(40, 43);
    let model = town.fit(&super::town::brief(7)).unwrap();
    let layout = &model.evaluator.layout;
    let trained: Vec<bool> = (0..layout.services).map(|j| j % 2 == 0).collect();
    let part = Part::of(layout, &trained, &vec![true; layout.callee.len()]);
    let mut network = model.evaluator.network.clone();
    put_back(&mut network, &extract(&model.evaluator.network, &part), &part);
    assert!(network == model.evaluator.network);
}

#[test]
fn what_a_training_takes_is_not_underestimated_and_bounds_the_intervals() {
    let town = mixed(40, 44);
    let model = town.fit(&super::town::brief(7)).unwrap();
    let layout = &model.evaluator.layout;
    let (frames, device) = (town.frames(), Device::flex());
    let d = Tensors::new(&frames, &town.net, layout, &model.features, &device);
    let all = [
        &d.server,
        &d.net,
        &d.load,
        &d.latency_server,
        &d.latency_client,
        &d.delays,
        &d.parts,
        &d.children,
        &d.slowest,
        &d.occupancy,
        &d.seen,
        &d.seen_client,
        &d.seen_paired,
    ];
    let numbers: usize = all.iter().map(|t| t.dims().iter().product::<usize>()).sum();
    // The first frame shows everything there is.
    let first = bytes(&town.frames[0]);
    assert!(4 * numbers / frames.len() < first, "{numbers} {first}");
    let shared: Vec<Arc<Frame>> = town.frames.iter().cloned().map(Arc::new).collect();
    let kept = newest_that_fit(shared.clone(), 10 * first);
    assert!((10..20).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), shared.last());
    assert_eq!(newest_that_fit(shared, 0).len(), 1);
}
