//! Hypothetical worlds, whatever the networks have learnt: their weights are random here.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::networks::Shaken;
use super::town::{Town, brief, mixed, worlds};
use crate::data::{Frame, Percentiles, Resource};
use crate::graph::{Hypothesis, Latencies, Query, Restore, What};
use crate::model::Model;

/// A model that has learnt nothing but noise, and frames it may be asked about.
pub(super) static NOISY: LazyLock<(Town, Model)> = LazyLock::new(|| {
    let s = Shaken::new(mixed(24, 41), 41);
    let mut model = s.town.fit(&brief(7)).unwrap();
    model.evaluator = s.evaluator();
    (s.town, model)
});

fn any_restore(services: usize, rpcs: usize) -> impl Strategy<Value = Restore> {
    let what = prop::sample::select(vec![
        What::All,
        What::Server,
        What::Network,
        What::Resource(Resource::Cpu),
        What::Resource(Resource::Memory),
        What::Resource(Resource::Disk),
        What::Resource(Resource::Network),
    ]);
    (0..services, what, prop::collection::vec(0..rpcs, 0..4))
        .prop_map(|(service, what, nets)| Restore { service, what, nets })
}

/// Of the mixed town.
const SERVICES: usize = 8;
const RPCS: usize = 12;

pub(super) fn any_query() -> impl Strategy<Value = Query> {
    let restore = prop::collection::vec(any_restore(SERVICES, RPCS), 0..4);
    let hypothesis = prop::sample::select(vec![Hypothesis::Keep, Hypothesis::BackPressure]);
    (restore, hypothesis).prop_map(|(restore, hypothesis)| Query {
        restore,
        hypothesis,
        draw: None,
    })
}

fn is_slower(world: Percentiles, seen: Percentiles) -> bool {
    world.0.iter().zip(seen.0).any(|(w, s)| *w > s + 1e-3 * (1.0 + s))
}

/// Whether two latencies are the same but for rounding.
fn is_same(world: Percentiles, seen: Percentiles) -> bool {
    !is_slower(world, seen) && !is_slower(seen, world)
}

/// (world, seen) of every RPC that was seen.
fn pairs<'a>(
    model: &'a Model,
    frame: &'a Frame,
    world: &'a Latencies,
) -> impl Iterator<Item = (usize, [(Percentiles, Percentiles); 2])> + 'a {
    (0..model.net.rpcs.len()).filter_map(|i| {
        let seen = frame.rpc(&model.net.rpcs[i].key)?;
        Some((i, [(world.server[i], seen.server), (world.client[i], seen.client)]))
    })
}

#[test]
fn the_town_is_as_large_as_the_queries_think() {
    let (town, _) = &*NOISY;
    assert_eq!((town.net.services.len(), town.net.rpcs.len()), (SERVICES, RPCS));
}

/// Worlds are computed together; none must see another.
#[test]
fn a_question_is_answered_alike_alone_and_among_others() {
    let (town, model) = &*NOISY;
    let query = |service, what| Query {
        restore: vec![Restore { service, what, nets: vec![service] }],
        hypothesis: Hypothesis::Keep,
        draw: None,
    };
    let queries: Vec<Query> = (0..SERVICES)
        .flat_map(|j| [query(j, What::All), query(j, What::Resource(Resource::Cpu))])
        .collect();
    let (seen, normal) = (&town.frames[3], &town.frames[1]);
    let together = worlds(model, seen, normal, &queries);
    for (query, answer) in queries.iter().zip(&together) {
        let alone = worlds(model, seen, normal, std::slice::from_ref(query));
        for i in 0..RPCS {
            assert!(is_same(alone[0].client[i], answer.client[i]), "{query:?} {i}");
            assert!(is_same(alone[0].server[i], answer.server[i]), "{query:?} {i}");
        }
    }
    assert!(worlds(model, seen, normal, &[]).is_empty());
}

#[test]
fn draws_differ_by_their_seed_alone() {
    let (town, model) = &*NOISY;
    let (seen, normal) = (&town.frames[3], &town.frames[1]);
    let query = |service, draw| Query {
        restore: vec![Restore { service, what: What::All, nets: vec![service] }],
        hypothesis: Hypothesis::Keep,
        draw,
    };
    let of = |draw| {
        worlds(model, seen, normal, &(0..SERVICES).map(|j| query(j, draw)).collect::<Vec<_>>())
    };
    assert_eq!(of(Some(1)), of(Some(1)));
    assert_ne!(of(Some(1)), of(Some(2)));
    assert_ne!(of(Some(1)), of(None));
}

/// RPCs whose latency a service acts on: what it serves and invokes, and whoever waits for those.
fn reach(model: &Model, services: &[usize], nets: &[usize]) -> Vec<bool> {
    let layout = &model.evaluator.layout;
    let mut reached = vec![false; RPCS];
    for &i in &layout.order {
        let ends = [Some(layout.callee[i]), layout.caller[i]];
        let is_end = ends.iter().flatten().any(|j| services.contains(j));
        let mut waits = model.evaluator.children(i).chain(layout.pool[i].iter().map(|(k, _)| *k));
        reached[i] = is_end || nets.contains(&i) || waits.any(|k| reached[k]);
    }
    reached
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(0x5a6e),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn property_a_restored_world_is_never_slower_than_the_observed_one(
        queries in prop::collection::vec(any_query(), 8),
        t in 0usize..24,
    ) {
        let (town, model) = &*NOISY;
        let (frame, normal) = (&town.frames[t], &town.frames[1]);
        for (query, world) in queries.iter().zip(worlds(model, frame, normal, &queries)) {
            for (i, both) in pairs(model, frame, &world) {
                for (world, seen) in both {
                    prop_assert!(!is_slower(world, seen), "{query:?} {i}: {world:?} {seen:?}");
                }
            }
            for p in world.client.iter().chain(&world.server) {
                prop_assert!(p.0.windows(2).all(|w| w[0] <= w[1]), "{query:?}: {p:?} descends");
                prop_assert!(p.0.iter().all(|v| v.is_finite() && *v >= 0.0), "{query:?}: {p:?}");
            }
        }
    }

    #[test]
    fn property_what_does_not_depend_on_what_is_restored_stays_as_it_was(
        queries in prop::collection::vec(any_query(), 8),
        t in 0usize..24,
    ) {
        let (town, model) = &*NOISY;
        let (frame, normal) = (&town.frames[t], &town.frames[1]);
        for (query, world) in queries.iter().zip(worlds(model, frame, normal, &queries)) {
            let services: Vec<usize> = query.restore.iter().map(|r| r.service).collect();
            let nets: Vec<usize> = query.restore.iter().flat_map(|r| r.nets.clone()).collect();
            let reached = reach(model, &services, &nets);
            for (i, both) in pairs(model, frame, &world).filter(|(i, _)| !reached[*i]) {
                for (world, seen) in both {
                    prop_assert!(is_same(world, seen), "{query:?} {i}: {world:?} {seen:?}");
                }
            }
        }
    }
}
