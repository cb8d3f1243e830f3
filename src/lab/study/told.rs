//! A violation that was not answered right, in words.

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
        format!("{} {resource} (P {:.2}, {:.0} ms)", c.service, c.probability, c.counterfactual_ms)
    });
    let start = case.verdict.interval.map(|i| i.start.to_string()).unwrap_or_default();
    Some(format!(
        "{} {start} {}\n  injected: {}\n  to blame, {} of: {}\n  named: {}",
        spec.name,
        if is_right { "inexact" } else { "wrong" },
        names(&minute.faults),
        if blame.alternatives { "any" } else { "all" },
        names(&blame.faults),
        named.collect::<Vec<_>>().join(", ")
    ))
}
