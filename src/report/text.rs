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
    format!("{why}{}{}", strangers(d), second_opinion(d))
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
    text.push_str(&strangers(d));
    text
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
