//! Tables of what load came to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tally::Tally;
use crate::lab::study::{Entry, Report, Table};

/// What one stream of load came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Who was loaded.
    pub receiver: String,
    /// In which language.
    pub protocol: &'static str,
    /// Spans or samples offered a second.
    pub offered_per_s: f64,
    /// How long.
    pub seconds: f64,
    /// What became of the requests.
    pub tally: Tally,
    /// What it dropped after it had acknowledged it, by counter; `None` where it does not tell.
    pub drops: Option<BTreeMap<String, f64>>,
    /// Most memory resident, bytes; `None` where it is not known.
    pub peak_bytes: Option<u64>,
    /// Memory resident at the end, bytes.
    pub resident_bytes: Option<u64>,
    /// Processor time it took, seconds.
    pub cpu_s: Option<f64>,
}

const COLUMNS: [&str; 18] = [
    "receiver",
    "protocol",
    "offered_per_s",
    "taken_per_s",
    "taken_per_cpu_s",
    "p50_ms",
    "p99_ms",
    "p99.9_ms",
    "sent",
    "acknowledged",
    "refused",
    "failed",
    "unsent",
    "dropped",
    "rss_mb",
    "peak_mb",
    "cpu_s",
    "sent_mb",
];

/// Growth of what a sidecar counts as dropped or refused, from two answers of `/api/v1/status`.
pub fn drops(before: &Value, after: &Value) -> BTreeMap<String, f64> {
    let none = serde_json::Map::new();
    let counts = |status: &Value| status["counts"].as_object().unwrap_or(&none).clone();
    let (before, after) = (counts(before), counts(after));
    let is_drop = |name: &str| {
        ["dropped_total", "evicted_total", "overflowed_total"]
            .iter()
            .any(|end| name.split('{').next().unwrap_or("").ends_with(end))
    };
    let grown = after.iter().filter(|(name, _)| is_drop(name)).map(|(name, value)| {
        let was = before.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        (name.clone(), value.as_f64().unwrap_or(0.0) - was)
    });
    grown.filter(|(_, growth)| *growth > 0.0).collect()
}

/// The table, and further ones of answers and drops.
pub fn report(name: &'static str, options: Value, outcomes: &[Outcome]) -> Report {
    let mut table = Table::new(&COLUMNS);
    let mut answers = Table::new(&["receiver", "protocol", "answer", "requests"]);
    let mut dropped = Table::new(&["receiver", "protocol", "counter", "items"]);
    for outcome in outcomes {
        table.row(row(outcome));
        let who = || [outcome.receiver.as_str().into(), outcome.protocol.into()];
        for (status, count) in &outcome.tally.by_status {
            let rest = [status.as_str().into(), Entry::Count(*count)];
            answers.row(who().into_iter().chain(rest).collect());
        }
        for (counter, count) in outcome.drops.iter().flatten() {
            let rest = [counter.as_str().into(), Entry::Number(*count, 0)];
            dropped.row(who().into_iter().chain(rest).collect());
        }
    }
    let mut more = vec![("Answers", answers)];
    if !dropped.rows.is_empty() {
        more.push(("Dropped after it was acknowledged", dropped));
    }
    Report { name, options, table, more, figure: None, details: Vec::new() }
}

fn row(outcome: &Outcome) -> Vec<Entry> {
    let Outcome { tally, seconds, .. } = outcome;
    let mb = |bytes: Option<u64>| Entry::maybe(bytes.map(|b| b as f64 / 1e6), 1);
    let taken = tally.acknowledged as f64;
    let delay = |q| Entry::maybe(tally.delays.quantile_ms(q), 2);
    let cpu = outcome.cpu_s.filter(|s| *s > 0.0);
    vec![
        outcome.receiver.as_str().into(),
        outcome.protocol.into(),
        Entry::Number(outcome.offered_per_s, 0),
        Entry::Number(taken / seconds.max(1e-9), 0),
        Entry::maybe(cpu.map(|s| taken / s), 0),
        delay(0.5),
        delay(0.99),
        delay(0.999),
        Entry::Count(tally.sent),
        Entry::Count(tally.acknowledged),
        Entry::Count(tally.refused),
        Entry::Count(tally.failed),
        Entry::Count(tally.unsent),
        Entry::maybe(outcome.drops.as_ref().map(|d| d.values().fold(0.0, |sum, n| sum + n)), 0),
        mb(outcome.resident_bytes),
        mb(outcome.peak_bytes),
        Entry::maybe(outcome.cpu_s, 2),
        Entry::Number(tally.bytes as f64 / 1e6, 1),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_growth_of_drops_counts() {
        let before = json!({"counts": {"sage_window_dropped_total{item=\"span\"}": 3.0}});
        let after = json!({"counts": {
            "sage_window_dropped_total{item=\"span\"}": 5.0,
            "sage_receive_samples_dropped_total{reason=\"x\"}": 0.0,
            "sage_receive_spans_total": 9.0,
        }});
        let grown = drops(&before, &after);
        assert_eq!(
            grown.into_iter().collect::<Vec<_>>(),
            [("sage_window_dropped_total{item=\"span\"}".to_string(), 2.0)]
        );
    }
}
