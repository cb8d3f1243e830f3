//! How many requests should be traced.
//!
//! In: the newest frame, what the policy says about changes. Out: [`SamplingAdvice`]. Sage sets no sampler.

use crate::data::{EventTime, Frame, RpcWindow, SamplingAdvice};

/// Requests of an interval from which a 99th percentile can be told.
const SEEN_MIN: f64 = 100.0;
/// Advice is for so many times as many: whoever follows it should not hear the next at once.
const MARGIN: f64 = 2.0;

/// The advice, best reason first: a change is followed until a moment, there is no model, entries show too
/// little.
pub(super) fn advice(
    newest: &Frame,
    converging: Option<(String, EventTime)>,
    has_model: bool,
) -> SamplingAdvice {
    let seen_ratio = seen_ratio(newest);
    let all = |reason, until| SamplingAdvice { trace_ratio: Some(1.0), reason, until, seen_ratio };
    if let Some((reason, until)) = converging {
        return all(reason, Some(until));
    }
    if !has_model {
        return all("there is no model yet".into(), None);
    }
    match newest.rpcs.iter().filter(|r| shows_little(r)).min_by_key(|r| r.count) {
        Some(rpc) => SamplingAdvice {
            trace_ratio: Some((MARGIN * SEEN_MIN / rpc.count as f64).min(1.0)),
            reason: format!(
                "of about {} requests of {} in an interval {:.0} are traced; a 99th percentile needs {SEEN_MIN}",
                rpc.count,
                rpc.key,
                seen(rpc),
            ),
            until: None,
            seen_ratio,
        },
        None => SamplingAdvice {
            trace_ratio: None,
            reason: "the model knows the application as it is".into(),
            until: None,
            seen_ratio,
        },
    }
}

fn seen(rpc: &RpcWindow) -> f64 {
    rpc.count as f64 * f64::from(rpc.seen_ratio)
}

/// Share of all requests that was seen; `None` when there were none.
fn seen_ratio(frame: &Frame) -> Option<f64> {
    let all: u64 = frame.rpcs.iter().map(|r| r.count).sum();
    (all > 0).then(|| frame.rpcs.iter().map(seen).sum::<f64>() / all as f64)
}

/// Whether there are requests enough at an entry, where QoS is measured, and too few of them are traced.
fn shows_little(rpc: &RpcWindow) -> bool {
    rpc.key.is_entry() && rpc.count as f64 >= SEEN_MIN && seen(rpc) < SEEN_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Interval, RpcKey, RpcKind};

    fn frame(rpcs: &[(&str, u64, f32)]) -> Frame {
        let rpc = |(caller, count, seen_ratio): &(&str, u64, f32)| RpcWindow {
            key: RpcKey::new(caller, "", "front", &format!("op-{count}")),
            kind: RpcKind::ServerOnly,
            count: *count,
            failed: 0,
            seen_ratio: *seen_ratio,
            client: Default::default(),
            server: Default::default(),
            request: Default::default(),
            response: Default::default(),
        };
        let interval = Interval { start: EventTime(0), end: EventTime(1) };
        let rpcs = rpcs.iter().map(rpc).collect();
        Frame { interval, rpcs, services: Vec::new(), completeness: 1.0 }
    }

    #[test]
    fn an_entry_with_requests_enough_and_traces_too_few_wants_more_of_them() {
        for (rpcs, ratio) in [
            // All are traced: more there are not.
            (&[("user", 50, 1.0), ("user", 5000, 1.0)][..], None),
            (&[("user", 5000, 0.1)][..], None),
            (&[("user", 5000, 0.01)][..], Some(0.04)),
            (&[("user", 5000, 0.01), ("user", 1000, 0.01)][..], Some(0.2)),
            (&[("user", 150, 0.1)][..], Some(1.0)),
            // Too few by themselves, and not where QoS is measured.
            (&[("user", 99, 0.1), ("cart", 5000, 0.001)][..], None),
        ] {
            let advice = advice(&frame(rpcs), None, true);
            assert_eq!(advice.trace_ratio, ratio, "{rpcs:?}: {}", advice.reason);
        }
        let reason = advice(&frame(&[("user", 5000, 0.01)]), None, true).reason;
        assert!(reason.contains("about 5000") && reason.contains(" 50 are traced"), "{reason}");
    }

    #[test]
    fn changes_and_the_first_model_want_all_of_them_however_many_are_seen() {
        let frame = frame(&[("user", 300, 1.0), ("cart", 100, 0.2)]);
        let change = advice(&frame, Some(("cart is new".into(), EventTime(7))), true);
        assert_eq!((change.trace_ratio, change.until), (Some(1.0), Some(EventTime(7))));
        assert!((change.seen_ratio.unwrap() - 0.8).abs() < 1e-6);
        assert_eq!(advice(&frame, None, false).trace_ratio, Some(1.0));
    }
}
