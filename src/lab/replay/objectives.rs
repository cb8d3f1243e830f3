//! Latency objectives that an operator of the recorded application would have.
//!
//! In: the frames in which nothing was injected. Out: objectives, those closest to the users first.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::{Frame, Name, QosTarget};
use crate::stats::median;

/// Quantiles that objectives are about.
const QUANTILES: [f64; 2] = [0.5, 0.9];
/// The limit of an objective is this much above the median.
const SLACK: f64 = 1.3;
/// A service behind an entry has an objective of its own when it takes this share of what users wait.
const LARGE: f64 = 0.5;
/// Requests beyond the quantile that an interval must have, for the quantile to mean anything.
const BEYOND: f64 = 2.0;

/// What users wait for: entry services, and services right behind them that call others in turn and take
/// much of that time. Parts of them, a cache or a currency table, have no objective of their own.
pub(super) fn objectives(usual: &[&Frame]) -> Vec<QosTarget> {
    let keys = || usual.iter().flat_map(|f| f.rpcs.iter().map(|w| &w.key));
    // Calls whose other half was not recorded look like requests from outside, now and then.
    let mut seen: BTreeMap<&Name, usize> = BTreeMap::new();
    for frame in usual {
        let entered: BTreeSet<&Name> =
            frame.rpcs.iter().map(|w| &w.key).filter(|k| k.is_entry()).map(|k| &k.callee).collect();
        entered.into_iter().for_each(|s| *seen.entry(s).or_default() += 1);
    }
    let entries: BTreeSet<&Name> =
        seen.into_iter().filter(|(_, n)| 2 * n >= usual.len()).map(|(s, _)| s).collect();
    let callers: BTreeSet<&Name> = keys().map(|k| &k.caller).collect();
    let behind: BTreeSet<&Name> = keys()
        .filter(|k| entries.contains(&k.caller) && callers.contains(&k.callee))
        .map(|k| &k.callee)
        .filter(|s| !entries.contains(s))
        .collect();
    let of =
        |s: &Name| QUANTILES.iter().filter_map(|q| objective(s, *q, usual)).collect::<Vec<_>>();
    let mut all: Vec<QosTarget> = entries.into_iter().flat_map(of).collect();
    let entry_ms = all.iter().map(|o| o.target_ms).fold(f64::INFINITY, f64::min);
    let is_large = |o: &QosTarget| o.target_ms >= LARGE * entry_ms;
    all.extend(behind.into_iter().flat_map(of).filter(is_large));
    all
}

/// "Not more than [`SLACK`] above what is usual"; `None` when too few requests tell.
fn objective(service: &str, at: f64, usual: &[&Frame]) -> Option<QosTarget> {
    let probe = QosTarget { service: service.into(), quantile: at, target_ms: f64::INFINITY };
    let requests = |f: &&&Frame| f.entry_rpcs(service).iter().map(|w| w.count).sum::<u64>() as f64;
    let tells = |f: &&&Frame| requests(f) * (1.0 - at) >= BEYOND;
    let observed: Vec<f64> =
        usual.iter().filter(tells).filter_map(|f| probe.observed_ms(f)).collect();
    if 2 * observed.len() < usual.len() {
        return None;
    }
    Some(QosTarget { target_ms: SLACK * median(observed)?, ..probe })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, Interval, Percentiles, RpcKey, RpcKind, RpcWindow};

    fn rpc(caller: &str, callee: &str, count: u64, ms: f32) -> RpcWindow {
        let key = RpcKey::new(caller, if caller == "user" { "" } else { "op" }, callee, "op");
        let client = Percentiles([ms; 5]);
        let none = Percentiles([0.0; 5]);
        let kind = RpcKind::Paired;
        RpcWindow {
            key,
            kind,
            count,
            failed: 0,
            seen_ratio: 1.0,
            client,
            server: client,
            request: none,
            response: none,
        }
    }

    fn frame(rpcs: Vec<RpcWindow>) -> Frame {
        let interval = Interval { start: EventTime(0), end: EventTime(60_000) };
        Frame { interval, rpcs, services: Vec::new(), completeness: 1.0, replicas: vec![] }
    }

    #[test]
    fn users_wait_for_entries_and_for_what_takes_long_behind_them() {
        let usual = frame(vec![
            rpc("front", "cart", 90, 80.0),
            rpc("front", "checkout", 30, 90.0),
            rpc("front", "hints", 90, 5.0),
            rpc("checkout", "cart", 30, 70.0),
            rpc("hints", "catalogue", 90, 2.0),
            rpc("user", "front", 100, 100.0),
            rpc("user", "rare", 2, 100.0),
        ]);
        // Once, the half of a call that would have told its caller was lost.
        let odd = frame(vec![rpc("user", "cart", 30, 80.0), rpc("user", "front", 100, 100.0)]);
        let found = objectives(&[&usual, &usual, &odd]);
        let found: Vec<(&str, f64, f64)> =
            found.iter().map(|o| (o.service.as_str(), o.quantile, o.target_ms.round())).collect();
        let expected = [
            ("front", 0.5, 130.0),
            ("front", 0.9, 130.0),
            ("checkout", 0.5, 117.0),
            ("checkout", 0.9, 117.0),
        ];
        assert_eq!(found, expected);
    }
}
