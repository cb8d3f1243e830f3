//! Small made-up applications: `front` calls `mid`, which calls `back`; `side` is called by nobody
//! but `front`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::data::{
    EventTime, FeatureWindow, Frame, Interval, Percentiles, QosTarget, Replica, Resource, Role,
    RpcKey, RpcKind, RpcWindow, Scale, Scope, ServiceWindow, Signal,
};
use crate::lab::rivals::{Past, Rival};

pub(super) const SERVICES: [&str; 4] = ["back", "front", "mid", "side"];

/// Milliseconds added to the own time of each service, and cores used by it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) slow: [f64; 4],
    pub(super) busy: [f64; 4],
}

/// Intervals of a made-up application with some noise.
pub(super) fn frames(states: &[State], seed: u64) -> Vec<Arc<Frame>> {
    let mut rng = SmallRng::seed_from_u64(seed);
    states.iter().enumerate().map(|(i, s)| Arc::new(frame(i, s, &mut rng))).collect()
}

fn frame(number: usize, state: &State, rng: &mut SmallRng) -> Frame {
    let mut noise = || 1.0 + 0.03 * rng.random_range(-1.0..1.0);
    let own: Vec<f64> = state.slow.iter().map(|slow| 5.0 * noise() + slow).collect();
    let [back, side] = [own[0], own[3]];
    let mid = own[2] + back;
    let front = own[1] + mid + side;
    let rpc = |caller: &str, callee: &str, ms: f64| {
        let op = if caller == "user" { "" } else { "op" };
        let latency = Percentiles([0.5, 0.7, 0.9, 0.95, 1.0].map(|q| (ms * q) as f32));
        RpcWindow {
            key: RpcKey::new(caller, op, callee, "op"),
            kind: RpcKind::Paired,
            count: 100,
            failed: 0,
            seen_ratio: 1.0,
            client: latency,
            server: latency,
            request: Percentiles::default(),
            response: Percentiles::default(),
        }
    };
    let mut rpcs = vec![
        rpc("user", "front", front),
        rpc("front", "mid", mid),
        rpc("front", "side", side),
        rpc("mid", "back", back),
    ];
    rpcs.sort_by(|a, b| a.key.cmp(&b.key));
    let services = SERVICES
        .iter()
        .enumerate()
        .map(|(i, name)| service(name, 0.3 * noise() + state.busy[i]))
        .collect();
    let start = EventTime(number as i64 * 30_000);
    let interval = Interval { start, end: EventTime(start.0 + 30_000) };
    Frame { interval, rpcs, services, completeness: 1.0, replicas: vec![] }
}

fn service(name: &str, cores: f64) -> ServiceWindow {
    let usage = FeatureWindow {
        name: "cpu_usage".into(),
        role: Role::Cpu,
        signal: Signal::Usage,
        scale: Scale::Log,
        scope: Scope::Service,
        percentiles: [cores; 3],
        by_replica: vec![Some(cores)],
    };
    let replicas = vec![Replica { name: name.into(), node: "n".into() }];
    ServiceWindow { service: name.into(), replicas, features: vec![usage] }
}

/// Most of the time all is well; in every fifth interval the next service of `strikes` is short of
/// processor time.
pub(super) fn history(strikes: &[usize], count: usize) -> Vec<State> {
    let struck = |i: usize| strikes[(i / 5) % strikes.len()];
    (0..count)
        .map(|i| if i % 5 == 4 { short_of_cpu(struck(i)) } else { State::default() })
        .collect()
}

/// One service is short of processor time.
pub(super) fn short_of_cpu(service: usize) -> State {
    let mut state = State::default();
    state.slow[service] = 40.0;
    state.busy[service] = 0.6;
    state
}

/// What was to blame in each state, by the beginning of its interval.
pub(super) fn labels(states: &[State]) -> BTreeMap<EventTime, Vec<(String, Option<Resource>)>> {
    let to_blame = |s: &State| (0..4).find(|i| s.slow[*i] > 0.0);
    let label = |(i, s): (usize, &State)| {
        let culprit = (SERVICES[to_blame(s)?].to_string(), Some(Resource::Cpu));
        Some((EventTime(i as i64 * 30_000), vec![culprit]))
    };
    states.iter().enumerate().filter_map(label).collect()
}

/// Lets a system learn from `states`, then asks it about a violation by each of `asked`.
pub(super) fn first_accused<R: Rival>(
    learn: impl Fn(&Past<'_>) -> R,
    states: &[State],
    asked: &[State],
) -> Vec<Option<(String, Option<Resource>)>> {
    let target = QosTarget { service: "front".into(), quantile: 0.99, target_ms: 35.0 };
    let past = frames(states, 1);
    let met: Vec<bool> = past.iter().map(|f| target.is_violated(f) == Some(false)).collect();
    let labels = labels(states);
    let rival =
        learn(&Past { frames: &past, met: &met, labels: &labels, target: &target, seed: 3 });
    let ask = |state: &State| {
        let mut all = states.to_vec();
        all.extend([State::default(), State::default(), *state]);
        rival.accuse(&frames(&all, 1)).into_iter().next()
    };
    asked.iter().map(ask).collect()
}
