//! To compute only what changes gives what computing everything does.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::worlds::{NOISY, any_query};
use crate::data::{Resource, RpcKind};
use crate::graph::{Hypothesis, Mechanism as _, Query, What};
use crate::model::Model;
use crate::model::abduct::Abducted;
use crate::model::basis::COMPONENTS;
use crate::model::dataset::levels;
use crate::model::infer::{Levels, Tier};
use crate::model::layout::{Kind, log_ms, mean_ms};

/// Every service of a world; whether its server side, and its network, was restored.
struct Plain {
    tiers: Vec<Tier>,
    server: Vec<bool>,
    net: Vec<bool>,
}

fn normal_tiers(model: &Model, seen: &Abducted, normal: &crate::data::Frame) -> Vec<Tier> {
    let mut tiers = model.evaluator.tiers(&model.features.inputs(normal, &model.net));
    for (j, tier) in tiers.iter_mut().enumerate() {
        tier.load = seen.tiers[j].load;
        tier.latent = model.evaluator.prior_server(j, tier).mean;
    }
    tiers
}

fn act(model: &Model, seen: &Abducted, normal: &[Tier], query: &Query) -> Plain {
    let count = seen.tiers.len();
    let none = || vec![false; count];
    let mut plain = Plain { tiers: seen.tiers.clone(), server: none(), net: none() };
    for restore in &query.restore {
        let j = restore.service;
        let (tier, normal) = (&mut plain.tiers[j], &normal[j]);
        match restore.what {
            What::All => *tier = *normal,
            What::Server => (tier.server, tier.latent) = (normal.server, normal.latent),
            What::Network | What::Resource(Resource::Network) => tier.net = normal.net,
            What::Resource(resource) => {
                for n in resource.index() * COMPONENTS..(resource.index() + 1) * COMPONENTS {
                    tier.server[n] = normal.server[n];
                }
                let prior = model.evaluator.prior_server(j, tier).mean;
                if tier.latent != normal.latent {
                    let latent = &seen.server[j];
                    tier.latent = std::array::from_fn(|n| {
                        latent.posterior.mean[n] + prior[n] - latent.prior.mean[n]
                    });
                }
            }
        }
        let is_net = matches!(restore.what, What::Network | What::Resource(Resource::Network));
        plain.server[j] |= !is_net;
        plain.net[j] |= is_net || restore.what == What::All;
    }
    if query.hypothesis == Hypothesis::BackPressure {
        for j in (0..count).filter(|j| !plain.server[*j]) {
            plain.tiers[j].latent = seen.server[j].prior.mean;
        }
    }
    plain
}

/// No slower than what was seen, and ascending.
fn bounded(predicted: Levels, seen: &Levels) -> Levels {
    let mut low = f32::NEG_INFINITY;
    std::array::from_fn(|q| {
        low = low.max(predicted[q].min(seen[q]));
        low
    })
}

/// What was missed `before` is kept, the less the further the latency moves.
fn kept(after: &Levels, before: &Levels, seen: &Levels) -> Levels {
    std::array::from_fn(|q| {
        after[q] + (seen[q] - before[q]) * (-(after[q] - before[q]).abs() / 0.3).exp()
    })
}

fn delays(model: &Model, seen: &Abducted, world: &Plain, query: &Query, i: usize) -> [Levels; 2] {
    let e = &model.evaluator;
    let observed = [Kind::Request, Kind::Response].map(|k| levels(&seen.observed, k, i));
    let Some(latent) = &seen.net[i] else { return observed };
    let ceiling = seen.observed.ceiling;
    let x = e.net_inputs(i, |j| world.tiers[j]);
    let prior = e.prior_net(i, &x).mean;
    if query.restore.iter().any(|r| r.nets.contains(&i)) {
        let after = e.decode_net(i, &x, &prior, ceiling);
        return [0, 1].map(|k| bounded(after[k], &observed[k]));
    }
    let z = latent.posterior.mean;
    let before = e.decode_net(i, &e.net_inputs(i, |j| seen.tiers[j]), &z, ceiling);
    let z = std::array::from_fn(|n| z[n] + prior[n] - latent.prior.mean[n]);
    let after = e.decode_net(i, &x, &z, ceiling);
    [0, 1].map(|k| bounded(kept(&after[k], &before[k], &observed[k]), &observed[k]))
}

/// Log server and client latency of every RPC in the world of `query`, all of them computed.
fn everything(
    model: &Model,
    seen: &Abducted,
    normal: &[Tier],
    query: &Query,
) -> (Vec<Levels>, Vec<Levels>) {
    let (e, world) = (&model.evaluator, act(model, seen, normal, query));
    let before = match query.hypothesis {
        Hypothesis::Keep => seen.tiers.clone(),
        Hypothesis::BackPressure => seen.prior_tiers(),
    };
    let all = |kind| (0..model.net.rpcs.len()).map(|i| levels(&seen.observed, kind, i)).collect();
    let (mut server, mut client): (Vec<Levels>, Vec<Levels>) =
        (all(Kind::Server), all(Kind::Client));
    for &i in &e.layout.order {
        let (callee, caller) = (e.layout.callee[i], e.layout.caller[i]);
        let from = caller.map(|a| world.tiers[a]);
        let clients: Vec<Levels> = e.children(i).map(|k| client[k]).collect();
        let pool_ms = e.layout.pool_ms(i, |k| mean_ms(&client[k]));
        // A link that only its caller sees is restored with all that lies behind it.
        let is_freed = e.layout.kind[i] == RpcKind::ClientOnly
            && query.restore.iter().any(|r| r.nets.contains(&i));
        let tier = if is_freed { normal[callee] } else { world.tiers[callee] };
        let x = e.server_inputs(i, &tier, from.as_ref(), &clients, pool_ms);
        let mut new = e.decode_server(i, &[x], seen.observed.ceiling)[0];
        if !world.server[callee] && !is_freed {
            new = kept(&new, &e.predict_server(i, &seen.observed, &before), &server[i]);
        }
        server[i] = bounded(new, &server[i]);
        if let Some(start) = e.predict_client(i, &seen.observed, &before) {
            let [request, response] = delays(model, seen, &world, query, i);
            let caller = caller.unwrap();
            let parts = [request, response, server[i]];
            let x = e.client_inputs(i, &world.tiers[caller], &parts);
            let mut new = e.decode_client(i, &[x], seen.observed.ceiling)[0];
            if !world.server[caller] {
                new = kept(&new, &start, &client[i]);
            }
            client[i] = bounded(new, &client[i]);
        } else if e.layout.kind[i] != RpcKind::Messaging {
            client[i] = server[i];
        }
    }
    (server, client)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(0x5bead),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn property_what_is_not_computed_is_what_it_would_be(
        queries in prop::collection::vec(any_query(), 6),
        rpcs in prop::collection::btree_set(0usize..12, 1..12),
        t in 0usize..24,
    ) {
        let (town, model) = &*NOISY;
        let (frame, normal) = (&town.frames[t], &town.frames[1]);
        let (seen, _) = model.look_at(frame);
        let normal_tiers = normal_tiers(model, &seen, normal);
        let rpcs: Vec<usize> = rpcs.into_iter().collect();
        let answers = model.abduct(frame, normal).answer(&queries, &rpcs);
        for (query, answer) in queries.iter().zip(answers) {
            let (server, client) = everything(model, &seen, &normal_tiers, query);
            for (at, i) in rpcs.iter().enumerate() {
                let both = [(answer.server[at], server[*i]), (answer.client[at], client[*i])];
                for (got, expected) in both {
                    for (ms, log) in got.0.iter().zip(expected) {
                        let is_near = (log_ms(*ms) - log).abs() < 1e-3;
                        prop_assert!(is_near, "{query:?} RPC {i}: {got:?} is not {expected:?}");
                    }
                }
            }
        }
    }
}
