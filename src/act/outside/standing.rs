//! How an object stands, compared with what a change knows. Pure.

use serde_json::Value;

use super::amount::means_same;
use crate::data::{Edit, Outside};

/// How an object stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing<'a> {
    /// As it was when this was planned.
    Old,
    /// All of it as we set it.
    Ours,
    /// Some fields as we set them; those, and what somebody else has made of the others.
    Mixed(Vec<&'a Edit>, String),
    /// None as we set it, and not as it was: what somebody else has made of it.
    Foreign(String),
    /// Not there, or another object under the same name.
    Gone,
}

/// Compares.
pub(super) fn standing<'a>(change: &'a Outside, object: Option<&Value>) -> Standing<'a> {
    let Some(object) = object else { return Standing::Gone };
    if change.same.iter().any(|fact| object.pointer(&fact.at) != Some(&fact.is)) {
        return Standing::Gone;
    }
    let is_at = |edit: &Edit, value: &Value| {
        object.pointer(&edit.at).is_some_and(|now| means_same(now, value))
    };
    let ours: Vec<&Edit> = change.edits.iter().filter(|e| is_at(e, &e.to)).collect();
    let old = change.edits.iter().filter(|e| is_at(e, &e.from)).count();
    if ours.len() == change.edits.len() {
        return Standing::Ours;
    }
    if old == change.edits.len() {
        return Standing::Old;
    }
    let others = change.edits.iter().filter(|e| !is_at(e, &e.to) && !is_at(e, &e.from));
    let words: Vec<String> = others
        .map(|e| {
            let now = object.pointer(&e.at).map_or_else(|| "nothing".into(), Value::to_string);
            format!("{} to {now}", e.at)
        })
        .collect();
    let words = words.join(", ");
    if ours.is_empty() { Standing::Foreign(words) } else { Standing::Mixed(ours, words) }
}
