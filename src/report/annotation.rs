//! A diagnosis as a region on a Grafana panel; shared by push and pull.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::board::FIX_NOTE;
use crate::data::{AlertStatus, Diagnosis, Outcome};

/// Bytes all tags of one annotation may have together; Grafana's default is 500.
const TAGS_MAX: usize = 450;

/// A region annotation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Annotation {
    /// Start, milliseconds since the epoch.
    pub time: i64,
    /// End, milliseconds since the epoch.
    pub time_end: i64,
    /// One line.
    pub title: String,
    /// The diagnosis in words.
    pub text: String,
    /// For filters.
    pub tags: Vec<String>,
}

impl Annotation {
    /// Tells regions apart, also after a restart. Another release of Rust may hash otherwise; then
    /// a region is pushed once more.
    pub fn fingerprint(&self) -> i64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish().cast_signed()
    }
}

/// The annotation of `d`; `None` while there is nothing to show on a graph.
pub fn annotation(d: &Diagnosis) -> Option<Annotation> {
    match d.outcome? {
        Outcome::RootCause | Outcome::Unexplained | Outcome::NoModel => {}
        Outcome::QosMet | Outcome::NotEnoughData => return None,
    }
    let interval = d.interval?;
    let time = interval.start.0.min(d.alert.key.starts_at.0);
    let time_end = d.alert.ends_at.map_or(interval.end.0, |e| e.0).max(time);
    Some(Annotation { time, time_end, title: title(d), text: text(d), tags: tags(d) })
}

/// The diagnosis in words, and what is done about it.
fn text(d: &Diagnosis) -> String {
    match d.notes.get(FIX_NOTE) {
        Some(fix) => format!("{} {fix}", d.text),
        None => d.text.clone(),
    }
}

fn title(d: &Diagnosis) -> String {
    match d.root_causes.as_slice() {
        [] => format!(
            "Sage: {}",
            if d.outcome == Some(Outcome::NoModel) { "no model yet" } else { "unexplained" }
        ),
        causes => {
            let names: Vec<String> = causes
                .iter()
                .map(|c| match c.resource {
                    Some(r) => format!("{} {r}", c.service),
                    None => c.service.clone(),
                })
                .collect();
            format!("Sage: {}", names.join(" + "))
        }
    }
}

fn tags(d: &Diagnosis) -> Vec<String> {
    let mut tags = vec!["sage".to_string(), tag_of(&d.id)];
    let status = match d.alert.status {
        AlertStatus::Firing => "firing",
        AlertStatus::Resolved => "resolved",
    };
    tags.push(format!("status:{status}"));
    tags.extend(d.qos.iter().map(|q| format!("service:{}", q.service)));
    for cause in &d.root_causes {
        tags.push(format!("root_cause:{}", cause.service));
        tags.extend(cause.resource.map(|r| format!("resource:{r}")));
    }
    let mut bytes = 0;
    tags.retain(|t| {
        bytes += t.len();
        bytes <= TAGS_MAX
    });
    tags
}

/// The tag by which the annotation of a diagnosis is found again.
pub fn tag_of(id: &str) -> String {
    format!("sage_diagnosis:{id}")
}
