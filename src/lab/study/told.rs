//! A violation that was not answered right, in words.

use crate::data::MetricEvidence;
use crate::lab::Case;
use crate::lab::sim::{AppSpec, Fault};

/// What happened and what was said, several lines; `None` when the answer was right and exact.
pub(super) fn told(spec: &AppSpec, case: &Case) -> Option<String> {
    let (blame, minute) = (&case.violation.blame, &case.violation.minute);
    let first = case.named.first();
    let is_right = first.is_some_and(|(s, r)| blame.names_resource(*s, *r));
    let services: Vec<usize> = case.named.iter().map(|(s, _)| *s).collect();
    if is_right && blame.is_exactly(&services) {
        return None;
    }
    let names = |faults: &[Fault]| -> String {
        let name = |f: &Fault| format!("{} {}", spec.services[f.service].name, f.kind);
        faults.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let named = case.verdict.root_causes.iter().map(|c| {
        let resource = c.resource.map_or_else(|| "not a resource".to_string(), |r| r.to_string());
        let metric =
            |m: &MetricEvidence| format!("{} {:.3}, normally {:.3}", m.name, m.observed, m.normal);
        let metrics: Vec<String> = c.metrics.iter().map(metric).collect();
        let (p, ms, metrics) = (c.probability, c.counterfactual_ms, metrics.join("; "));
        format!("\n    {} {resource} (P {p:.2}, {ms:.0} ms) {metrics}", c.service)
    });
    let start = case.verdict.interval.map(|i| i.start.to_string()).unwrap_or_default();
    Some(format!(
        "{} {start} {}\n  injected: {}\n  to blame, {} of: {}\n  named:{}",
        spec.name,
        if is_right { "inexact" } else { "wrong" },
        names(&minute.faults),
        if blame.alternatives { "any" } else { "all" },
        names(&blame.faults),
        named.collect::<String>()
    ))
}
