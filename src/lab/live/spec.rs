//! The applications as data: services, what an operation of theirs does, and who calls whom.
//!
//! The paper's Chain and Fanout (Fig. 8), and a Social Network (Fig. 9) cut down to what two processors
//! bear. Services come before those that call them.

use serde::{Deserialize, Serialize};

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A process of this program that works and calls others.
    Logic,
    /// A real Redis.
    Redis,
    /// A real Memcached.
    Memcached,
}

/// A request to another service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Whom.
    pub service: String,
    /// Which operation.
    pub op: String,
}

/// One thing an operation does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Uses a processor for so many microseconds of its time.
    Cpu(u32),
    /// Calls, and waits.
    Call(Call),
    /// Calls at once, and waits for all.
    Parallel(Vec<Call>),
    /// Calls with this probability.
    Maybe(f64, Call),
    /// Reads so many bytes from the disk, past the page cache.
    Disk(u32),
    /// Looks up so many pages of a file that memory holds in calm.
    Pages(u32),
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Its name, as spans have it.
    pub name: String,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What stands behind it.
    pub kind: Kind,
    /// What it does.
    pub ops: Vec<Op>,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its services, callees before callers.
    pub services: Vec<Service>,
    /// What users ask for, and how often one of it is asked for.
    pub entries: Vec<(Call, f64)>,
    /// Requests per second on a machine that is strong enough.
    pub rate: f64,
}

/// Names that can be given to `--app`.
pub const APPS: [&str; 3] = ["chain", "fanout", "social-network"];

/// The application of that name.
pub fn app(name: &str) -> Option<App> {
    match name {
        "chain" => Some(chain()),
        "fanout" => Some(fanout()),
        "social-network" => Some(social_network()),
        _ => None,
    }
}

impl App {
    /// The service users call.
    pub fn entry(&self) -> &str {
        self.entries.first().map_or("", |(call, _)| call.service.as_str())
    }

    /// Requests that reach a service for each of a user.
    pub fn requests(&self, service: &str) -> f64 {
        self.entries.iter().map(|(call, share)| share * self.requests_of(call, service)).sum()
    }

    /// Of them, those that one request brings with it.
    fn requests_of(&self, call: &Call, service: &str) -> f64 {
        let op = self.service(&call.service);
        let op = op.and_then(|s| s.ops.iter().find(|op| op.name == call.op));
        let of = |step: &Step| match step {
            Step::Call(call) => self.requests_of(call, service),
            Step::Parallel(calls) => calls.iter().map(|c| self.requests_of(c, service)).sum(),
            Step::Maybe(share, call) => share * self.requests_of(call, service),
            Step::Cpu(_) | Step::Disk(_) | Step::Pages(_) => 0.0,
        };
        let below: f64 = op.iter().flat_map(|op| &op.steps).map(of).sum();
        below + if call.service == service { 1.0 } else { 0.0 }
    }

    /// Services that are processes of this program.
    pub fn logic(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|s| s.kind == Kind::Logic)
    }

    /// Whether one of its services is of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.services.iter().any(|s| s.kind == kind)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.name == name)
    }
}

impl Service {
    /// Whether one of its operations does what `is_it` says.
    pub fn does(&self, is_it: impl Fn(&Step) -> bool) -> bool {
        self.ops.iter().flat_map(|op| &op.steps).any(is_it)
    }
}

fn call(service: &str, op: &str) -> Call {
    Call { service: service.into(), op: op.into() }
}

fn logic(name: &str, ops: &[(&str, Vec<Step>)]) -> Service {
    let op = |(name, steps): &(&str, Vec<Step>)| Op { name: (*name).into(), steps: steps.clone() };
    Service { name: name.into(), kind: Kind::Logic, ops: ops.iter().map(op).collect() }
}

fn store(name: &str, kind: Kind) -> Service {
    let op = Op { name: "get".into(), steps: Vec::new() };
    Service { name: name.into(), kind, ops: vec![op] }
}

/// Bytes of one read from the disk.
const BLOCK: u32 = 64 << 10;

fn chain() -> App {
    let next = |n: u8| Step::Call(call(&format!("chain-{n}"), "Process"));
    let tier = |n: u8, steps: Vec<Step>| logic(&format!("chain-{n}"), &[("Process", steps)]);
    App {
        name: "chain".into(),
        services: vec![
            tier(5, vec![Step::Cpu(800), Step::Disk(BLOCK)]),
            tier(4, vec![Step::Pages(350), Step::Cpu(200), next(5), Step::Cpu(200)]),
            tier(3, vec![Step::Cpu(500), next(4), Step::Cpu(200)]),
            tier(2, vec![Step::Cpu(600), next(3), Step::Cpu(200)]),
            tier(1, vec![Step::Cpu(400), next(2), Step::Cpu(200)]),
        ],
        entries: vec![(call("chain-1", "Process"), 1.0)],
        rate: 60.0,
    }
}

fn fanout() -> App {
    let leaves: Vec<Service> = [900, 700, 1000, 800, 900, 700]
        .iter()
        .enumerate()
        .map(|(i, us)| {
            let mut steps = vec![Step::Cpu(*us)];
            match i {
                2 => steps.push(Step::Disk(BLOCK)),
                4 => steps.push(Step::Pages(350)),
                _ => {}
            }
            logic(&format!("fanout-leaf-{}", i + 1), &[("Process", steps)])
        })
        .collect();
    let all = leaves.iter().map(|leaf| call(&leaf.name, "Process")).collect();
    let root = vec![Step::Cpu(400), Step::Parallel(all), Step::Cpu(300)];
    let services = leaves.into_iter().chain([logic("fanout-root", &[("Process", root)])]).collect();
    App {
        name: "fanout".into(),
        services,
        entries: vec![(call("fanout-root", "Process"), 1.0)],
        rate: 50.0,
    }
}

/// What is stored, and where: read and written by a service, kept in a process that stands in for MongoDB.
fn posts() -> [Service; 2] {
    let get = |name: &str| Step::Call(call(name, "get"));
    let mongodb = logic(
        "post-storage-mongodb",
        &[
            ("find", vec![Step::Pages(350), Step::Cpu(500), Step::Disk(BLOCK)]),
            ("insert", vec![Step::Cpu(400), Step::Disk(BLOCK)]),
        ],
    );
    let storage = logic(
        "post-storage-service",
        &[
            (
                "ReadPosts",
                vec![
                    Step::Cpu(500),
                    get("post-storage-memcached"),
                    Step::Maybe(0.3, call("post-storage-mongodb", "find")),
                    Step::Cpu(300),
                ],
            ),
            ("StorePost", vec![Step::Cpu(400), Step::Call(call("post-storage-mongodb", "insert"))]),
        ],
    );
    [mongodb, storage]
}

fn social_network() -> App {
    let get = |name: &str| Step::Call(call(name, "get"));
    let [mongodb, storage] = posts();
    let timeline = |name: &str, redis: &str| {
        let read = vec![
            Step::Cpu(500),
            get(redis),
            Step::Call(call("post-storage-service", "ReadPosts")),
            Step::Cpu(300),
        ];
        logic(name, &[("Read", read), ("Write", vec![Step::Cpu(400), get(redis)])])
    };
    let compose = vec![
        Step::Cpu(600),
        Step::Parallel(vec![
            call("text-service", "ComposeText"),
            call("user-service", "ComposeCreator"),
        ]),
        Step::Parallel(vec![
            call("post-storage-service", "StorePost"),
            call("user-timeline-service", "Write"),
            call("home-timeline-service", "Write"),
        ]),
    ];
    let page = |service: &str, op: &str| {
        vec![Step::Cpu(400), Step::Call(call(service, op)), Step::Cpu(200)]
    };
    App {
        name: "social-network".into(),
        services: vec![
            store("post-storage-memcached", Kind::Memcached),
            store("home-timeline-redis", Kind::Redis),
            store("user-timeline-redis", Kind::Redis),
            mongodb,
            storage,
            timeline("home-timeline-service", "home-timeline-redis"),
            timeline("user-timeline-service", "user-timeline-redis"),
            logic("text-service", &[("ComposeText", vec![Step::Cpu(700)])]),
            logic("user-service", &[("ComposeCreator", vec![Step::Cpu(600)])]),
            logic("compose-post-service", &[("ComposePost", compose)]),
            logic(
                "nginx-web-server",
                &[
                    ("home-timeline", page("home-timeline-service", "Read")),
                    ("user-timeline", page("user-timeline-service", "Read")),
                    ("compose", page("compose-post-service", "ComposePost")),
                ],
            ),
        ],
        entries: vec![
            (call("nginx-web-server", "home-timeline"), 0.6),
            (call("nginx-web-server", "user-timeline"), 0.3),
            (call("nginx-web-server", "compose"), 0.1),
        ],
        rate: 50.0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every call of a list of steps.
    fn calls(steps: &[Step]) -> Vec<&Call> {
        steps
            .iter()
            .flat_map(|step| match step {
                Step::Call(call) | Step::Maybe(_, call) => vec![call],
                Step::Parallel(calls) => calls.iter().collect(),
                Step::Cpu(_) | Step::Disk(_) | Step::Pages(_) => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn services_come_before_their_callers_and_offer_what_is_called() {
        for name in APPS {
            let app = app(name).unwrap();
            let mut known = BTreeSet::new();
            for service in &app.services {
                for op in &service.ops {
                    for call in calls(&op.steps) {
                        assert!(
                            known.contains(&(call.service.clone(), call.op.clone())),
                            "{call:?}"
                        );
                    }
                }
                known.extend(service.ops.iter().map(|op| (service.name.clone(), op.name.clone())));
            }
            for (call, _) in &app.entries {
                assert!(known.contains(&(call.service.clone(), call.op.clone())), "{call:?}");
            }
            let share: f64 = app.entries.iter().map(|(_, share)| share).sum();
            assert!((share - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn requests_are_counted_along_every_path() {
        let social = app("social-network").unwrap();
        for (service, share) in [
            ("nginx-web-server", 1.0),
            ("home-timeline-service", 0.7),
            ("post-storage-service", 1.0),
            ("post-storage-mongodb", 0.9 * 0.3 + 0.1),
            ("nobody", 0.0),
        ] {
            assert!((social.requests(service) - share).abs() < 1e-9, "{service}");
        }
    }

    /// Otherwise there would be nobody to try the faults of memory and disk on.
    #[test]
    fn every_application_has_a_service_that_reads_and_one_that_remembers() {
        for name in APPS {
            let app = app(name).unwrap();
            assert!(app.logic().any(|s| s.does(|step| matches!(step, Step::Disk(_)))), "{name}");
            assert!(app.logic().any(|s| s.does(|step| matches!(step, Step::Pages(_)))), "{name}");
        }
    }
}
