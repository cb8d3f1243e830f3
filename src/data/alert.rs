//! An alert as Alertmanager delivers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::EventTime;

/// Whether the alert still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// It holds.
    Firing,
    /// It has ended.
    Resolved,
}

/// What makes two deliveries the same alert: HA pairs and repeats send it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertKey {
    /// Alertmanager's hash of the labels.
    pub fingerprint: String,
    /// When the alert began to fire.
    pub starts_at: EventTime,
}

/// One alert of a webhook body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Identity.
    #[serde(flatten)]
    pub key: AlertKey,
    /// Firing or resolved.
    pub status: AlertStatus,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations; some carry the QoS target.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When it ended, once resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<EventTime>,
}

/// An entry of a map of texts, beside the texts.
const ENTRY_BYTES: usize = 2 * size_of::<String>() + 16;

impl Alert {
    /// What it takes in memory, about.
    pub fn held_bytes(&self) -> usize {
        let texts = |all: &BTreeMap<String, String>| -> usize {
            all.iter().map(|(name, value)| ENTRY_BYTES + name.len() + value.len()).sum()
        };
        let maps = texts(&self.labels) + texts(&self.annotations);
        size_of::<Self>() + self.key.fingerprint.len() + maps
    }

    /// A label, or else an annotation, of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.labels.get(name).or_else(|| self.annotations.get(name)).map(String::as_str)
    }
}
