//! Training: what decides its result, and how it ends.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::town::{TROUBLE_MS, brief, chain, mixed, throttling, worlds};
use crate::data::{Resource, RpcKey};
use crate::graph::{Hypothesis, Mechanism as _, Query, Restore, What};
use crate::model::{Config, Error};

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let town = mixed(40, 31);
    let weights = |seed| town.fit(&brief(seed)).unwrap().save().unwrap().weights;
    let first = weights(7);
    assert!(first == weights(7), "the same lesson, the same seed, other weights");
    assert!(first != weights(8), "the seed changes nothing");
}

#[test]
fn a_model_says_what_it_was_trained_on() {
    let town = mixed(40, 32);
    let model = town.fit(&brief(7)).unwrap();
    assert_eq!(model.intervals, 40);
    assert_eq!(model.trained_at, town.frames[39].interval.end);
    assert_eq!(model.quality().by_rpc.len(), town.net.rpcs.len());
    let other = mixed(39, 32).fit(&brief(7)).unwrap();
    assert_ne!(model.id, other.id);
}

#[test]
fn a_cancelled_training_gives_no_model() {
    let town = mixed(40, 33);
    let before = town.fit_until(&brief(7), &|_| {}, &AtomicBool::new(true));
    assert!(matches!(before, Err(Error::Cancelled)), "{before:?}");
    // In each of the two stages.
    for steps in [3, 8] {
        let (cancel, done) = (AtomicBool::new(false), RefCell::new(0));
        let progress = |_: f32| {
            *done.borrow_mut() += 1;
            cancel.store(*done.borrow() >= steps, Ordering::Relaxed);
        };
        let during = town.fit_until(&brief(7), &progress, &cancel);
        assert!(matches!(during, Err(Error::Cancelled)), "{during:?}");
        assert_eq!(done.into_inner(), steps, "training went on");
    }
}

#[test]
fn progress_rises_to_one() {
    let heard = RefCell::new(vec![0.0]);
    let town = mixed(40, 34);
    town.fit_until(&brief(7), &|p| heard.borrow_mut().push(p), &AtomicBool::new(false)).unwrap();
    let heard = heard.into_inner();
    assert!(heard.windows(2).all(|w| w[0] < w[1]), "{heard:?}");
    assert!((heard[heard.len() - 1] - 1.0).abs() < 1e-6, "{heard:?}");
}

#[test]
fn without_frames_or_without_rpcs_there_is_nothing_to_learn() {
    for count in [0, 1] {
        let none = mixed(count, 35).fit(&brief(7));
        assert!(matches!(none, Err(Error::TooFew { .. })), "{none:?}");
    }
    let mut silent = mixed(40, 35);
    silent.net.rpcs.clear();
    silent.net.order.clear();
    let none = silent.fit(&brief(7)).unwrap_err();
    assert_eq!(none.to_string(), "40 intervals with 0 RPCs are too few to learn from");
}

#[test]
fn frames_without_any_metric_still_train() {
    let town = chain(40, 36, |_, _, _| Vec::new());
    let model = town.fit(&brief(7)).unwrap();
    assert!(model.features.features.is_empty());
    let situation = model.abduct(&town.frames[3], &town.frames[0]).situation();
    assert_eq!(situation.own, vec![crate::graph::Deviations::default(); 3]);
    assert!(situation.slowness[model.net.service("db").unwrap()] > 5.0, "{situation:?}");
    let load_only = chain(40, 36, |_, _, noise| {
        vec![super::town::feature("requests_in", crate::data::Role::Load, noise)]
    });
    assert!(load_only.fit(&brief(7)).unwrap().features.features.is_empty());
}

#[test]
fn frames_in_which_everything_violates_or_nothing_does_still_train() {
    for met in [true, false] {
        let mut town = chain(40, 37, throttling);
        town.met.fill(met);
        let model = town.fit(&brief(7)).unwrap();
        let answer = worlds(&model, &town.frames[3], &town.frames[0], &[restore_db(&model)]);
        assert!(answer[0].client.iter().all(|p| p.0.iter().all(|v| v.is_finite())));
    }
}

/// What a slow link between two services looks like, before any counterfactual.
#[test]
fn slow_delays_show_at_their_own_rpc() {
    let mut town = chain(40, 39, throttling);
    let read = RpcKey::new("cart", "list", "db", "read");
    let slow = town.frames[4].rpcs.iter_mut().find(|r| r.key == read).unwrap();
    slow.request.0 = slow.request.0.map(|ms| ms * 20.0);
    let model = town.fit(&brief(7)).unwrap();
    let situation = model.abduct(&town.frames[4], &town.frames[0]).situation();
    for (i, rpc) in model.net().rpcs.iter().enumerate() {
        let is_slow = situation.delays[i].is_some_and(|delay| delay.all > 5.0);
        assert_eq!(is_slow, rpc.key == read, "{}: {:?}", rpc.key, situation.delays[i]);
    }
}

fn restore_db(model: &crate::model::Model) -> Query {
    let db = model.net().service("db").unwrap();
    let restore = Restore { service: db, what: What::All, nets: Vec::new() };
    Query { restore: vec![restore], hypothesis: Hypothesis::Keep, draw: None }
}

/// The whole point, on the smallest application: the database is short of processor time and takes
/// 400 ms longer, and so does everyone above it.
#[test]
fn a_trained_model_undoes_a_fault_it_has_seen() {
    let town = chain(160, 38, throttling);
    let model = town.fit(&Config { steps: [150, 50], ..Config::default() }).unwrap();
    assert!(model.quality().r2 > 0.9, "{:?}", model.quality());
    let (troubled, calm) = (&town.frames[3], &town.frames[0]);
    let db = model.net().service("db").unwrap();
    let cart = model.net().service("cart").unwrap();
    let only = |service, what| Query {
        restore: vec![Restore { service, what, nets: Vec::new() }],
        hypothesis: Hypothesis::Keep,
        draw: None,
    };
    let queries = [
        only(db, What::All),
        only(db, What::Resource(Resource::Cpu)),
        only(db, What::Resource(Resource::Disk)),
        only(cart, What::All),
    ];
    let entry = model.net().rpc(&RpcKey::new("user", "", "front", "get")).unwrap();
    let seen = f64::from(troubled.rpcs.iter().find(|r| r.key.is_entry()).unwrap().client.0[4]);
    let ms: Vec<f64> = worlds(&model, troubled, calm, &queries)
        .iter()
        .map(|a| f64::from(a.client[entry].0[4]))
        .collect();
    assert!(seen > TROUBLE_MS);
    assert!(ms[0] < 0.2 * TROUBLE_MS, "restored: {ms:?}");
    assert!(ms[1] < 0.5 * TROUBLE_MS, "its processor time alone: {ms:?}");
    assert!(ms[2] > 0.9 * seen, "its disk, which was fine: {ms:?}");
    assert!(ms[3] > 0.9 * seen, "its caller, which was fine: {ms:?}");
    let situation = model.abduct(troubled, calm).situation();
    assert!(situation.slowness[db] > 5.0 && situation.slowness[cart] < 5.0, "{situation:?}");
    assert!(situation.own[db].z[Resource::Cpu.index()] > 5.0, "{situation:?}");
}
