//! A diagnosis in words, as a colleague would put it.

use crate::data::{
    Diagnosis, DiagnosisState, MetricEvidence, Outcome, QosObservation, Resource, RootCause,
};

/// Metrics named per culprit.
const METRICS: usize = 2;

/// The text of `d`.
pub fn describe(d: &Diagnosis) -> String {
    if d.state == DiagnosisState::Running {
        return "Looking into it.".into();
    }
    let opening = d.qos.as_ref().map_or_else(String::new, opening);
    let rest = match d.outcome {
        None => {
            format!("This diagnosis failed: {}.", d.error.as_deref().unwrap_or("unknown error"))
        }
        Some(Outcome::RootCause) => causes(d),
        Some(Outcome::QosMet) => {
            "No closed interval around the alert misses the target; nothing to explain.".into()
        }
        Some(Outcome::Unexplained) => unexplained(d),
        Some(Outcome::NoModel) => {
            format!("There is no trained model yet.{}", second_opinion(d))
        }
        Some(Outcome::NotEnoughData) => {
            let why = ["range", "model", "target"].iter().find_map(|n| d.notes.get(*n));
            format!("Not enough data to say: {}.", why.map_or("no reason given", String::as_str))
        }
    };
    format!("{opening}{rest}")
}

fn unexplained(d: &Diagnosis) -> String {
    let why = d.notes.get("model").map_or_else(
        || {
            "No service, had it been normal, would have kept the target. Look at the load and at what \
             the metrics do not show."
                .to_string()
        },
        |note| format!("No cause can be named: {note}."),
    );
    format!("{why}{}{}{}", load(d), strangers(d), second_opinion(d))
}

/// RPCs that the model was not trained on.
fn strangers(d: &Diagnosis) -> String {
    d.notes.get("rpcs").map_or_else(String::new, |note| format!(" RPCs: {note}."))
}

fn opening(q: &QosObservation) -> String {
    let (quantile, service) = (percent(q.quantile), &q.service);
    format!("{quantile} of {service} is {} (target {}). ", ms(q.observed_ms), ms(q.target_ms))
}

fn causes(d: &Diagnosis) -> String {
    let quantile = d.qos.as_ref().map_or_else(|| "It".into(), |q| percent(q.quantile));
    let mut text = match d.root_causes.as_slice() {
        [only] => {
            format!(
                "If {} had been normal it would be {}.",
                subject(only),
                ms(only.counterfactual_ms)
            )
        }
        several => {
            let names: Vec<String> = several.iter().map(subject).collect();
            let probability = several.first().map_or(0.0, |c| c.probability);
            let hope = if probability < 0.2 {
                format!(
                    "most of the excess would be gone, but {quantile} would still miss the target"
                )
            } else {
                format!("{quantile} would meet the target with probability {probability:.2}")
            };
            format!("It takes {} together: with all of them normal {hope}.", join(&names))
        }
    };
    for cause in &d.root_causes {
        text.push(' ');
        text.push_str(&evidence(cause));
    }
    if let Some(first) = d.root_causes.first()
        && let Some(top) = d.robust_baseline.first()
        && top.service != first.service
    {
        text.push_str(&format!(" (What deviates most by itself is {}.)", top.service));
    }
    if let Some(note) = d.notes.get("metrics") {
        text.push_str(&format!(" But {note}: it may be a shortage as well."));
    }
    text.push_str(&load(d));
    text.push_str(&strangers(d));
    text
}

/// Whether far more is asked for than usual.
fn load(d: &Diagnosis) -> String {
    d.notes.get("load").map_or_else(String::new, |note| format!(" Load: {note}."))
}

fn subject(cause: &RootCause) -> String {
    match cause.resource {
        Some(resource) => format!("{} of {}", name(resource), cause.service),
        None => cause.service.clone(),
    }
}

fn evidence(cause: &RootCause) -> String {
    let place = match (cause.replicas.as_slice(), cause.nodes.as_slice()) {
        ([], _) => String::new(),
        ([replica], [node]) => format!(" on {replica} ({node})"),
        ([replica], _) => format!(" on {replica}"),
        (several, _) => format!(" on {} replicas", several.len()),
    };
    let metrics: Vec<String> = cause.metrics.iter().take(METRICS).map(metric).collect();
    match (cause.resource, metrics.is_empty()) {
        (None, true) => format!(
            "No resource metric of {} is abnormal{place}: look for a software bug, a lock, a pool \
             that is too small, or a bad release.",
            cause.service
        ),
        (None, false) => format!(
            "{} is slow by itself{place}, but no resource explains it ({}): look for a software bug.",
            cause.service,
            join(&metrics)
        ),
        (Some(resource), true) => {
            format!("{} of {}{place} stands out.", name(resource), cause.service)
        }
        (Some(_), false) => format!("{}: {}{place}.", cause.service, join(&metrics)),
    }
}

fn metric(m: &MetricEvidence) -> String {
    format!("{} is {} (normally {})", m.name, number(m.observed), number(m.normal))
}

fn second_opinion(d: &Diagnosis) -> String {
    let names: Vec<String> = d.robust_baseline.iter().take(3).map(|s| s.service.clone()).collect();
    if names.is_empty() {
        return " Nothing is known about what is normal.".into();
    }
    format!(" What deviates most from normal, by itself: {}.", names.join(", "))
}

fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "CPU",
        Resource::Memory => "memory",
        Resource::Disk => "disk",
        Resource::Network => "network",
    }
}

fn join(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn percent(quantile: f64) -> String {
    let p = (quantile * 1000.0).round() / 10.0;
    format!("p{p}")
}

/// Milliseconds with as many digits as matter.
pub fn ms(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1} s", v / 1000.0),
        v if v >= 10.0 => format!("{v:.0} ms"),
        v => format!("{v:.1} ms"),
    }
}

/// A metric value with a size prefix.
fn number(value: f64) -> String {
    let (scaled, prefix) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    match scaled.abs() {
        v if v >= 100.0 => format!("{scaled:.0}{prefix}"),
        v if v >= 1.0 => format!("{scaled:.1}{prefix}"),
        v if v >= 0.01 || v == 0.0 => format!("{scaled:.2}{prefix}"),
        v if v >= 0.0001 => format!("{scaled:.4}{prefix}"),
        _ => format!("{scaled:.0e}{prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::data::{Alert, AlertKey, AlertStatus, BaselineScore, EventTime};

    fn diagnosis(outcome: Outcome, root_causes: Vec<RootCause>) -> Diagnosis {
        let key = AlertKey { fingerprint: "f".into(), starts_at: EventTime(0) };
        let alert = Alert {
            key,
            status: AlertStatus::Firing,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ends_at: None,
        };
        let service = "front".to_string();
        Diagnosis {
            id: "f-0".into(),
            state: DiagnosisState::Done,
            outcome: Some(outcome),
            alert,
            interval: None,
            qos: Some(QosObservation {
                service,
                quantile: 0.99,
                target_ms: 28.0,
                observed_ms: 61.2,
            }),
            root_causes,
            services: vec![],
            path: vec![],
            robust_baseline: vec![BaselineScore { service: "db".into(), score: 9.0 }],
            graph_completeness: 1.0,
            model: None,
            took_ms: 1.0,
            text: String::new(),
            error: None,
            notes: BTreeMap::new(),
        }
    }

    fn cause(service: &str, resource: Option<Resource>, metrics: Vec<MetricEvidence>) -> RootCause {
        RootCause {
            service: service.into(),
            resource,
            probability: 0.97,
            counterfactual_ms: 21.4,
            metrics,
            replicas: vec!["db-0".into()],
            nodes: vec!["n1".into()],
        }
    }

    #[test]
    fn a_cause_is_told_with_what_it_would_have_been_and_what_shows_it() {
        let name = "cpu_throttled_ratio".into();
        let throttled = MetricEvidence { name, observed: 0.71, normal: 0.02 };
        let d =
            diagnosis(Outcome::RootCause, vec![cause("db", Some(Resource::Cpu), vec![throttled])]);
        let expected = "p99 of front is 61 ms (target 28 ms). If CPU of db had been normal it would be \
                        21 ms. db: cpu_throttled_ratio is 0.71 (normally 0.02) on db-0 (n1).";
        assert_eq!(describe(&d), expected);
    }

    #[test]
    fn what_the_metrics_cannot_show_and_a_load_beyond_the_usual_are_said() {
        let mut d = diagnosis(Outcome::RootCause, vec![cause("db", None, vec![])]);
        d.notes.insert("metrics".into(), "no metric that is sent would show loss of db".into());
        d.notes.insert("load".into(), "front gets 2.5 times as many requests as usual".into());
        let expected = " But no metric that is sent would show loss of db: it may be a shortage as well. \
                        Load: front gets 2.5 times as many requests as usual.";
        assert!(describe(&d).ends_with(expected), "{}", describe(&d));
        d.outcome = Some(Outcome::Unexplained);
        assert!(
            describe(&d).contains("do not show. Load: front gets 2.5 times"),
            "{}",
            describe(&d)
        );
    }

    #[test]
    fn a_bug_is_no_resource_and_several_causes_are_honest_about_their_chance() {
        let bug = describe(&diagnosis(Outcome::RootCause, vec![cause("db", None, vec![])]));
        assert!(bug.contains("No resource metric of db is abnormal on db-0 (n1)"), "{bug}");
        let mut both = vec![cause("db", None, vec![]), cause("cart", Some(Resource::Disk), vec![])];
        let likely = describe(&diagnosis(Outcome::RootCause, both.clone()));
        assert!(likely.contains("db and disk of cart together"), "{likely}");
        assert!(likely.contains("would meet the target with probability 0.97"), "{likely}");
        both[0].probability = 0.01;
        let hopeless = describe(&diagnosis(Outcome::RootCause, both));
        assert!(hopeless.contains("p99 would still miss the target"), "{hopeless}");
    }

    #[test]
    fn what_cannot_be_said_is_said_to_be_so() {
        let mut d = diagnosis(Outcome::Unexplained, vec![]);
        assert!(describe(&d).contains("No service, had it been normal"));
        d.notes.insert("model".into(), "it has yet to learn".into());
        d.notes.insert("rpcs".into(), "1 that the model does not know: a -> b".into());
        let text = describe(&d);
        assert!(text.contains("No cause can be named: it has yet to learn."), "{text}");
        assert!(text.contains("RPCs: 1 that the model does not know: a -> b."), "{text}");
        let mut d = diagnosis(Outcome::NoModel, vec![]);
        assert!(describe(&d).ends_with("What deviates most from normal, by itself: db."));
        d.robust_baseline.clear();
        assert!(describe(&d).ends_with("Nothing is known about what is normal."));
    }

    #[test]
    fn numbers_have_as_many_digits_as_matter() {
        let shown = [0.0, 0.71, 0.009, 0.00004, 3.25, 799.0, 12_345.0, 1.7e8, 2e9].map(number);
        assert_eq!(
            shown,
            ["0.00", "0.71", "0.0090", "4e-5", "3.2", "799", "12.3k", "170M", "2.0G"]
        );
        assert_eq!([3.21, 61.2, 12_340.0].map(ms), ["3.2 ms", "61 ms", "12.3 s"]);
    }
}
