//! What the resource says about all of its spans.

use super::attributes::Place;
use super::names::Names;
use crate::data::Name;

/// Who sent spans, and from where.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) service: Name,
    pub(super) replica: Name,
    pub(super) node: Name,
}

impl Origin {
    pub(super) fn new<'a>(place: Place<&'a str>, names: &mut Names<'a>) -> Self {
        let mut name = |text: Option<&'a str>| text.map(|t| names.get(t));
        Self {
            service: name(place.service).unwrap_or_else(|| "unknown_service".into()),
            replica: name(place.replica).unwrap_or_default(),
            node: name(place.node).unwrap_or_default(),
        }
    }
}
