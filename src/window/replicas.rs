//! Which replicas the slow requests of an interval went to.
//!
//! Latencies are kept by RPC, and not by replica, or there would be many times as many. What says which replica is
//! the slow one is how many of its requests were slow: nearer to the 95th percentile of their RPC than to its median.

use super::names::{Id, Names};
use super::pair::Call;
use crate::data::{Percentiles, Replica, ReplicaWindow};
use crate::hash::HashMap;

/// Replicas of one service that are kept: those with the largest share of slow requests.
const KEPT: usize = 16;

/// Requests by (service, replica), and how many of them were slow.
#[derive(Debug, Default)]
pub(super) struct Replicas(HashMap<(Id, Id), (u64, u64)>);

/// Halfway between the median and the 95th percentile, in logarithms, milliseconds: between those who are struck and those
/// who are not, be they a tenth or half of all, and below a time-out that all of them share.
pub(super) fn slow_ms(latency: &Percentiles) -> f32 {
    let [middle, .., upper, _] = latency.0;
    (middle * upper).sqrt()
}

impl Replicas {
    /// Counts a call of an RPC of which `slow_ms` and more is slow. A caller that gave up knows less of how long it
    /// took than whoever went on serving it.
    pub(super) fn add(&mut self, call: &Call, slow_ms: f32) {
        if !call.replica.is_nothing() {
            let (count, slow) = self.0.entry((call.key.callee, call.replica)).or_default();
            *count += 1;
            let took_ns = call.client_ns.max(call.server_ns);
            *slow += u64::from(took_ns as f64 >= f64::from(slow_ms) * 1e6);
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
