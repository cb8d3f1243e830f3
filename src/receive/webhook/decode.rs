//! Webhook JSON -> [`Alert`]s. Lenient: unknown fields are ignored, missing ones have defaults.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

use crate::data::{Alert, AlertKey, AlertStatus, EventTime};
use crate::receive::error::Rejection;

/// Alerts in one body beyond this are refused.
const ALERTS_MAX: usize = 10_000;
/// Bytes of the labels and annotations of an alert, fingerprint included. Labels say which alert it is: beyond
/// this the delivery is refused. Annotations are prose: they are cut to what is left.
const TEXTS_MAX: usize = 16 << 10;
/// Bytes of one annotation.
const ANNOTATION_MAX: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    version: Option<String>,
    alerts: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    status: AlertStatus,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: EventTime,
    #[serde(default)]
    ends_at: Option<EventTime>,
    #[serde(default)]
    fingerprint: String,
}

/// Reads a body.
///
/// A group that is `firing` may hold resolved alerts, so only the status of each alert counts.
///
/// # Errors
/// [`Rejection::Malformed`] with the JSON path of the fault.
pub fn decode_webhook(bytes: &[u8]) -> Result<Vec<Alert>, Rejection> {
    let fail = |why: String| Rejection::Malformed { what: "Alertmanager webhook", why };
    if bytes.trim_ascii_start().first().is_some_and(|b| *b != b'{') {
        return Err(fail("not a JSON object of version \"4\" with a list of alerts".into()));
    }
    let payload: Payload = serde_json::from_slice(bytes).map_err(|e| fail(e.to_string()))?;
    match payload.version.as_deref() {
        Some("4") | None => {}
        Some(other) => return Err(fail(format!("version {other:?}; only \"4\" is known"))),
    }
    if payload.alerts.len() > ALERTS_MAX {
        return Err(fail(format!("{} alerts; at most {ALERTS_MAX}", payload.alerts.len())));
    }
    let alerts = payload.alerts.into_iter().map(|item| alert(item).map_err(fail));
    alerts.collect()
}

fn alert(item: Item) -> Result<Alert, String> {
    let labels = item.labels.iter().map(|(name, value)| name.len() + value.len());
    let texts = item.fingerprint.len() + labels.sum::<usize>();
    let room = TEXTS_MAX.checked_sub(texts).ok_or_else(|| {
        format!("an alert whose labels are {texts} bytes; at most {TEXTS_MAX} are taken")
    })?;
    let fingerprint =
        if item.fingerprint.is_empty() { hash_of(&item.labels) } else { item.fingerprint };
    // While it fires, Alertmanager sends the year 1.
    let ends_at = item.ends_at.filter(|t| t.0 > 0 && item.status == AlertStatus::Resolved);
    Ok(Alert {
        key: AlertKey { fingerprint, starts_at: item.starts_at },
        status: item.status,
        labels: item.labels,
        annotations: cut(item.annotations, room),
        ends_at,
    })
}

/// The annotations, cut to what may be kept of each and to `room` bytes of all, the longest first.
fn cut(annotations: BTreeMap<String, String>, mut room: usize) -> BTreeMap<String, String> {
    let mut all: Vec<(String, String)> = annotations.into_iter().collect();
    all.sort_by_key(|(_, text)| text.len());
    let mut kept = BTreeMap::new();
    for (name, mut text) in all {
        let Some(left) = room.checked_sub(name.len()) else { continue };
        text.truncate(text.floor_char_boundary(left.min(ANNOTATION_MAX)));
        room = left - text.len();
        kept.insert(name, text);
    }
    kept
}

/// Stands in for Alertmanager's fingerprint when a hand-written body has none.
fn hash_of(labels: &BTreeMap<String, String>) -> String {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_hand_written_body_is_enough() {
        let body = br#"{"alerts":[{"status":"firing","labels":{"service":"cart"},
            "startsAt":"2026-08-01T10:00:00Z"}]}"#;
        let alerts = decode_webhook(body).unwrap();
        assert_eq!(alerts[0].text("service"), Some("cart"));
        assert_eq!(alerts[0].key.fingerprint.len(), 16);
        assert_eq!(alerts[0].ends_at, None);
    }

    #[test]
    fn long_annotations_are_cut_and_long_labels_are_refused() {
        let body = |label: &str, annotations: serde_json::Value| {
            let alert = serde_json::json!({"status": "firing", "labels": {"service": label},
                "annotations": annotations, "startsAt": "2026-08-01T10:00:00Z"});
            decode_webhook(&serde_json::to_vec(&serde_json::json!({"alerts": [alert]})).unwrap())
        };
        let long = "é".repeat(10_000);
        let many = serde_json::json!({"a": long, "b": long, "c": long, "d": long, "e": long,
            "sage_target": "5"});
        let alert = &body("cart", many).unwrap()[0];
        assert_eq!(alert.annotations["a"], "é".repeat(ANNOTATION_MAX / 2));
        let texts = |all: &BTreeMap<String, String>| -> usize {
            all.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        assert!(texts(&alert.labels) + texts(&alert.annotations) <= TEXTS_MAX);
        assert_eq!(alert.text("sage_target"), Some("5"));
        let refused = body(&long, serde_json::json!({})).unwrap_err().to_string();
        assert!(refused.contains("20007 bytes"), "{refused}");
    }

    #[test]
    fn other_versions_and_broken_json_say_what_is_wrong() {
        let wrong = decode_webhook(br#"{"version":"5","alerts":[]}"#).unwrap_err().to_string();
        assert!(wrong.contains("version \"5\""), "{wrong}");
        let wrong = decode_webhook(br#"{"alerts":[{}]}"#).unwrap_err().to_string();
        assert!(wrong.contains("missing field `status`"), "{wrong}");
    }
}
