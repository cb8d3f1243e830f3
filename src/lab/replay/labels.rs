//! When something was injected, and when nothing was.

use std::collections::BTreeMap;
use std::path::Path;

use super::recording::{Columns, Error};
use crate::data::{EventTime, Resource};
use crate::stats::median;

/// An injected fault lasts this long, milliseconds.
pub(super) const FAULT_MS: i64 = 180_000;

/// One injected fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Name in the table.
    pub id: String,
    /// When it was injected.
    pub at: EventTime,
    /// Where.
    pub service: String,
    /// What; `None` for faults in the code.
    pub resource: Option<Resource>,
}

/// All labels.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Injected faults, in order.
    pub faults: Vec<Fault>,
    /// Minutes that look wrong although nothing was injected, as the recording lists them.
    pub anomalies: Vec<EventTime>,
    /// Minutes in which some link is far slower than usual, by the recording's own table.
    pub slow_links: Vec<(EventTime, EventTime)>,
}

impl Labels {
    /// Reads `faults.csv` and `unlabelled_anomalies.csv`.
    ///
    /// # Errors
    /// When one is not a table.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let mut labels = Self::default();
        table(&root.join("faults.csv"), |columns, row| {
            let resource = match columns.text(row, "resource")? {
                "cpu" => Some(Resource::Cpu),
                "memory" => Some(Resource::Memory),
                "network" => Some(Resource::Network),
                "disk" => Some(Resource::Disk),
                _ => None,
            };
            labels.faults.push(Fault {
                id: columns.text(row, "fault_id")?.to_string(),
                at: EventTime(columns.number::<i64>(row, "inject_epoch")? * 1000),
                service: columns.text(row, "service")?.to_string(),
                resource,
            });
            Ok(())
        })?;
        let anomalies = root.join("unlabelled_anomalies.csv");
        if anomalies.is_file() {
            table(&anomalies, |columns, row| {
                let text = columns.text(row, "time_utc")?.replace(' ', "T") + "Z";
                let time = EventTime::parse_rfc3339(&text).map_err(|e| columns.fault(e))?;
                labels.anomalies.push(time);
                Ok(())
            })?;
        }
        labels.faults.sort_by_key(|f| f.at);
        labels.slow_links = slow_links(root)?;
        Ok(labels)
    }

    /// Whether that time looks wrong although no label says so: some link is much slower than usual.
    pub fn looks_wrong(&self, start: EventTime, end: EventTime) -> bool {
        self.slow_links.iter().any(|(from, to)| *from < end && start < *to)
    }

    /// Whether nothing is known to be wrong between `start` and `end`: no fault and its aftermath,
    /// no unlabelled anomaly nearby.
    pub fn is_quiet(&self, start: EventTime, end: EventTime) -> bool {
        const NEARBY_MS: i64 = 180_000;
        let clear_of_anomalies =
            self.anomalies.iter().all(|a| a.0 + NEARBY_MS < start.0 || a.0 - NEARBY_MS > end.0);
        self.is_free_of_faults(start, end) && clear_of_anomalies
    }

    /// Whether nothing was injected between `start` and `end`, nor shortly before.
    pub fn is_free_of_faults(&self, start: EventTime, end: EventTime) -> bool {
        const AFTERMATH_MS: i64 = 180_000;
        self.faults.iter().all(|f| end.0 <= f.at.0 || start.0 >= f.at.0 + FAULT_MS + AFTERMATH_MS)
    }
}

/// A link this many times slower than its median, and by at least so many milliseconds, is in
/// trouble.
const SLOW: (f64, f64) = (10.0, 50.0);

/// (date, minute) as the tables name it.
type Minute = (String, String);
/// (caller, callee)
type Link = (String, String);

/// Minutes with a link in trouble, from `edge_minute_ms.csv` and `minute_summary.csv`.
fn slow_links(root: &Path) -> Result<Vec<(EventTime, EventTime)>, Error> {
    let (summary, edges) = (root.join("minute_summary.csv"), root.join("edge_minute_ms.csv"));
    if !summary.is_file() || !edges.is_file() {
        return Ok(Vec::new());
    }
    let mut spans: BTreeMap<Minute, (EventTime, EventTime)> = BTreeMap::new();
    let minute = |columns: &Columns, row: &csv::StringRecord| -> Result<Minute, Error> {
        Ok((columns.text(row, "date")?.to_string(), columns.text(row, "minute")?.to_string()))
    };
    table(&summary, |columns, row| {
        let time = |name: &str| -> Result<EventTime, Error> {
            let text = columns.text(row, name)?.replace(' ', "T") + "Z";
            EventTime::parse_rfc3339(&text).map_err(|e| columns.fault(e))
        };
        spans.insert(minute(columns, row)?, (time("tmin")?, time("tmax")?));
        Ok(())
    })?;
    let mut gaps: BTreeMap<Link, Vec<(Minute, f64)>> = BTreeMap::new();
    table(&edges, |columns, row| {
        let link =
            (columns.text(row, "parent")?.to_string(), columns.text(row, "child")?.to_string());
        let gap = columns.number(row, "gap_p50")?;
        gaps.entry(link).or_default().push((minute(columns, row)?, gap));
        Ok(())
    })?;
    let mut slow = Vec::new();
    for link in gaps.into_values() {
        let usual = median(link.iter().map(|(_, gap)| *gap)).unwrap_or(0.0);
        let wrong = link.into_iter().filter(|(_, gap)| *gap > SLOW.0 * usual && *gap > SLOW.1);
        slow.extend(wrong.filter_map(|(minute, _)| spans.get(&minute).copied()));
    }
    Ok(slow)
}

fn table(
    path: &Path,
    mut row: impl FnMut(&Columns, &csv::StringRecord) -> Result<(), Error>,
) -> Result<(), Error> {
    let fail = |source| Error::Table { path: path.into(), source };
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let columns = Columns::of(&mut reader, path)?;
    for record in reader.records() {
        row(&columns, &record.map_err(fail)?)?;
    }
    Ok(())
}
