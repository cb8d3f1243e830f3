//! Generated applications of any size, for questions of scale.
//!
//! Services are made layer by layer from the data stores up; every operation made so far that
//! nobody calls yet is dealt out to operations of the next layer, so all are in use and none is in
//! a cycle. A request causes a few dozen calls at most, however many services there are: more
//! services mean more kinds of requests. A few operations are hubs that requests of every kind
//! call, as sessions and shopping carts are, so that there is a hot path in a large application,
//! too.

use super::draft::{Draft, Target, Tier, cpu, disk, once};
use crate::lab::sim::random::{For, Key, Stream};
use crate::lab::sim::spec::{AppSpec, CallSpec, Entry, Kind, OpSpec, ServiceSpec, Step};

/// Services that can be asked for.
const SERVICES: std::ops::RangeInclusive<usize> = 5..=20_000;
/// Calls that one operation may cause, on average.
const HOPS_MAX: f64 = 30.0;
/// An operation that causes at most this many calls may get more than one caller.
const SHARED_HOPS_MAX: f64 = 3.0;
/// Hubs, calls that one of them causes, and hubs that one request needs.
const HUBS: usize = 8;
const HUB_HOPS: std::ops::RangeInclusive<f64> = 3.0..=7.0;
const HUBS_PER_REQUEST: usize = 2;
/// Busiest a tier is meant to be at load 1.
const UTILISATION: f64 = 0.35;

/// A layered application of that many services (5 to 20,000). The same arguments give the same one.
pub fn random_graph(services: usize, seed: u64) -> AppSpec {
    let services = services.clamp(*SERVICES.start(), *SERVICES.end());
    let mut growth = Growth {
        app: Draft::new(),
        dice: Key::new(seed).child(services as u64).stream(For::Shape),
        uncalled: Vec::new(),
        shareable: Vec::new(),
        hubs: Vec::new(),
    };
    let frontends = services.div_ceil(40);
    let stores = services * 3 / 10;
    growth.stores(stores);
    for (layer, size) in layers(services - frontends - stores).into_iter().enumerate() {
        growth.layer(layer, size);
    }
    growth.frontends(frontends);
    let queue_in_span = growth.dice.happens(0.5);
    let name = format!("random-{services}-{seed}");
    let rate = 120.0 + 0.5 * services as f64;
    let mut app = growth.app.finish(&name, rate, 3 + services / 20);
    for service in app.services.iter_mut().filter(|s| s.kind != Kind::Frontend) {
        service.queue_in_span = queue_in_span;
    }
    size(&mut app);
    app
}

/// The same behind a gateway that takes every request in one operation, `/*`, and hands it on: what users see is a
/// mixture of all pages, and only the gateway's callees tell them apart.
pub fn gateway(services: usize, seed: u64) -> AppSpec {
    let mut app = random_graph(services.saturating_sub(1), seed);
    let through = |entry: &Entry| {
        let page = CallSpec { service: entry.service, op: entry.op, probability: 1.0, times: 1 };
        OpSpec { name: "/*".into(), steps: vec![cpu(250.0), Step::Call(page), cpu(150.0)] }
    };
    let ops = app.entries.iter().map(through).collect();
    for (op, entry) in app.entries.iter_mut().enumerate() {
        *entry = Entry { service: app.services.len(), op, ..*entry };
    }
    let frontend = app.services.iter().find(|s| s.kind == Kind::Frontend);
    let Some(frontend) = frontend.cloned() else { return app };
    app.services.push(ServiceSpec { name: "gateway".into(), ops, ..frontend });
    app.name = format!("gateway-{services}-{seed}");
    size(&mut app);
    app
}

/// Sizes of the layers of logic, deepest first; upper layers are smaller.
fn layers(services: usize) -> Vec<usize> {
    let count = match services {
        0..10 => 2,
        10..100 => 3,
        100..500 => 4,
        _ => 5,
    };
    let shares: usize = (1..=count).sum();
    let mut sizes: Vec<usize> = (2..=count).rev().map(|l| services * l / shares).collect();
    sizes.push(services - sizes.iter().sum::<usize>());
    sizes
}

/// Gives busy services replicas.
fn size(app: &mut AppSpec) {
    // A generated application is always in order; one that were not would be refused later.
    let Ok(nominal) = app.nominal() else { return };
    for (service, nominal) in app.services.iter_mut().zip(nominal) {
        let needed = nominal.cpu_cores / UTILISATION / service.cores as f64;
        service.replicas = needed.ceil().max(1.0) as usize;
    }
}

/// An operation and the calls it causes on average, itself included.
#[derive(Clone, Copy, Debug)]
struct Grown {
    target: Target,
    hops: f64,
}

struct Growth {
    app: Draft,
    dice: Stream,
    uncalled: Vec<Grown>,
    shareable: Vec<Target>,
    hubs: Vec<Grown>,
}

impl Growth {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.dice.uniform()
    }

    /// Caches and databases.
    fn stores(&mut self, count: usize) {
        for i in 0..count {
            let cpu_us = self.between(400.0, 1200.0);
            if self.dice.happens(0.5) {
                let target = self.app.cache(&format!("cache-{i}"), "get", cpu_us);
                self.add(Grown { target, hops: 1.0 });
            } else {
                let tier = self.app.database(&format!("database-{i}"));
                let steps = vec![cpu(2.0 * cpu_us), disk(0.4, 2500.0)];
                let target = self.app.op(tier, "find", steps);
                self.add(Grown { target, hops: 1.0 });
                if self.dice.happens(0.4) {
                    let steps = vec![cpu(1.5 * cpu_us), disk(0.8, 2000.0)];
                    let target = self.app.op(tier, "insert", steps);
                    self.add(Grown { target, hops: 1.0 });
                }
            }
        }
    }

    fn layer(&mut self, layer: usize, services: usize) {
        let mut tiers: Vec<Tier> = Vec::new();
        for i in 0..services {
            let cores = 1 + self.dice.index(2);
            let tier = self.app.logic(&format!("service-{layer}-{i}"), 1, cores);
            let ops = 1 + self.dice.index(3);
            tiers.extend(std::iter::repeat_n(tier, ops));
        }
        let callees = self.deal(tiers.len());
        for (i, (tier, callees)) in tiers.into_iter().zip(callees).enumerate() {
            let grown = self.operation(tier, &format!("Do{i}"), &callees);
            self.add(grown);
        }
    }

    /// Services that users talk to, with an operation for every few of those nobody calls yet.
    fn frontends(&mut self, services: usize) {
        let tiers: Vec<Tier> =
            (0..services).map(|i| self.app.frontend(&format!("frontend-{i}"), 1, 2)).collect();
        let hops: f64 = self.uncalled.iter().map(|g| g.hops).sum();
        let entries = ((hops / (0.7 * HOPS_MAX)).ceil() as usize).max(services);
        let mut callees: Vec<Vec<Grown>> = self.deal(entries);
        // What would be too much for one of them has to get an operation of its own.
        callees.extend(std::mem::take(&mut self.uncalled).into_iter().map(|g| vec![g]));
        for (i, mut callees) in callees.into_iter().enumerate() {
            let first = self.dice.index(self.hubs.len());
            callees.extend(self.hubs.iter().cycle().skip(first).take(HUBS_PER_REQUEST));
            let grown = self.operation(tiers[i % services], &format!("/page/{i}"), &callees);
            let weight = self.between(0.5, 1.5);
            self.app.entry(grown.target, weight);
        }
    }

    /// Deals the operations nobody calls yet out to `count` new ones. Those that find no place
    /// stay.
    fn deal(&mut self, count: usize) -> Vec<Vec<Grown>> {
        let mut hands: Vec<(f64, Vec<Grown>)> = vec![(1.0, Vec::new()); count];
        for grown in std::mem::take(&mut self.uncalled) {
            let (a, b) = (self.dice.index(count), self.dice.index(count));
            let emptier = if hands.get(a).map(|h| h.0) < hands.get(b).map(|h| h.0) { a } else { b };
            match hands.get_mut(emptier) {
                Some((hops, hand)) if *hops + grown.hops <= HOPS_MAX => {
                    *hops += grown.hops;
                    hand.push(grown);
                }
                _ => self.uncalled.push(grown),
            }
        }
        hands.into_iter().map(|(_, hand)| hand).collect()
    }

    /// An operation that calls `callees`, some in turn and some at once, and perhaps one more.
    fn operation(&mut self, tier: Tier, name: &str, callees: &[Grown]) -> Grown {
        let cpu_us = self.between(600.0, 2200.0);
        let mut hops = 1.0 + callees.iter().map(|g| g.hops).sum::<f64>();
        let mut calls: Vec<CallSpec> = callees.iter().map(|g| once(g.target)).collect();
        if self.dice.happens(0.3) && !self.shareable.is_empty() {
            let shared = self.shareable[self.dice.index(self.shareable.len())];
            calls.push(CallSpec { probability: self.between(0.2, 1.0), ..once(shared) });
            hops += SHARED_HOPS_MAX;
        }
        let mut steps = vec![cpu(0.6 * cpu_us)];
        while !calls.is_empty() {
            let at_once = 1 + self.dice.index(calls.len().min(4));
            let mut group: Vec<CallSpec> = calls.drain(..at_once).collect();
            if let [single] = group.as_mut_slice() {
                single.times += u32::from(self.dice.happens(0.1));
                steps.push(Step::Call(*single));
            } else {
                steps.push(Step::Parallel(group));
            }
        }
        steps.push(cpu(0.4 * cpu_us));
        Grown { target: self.app.op(tier, name, steps), hops }
    }

    /// Offers an operation to callers.
    fn add(&mut self, grown: Grown) {
        self.uncalled.push(grown);
        if grown.hops <= SHARED_HOPS_MAX {
            self.shareable.push(grown.target);
        }
        if HUB_HOPS.contains(&grown.hops) && self.hubs.len() < HUBS {
            self.hubs.push(grown);
        }
    }
}
