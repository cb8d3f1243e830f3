//! A minute of recorded spans.
//!
//! The table has no span kinds. They follow from the pods: a span whose parent is on another pod is
//! a server half, one with a child on another pod a client half, the rest is internal.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use super::recording::{Columns, Error, service_of};
use crate::data::{Half, Name, Span};

struct Raw {
    trace: u128,
    id: u64,
    parent: u64,
    pod: Name,
    op: Name,
    start_ns: u64,
    end_ns: u64,
}

/// Reads one table.
///
/// # Errors
/// When it is not one.
pub(super) fn read(path: &Path) -> Result<Vec<Span>, Error> {
    let file = File::open(path).map_err(|source| Error::File { path: path.into(), source })?;
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let columns = Columns::of(&mut reader, path)?;
    let mut names: HashMap<String, Name> = HashMap::new();
    let mut name =
        |text: &str| names.entry(text.to_string()).or_insert_with(|| text.into()).clone();
    let mut raw = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|source| Error::Table { path: path.into(), source })?;
        let hex = |column: &str| -> Result<u128, Error> {
            let text = columns.text(&row, column)?;
            u128::from_str_radix(text, 16)
                .map_err(|_| columns.fault(format!("{column} = {text:?} is no id")))
        };
        let parent = match columns.text(&row, "ParentID")? {
            "root" => 0,
            _ => hex("ParentID")?,
        };
        raw.push(Raw {
            trace: hex("TraceID")?,
            id: low(hex("SpanID")?),
            parent: low(parent),
            pod: name(columns.text(&row, "PodName")?),
            op: name(columns.text(&row, "OperationName")?),
            start_ns: columns.number(&row, "StartTimeUnixNano")?,
            end_ns: columns.number(&row, "EndTimeUnixNano")?,
        });
    }
    Ok(spans(&raw))
}

/// Span ids have 64 bits.
fn low(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).unwrap_or(0)
}

fn spans(raw: &[Raw]) -> Vec<Span> {
    let pods: HashMap<(u128, u64), &Name> = raw.iter().map(|r| ((r.trace, r.id), &r.pod)).collect();
    let calls_out: HashSet<(u128, u64)> = raw
        .iter()
        .filter(|r| pods.get(&(r.trace, r.parent)).is_some_and(|pod| **pod != r.pod))
        .map(|r| (r.trace, r.parent))
        .collect();
    let mut services: HashMap<&Name, Name> = HashMap::new();
    let mut spans = Vec::with_capacity(raw.len());
    for r in raw {
        let parent = pods.get(&(r.trace, r.parent));
        let half = match parent {
            _ if r.parent == 0 => Half::Server,
            Some(pod) if **pod != r.pod => Half::Server,
            _ if calls_out.contains(&(r.trace, r.id)) => Half::Client,
            _ => Half::Internal,
        };
        let service = services.entry(&r.pod).or_insert_with(|| service_of(&r.pod).into());
        spans.push(Span {
            trace: r.trace,
            id: r.id,
            parent: r.parent,
            half,
            start_ns: r.start_ns,
            end_ns: r.end_ns,
            service: service.clone(),
            replica: r.pod.clone(),
            node: Name::default(),
            op: r.op.clone(),
            peer: None,
            failed: false,
            weight: None,
        });
    }
    spans
}
