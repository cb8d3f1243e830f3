//! Which replicas the slow requests of an interval went to.
//!
//! Latencies are kept by RPC, and not by replica, or there would be many times as many. What says which replica is
//! the slow one is how many of its requests were among the slowest tenth.

use super::names::{Id, Names};
use super::pair::Call;
use crate::data::{Replica, ReplicaWindow};
use crate::hash::HashMap;

/// Replicas of one service that are kept: those with the largest share of slow requests.
const KEPT: usize = 16;

/// Requests by (service, replica), and how many of them were slow.
#[derive(Debug, Default)]
pub(super) struct Replicas(HashMap<(Id, Id), (u64, u64)>);

impl Replicas {
    /// Counts a call of an RPC nine tenths of which last up to `slow_ms`.
    pub(super) fn add(&mut self, call: &Call, slow_ms: f32) {
        if !call.replica.is_nothing() {
            let (count, slow) = self.0.entry((call.key.callee, call.replica)).or_default();
            *count += 1;
            *slow += u64::from(call.client_ns as f64 > f64::from(slow_ms) * 1e6);
        }
    }

    /// The replicas of services that have several, by service, the slowest of each first. Where they run is for others
    /// to say.
    pub(super) fn close(self, names: &Names) -> Vec<ReplicaWindow> {
        let window = |((service, replica), (count, slow)): ((Id, Id), (u64, u64))| ReplicaWindow {
            service: names.name(service).clone(),
            replica: Replica { name: names.name(replica).clone(), node: "".into() },
            count,
            slow,
        };
        let mut all: Vec<ReplicaWindow> = self.0.into_iter().map(window).collect();
        all.sort_unstable_by(|a, b| {
            let slower = b.slow_share().total_cmp(&a.slow_share());
            let by_name = || a.replica.name.cmp(&b.replica.name);
            a.service.cmp(&b.service).then(slower).then_with(by_name)
        });
        let services = all.chunk_by(|a, b| a.service == b.service).filter(|of| of.len() > 1);
        services.flat_map(|of| of.iter().take(KEPT).cloned()).collect()
    }
}
