//! What the tests share: a service in trouble, a node, frames that meet or miss the target.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::act::config::Config;
use crate::act::nodes::Helper;
use crate::act::{Book, Command, Event, Inventory, Place, Word, fix_id, plan, propose};
use crate::data::{
    ActMode, Alert, AlertKey, AlertStatus, Diagnosis, DiagnosisState, EventTime, FixRecord,
    FixState, Frame, Interval, Knob, Outcome, Percentiles, QosObservation, Resource, RootCause,
    RpcKey, RpcKind, RpcWindow, Target, Value,
};
use crate::wire::{Inspection, KnobView};

pub(super) const TARGET_MS: f64 = 28.0;

pub(super) fn cause(service: &str, resource: Option<Resource>) -> RootCause {
    RootCause {
        service: service.into(),
        resource,
        probability: 0.97,
        counterfactual_ms: 21.4,
        metrics: vec![],
        replicas: vec![],
        nodes: vec!["n1".into()],
    }
}

pub(super) fn diagnosis(id: &str, cause: RootCause) -> Diagnosis {
    Diagnosis {
        id: id.into(),
        state: DiagnosisState::Done,
        outcome: Some(Outcome::RootCause),
        alert: Alert {
            key: AlertKey { fingerprint: id.into(), starts_at: EventTime(0) },
            status: AlertStatus::Firing,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ends_at: None,
        },
        interval: Some(Interval { start: EventTime(0), end: EventTime(30_000) }),
        qos: Some(QosObservation {
            service: "front".into(),
            quantile: 0.99,
            target_ms: TARGET_MS,
            observed_ms: 61.2,
        }),
        root_causes: vec![cause],
        services: vec![],
        path: vec![],
        robust_baseline: vec![],
        graph_completeness: 1.0,
        model: None,
        took_ms: 1.0,
        text: String::new(),
        error: None,
        notes: BTreeMap::new(),
    }
}

/// A configuration in which `redis` and its like may be helped on node `n1`.
pub(super) fn config(mode: ActMode) -> Config {
    Config {
        mode,
        services: vec!["*".into()],
        helpers: vec![Helper::local("n1", "/nowhere")],
        ..Config::default()
    }
}

pub(super) fn knob(knob: Knob, value: f64, bounds: Option<(f64, f64)>) -> KnobView {
    KnobView {
        knob,
        now: String::new(),
        value: Value::Amount(value),
        allowed: bounds.is_some(),
        min: bounds.map(|b| b.0),
        max: bounds.map(|b| b.1),
    }
}

pub(super) fn inspection(knobs: Vec<KnobView>) -> Inspection {
    let node =
        BTreeMap::from([("cpus".to_string(), 8.0), ("memory_available_bytes".to_string(), 1e9)]);
    Inspection { cgroups: BTreeMap::new(), knobs, usage: BTreeMap::new(), node }
}

pub(super) fn inventory(knobs: Vec<KnobView>) -> Inventory {
    let place = Place {
        node: "n1".into(),
        target: Target::Cgroup("/apps/redis".into()),
        name: "redis-0".into(),
    };
    Inventory { replicas: vec![(place, inspection(knobs))], ..Inventory::default() }
}

/// The proposal of a fix of the CPU quota of `service`: two rungs.
pub(super) fn proposal(diagnosis_id: &str, service: &str, config: &Config) -> FixRecord {
    let d = diagnosis(diagnosis_id, cause(service, Some(Resource::Cpu)));
    let stock = inventory(vec![knob(Knob::CpuQuota, 1.5, Some((0.1, 8.0)))]);
    let id = fix_id(&d.id, service);
    let plan = plan(&id, &d, &d.root_causes[0], &stock, config);
    propose(&d, &d.root_causes[0], plan, EventTime(0))
}

/// The `n`-th interval of 30 s, in which the target is met or missed.
pub(super) fn frame(n: i64, is_violated: bool) -> Arc<Frame> {
    let latency = Percentiles([if is_violated { 60.0 } else { 10.0 }; 5]);
    let rpc = RpcWindow {
        key: RpcKey::new("user", "", "front", "get"),
        kind: RpcKind::ServerOnly,
        count: 100,
        failed: 0,
        seen_ratio: 1.0,
        client: latency,
        server: latency,
        request: Percentiles([0.0; 5]),
        response: Percentiles([0.0; 5]),
    };
    let interval = Interval { start: EventTime(n * 30_000), end: EventTime((n + 1) * 30_000) };
    Arc::new(Frame {
        interval,
        rpcs: vec![rpc],
        services: vec![],
        completeness: 1.0,
        replicas: vec![],
    })
}

/// A book, and a clock that goes 30 s with every frame.
pub(super) struct Stage {
    pub(super) book: Book,
    pub(super) now: EventTime,
    frames: i64,
}

impl Stage {
    pub(super) fn new(config: Config) -> Self {
        Self { book: Book::new(config, vec![], None), now: EventTime(0), frames: 0 }
    }

    pub(super) fn on(&mut self, event: Event) -> Vec<Command> {
        self.book.on(event, self.now)
    }

    pub(super) fn frame(&mut self, is_violated: bool) -> Vec<Command> {
        self.frames += 1;
        self.now = EventTime(self.now.0 + 30_000);
        self.on(Event::Frame(frame(self.frames, is_violated)))
    }

    /// A frame from before the violation that comes late.
    pub(super) fn late_frame(&mut self, n: i64, is_violated: bool) -> Vec<Command> {
        self.on(Event::Frame(frame(n, is_violated)))
    }

    pub(super) fn told(&mut self, command: &Command, word: Word) -> Vec<Command> {
        let order = command.order();
        self.on(Event::Told { fix: order.fix.clone(), rung: order.rung, word })
    }

    pub(super) fn resolve(&mut self, diagnosis: &str) -> Vec<Command> {
        self.on(Event::Resolved { diagnosis: diagnosis.into() })
    }

    pub(super) fn tick(&mut self, seconds: i64) -> Vec<Command> {
        self.now = EventTime(self.now.0 + seconds * 1000);
        self.on(Event::Tick)
    }

    /// Of the only fix: how far it has come.
    pub(super) fn state(&self) -> FixState {
        self.book.fixes()[0].state
    }

    pub(super) fn reason(&self) -> &str {
        &self.book.fixes()[0].reason
    }

    /// A fix of `redis` that is in force, and the command that made it so.
    pub(super) fn in_force(config: &Config) -> (Self, Command) {
        let mut stage = Self::new(config.clone());
        stage.frame(true);
        let asked = stage.on(Event::Planned(Box::new(proposal("d", "redis", config))));
        let [apply @ Command::Apply(_)] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(stage.told(apply, Word::InForce), []);
        assert_eq!(stage.state(), FixState::Watching);
        (stage, apply.clone())
    }
}

pub(super) fn reverted() -> Word {
    Word::Reverted(String::new())
}

/// What a command sets the first knob to.
pub(super) fn to(command: &Command) -> f64 {
    match command.order().changes[0].to {
        Value::Amount(amount) => amount,
        ref other => panic!("{other}"),
    }
}
