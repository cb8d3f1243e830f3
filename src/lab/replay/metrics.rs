//! Recorded pod metrics as the series cAdvisor would have exposed.
//!
//! The tables hold rates and levels, one row a minute. Rates become counters again, because that is
//! what a kubelet exposes and what the windows expect.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::recording::{Columns, Error, service_of};
use crate::data::{EventTime, Labels, Name, Sample, Series};

/// Seconds between two rows.
const STEP_S: f64 = 60.0;
const MIB: f64 = 1_048_576.0;

/// (column, metric, factor, whether it is a rate)
const METRICS: [(&str, &str, f64, bool); 4] = [
    ("CpuUsage(m)", "container_cpu_usage_seconds_total", 0.001, true),
    ("MemoryUsage(Mi)", "container_memory_working_set_bytes", MIB, false),
    ("NetworkReceiveBytes", "container_network_receive_bytes_total", 1.0, true),
    ("NetworkTransmitBytes", "container_network_transmit_bytes_total", 1.0, true),
];

/// (column of use, column of its share of the limit in percent, resource, factor)
const LIMITS: [(&str, &str, &str, f64); 2] = [
    ("CpuUsage(m)", "CpuUsageRate(%)", "cpu", 0.001),
    ("MemoryUsage(Mi)", "MemoryUsageRate(%)", "memory", MIB),
];

/// Reads the tables of all pods; series of one sample each, in order of time.
///
/// # Errors
/// When a table is not one.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Series>, Error> {
    let mut counters: HashMap<(String, &str), f64> = HashMap::new();
    let mut all = Vec::new();
    for path in paths {
        read_table(path, &mut counters, &mut all)?;
    }
    all.sort_by_key(|s: &Series| s.samples[0].time_ms);
    Ok(all)
}

fn read_table(
    path: &Path,
    counters: &mut HashMap<(String, &'static str), f64>,
    all: &mut Vec<Series>,
) -> Result<(), Error> {
    let fail = |source| Error::Table { path: path.into(), source };
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let columns = Columns::of(&mut reader, path)?;
    for row in reader.records() {
        let row = row.map_err(fail)?;
        let pod = columns.text(&row, "PodName")?;
        // The TimeStamp column of one table is wrong; Time never is.
        let time_ms = parse_time(columns.text(&row, "Time")?).map_err(|e| columns.fault(e))?;
        for (column, metric, factor, is_rate) in METRICS {
            // Recordings hold the odd broken cell; a scrape that failed leaves a gap, too.
            let Ok(cell) = columns.number::<f64>(&row, column) else { continue };
            let mut value = cell * factor;
            if is_rate {
                let counter = counters.entry((pod.to_string(), metric)).or_insert(0.0);
                *counter += value * STEP_S;
                value = *counter;
            }
            all.push(one(labels(metric, pod, None), time_ms, value));
        }
        // The table has use and use as a share of the limit, so it has the limit.
        for (used, share, resource, factor) in LIMITS {
            let (used, share) =
                (columns.number::<f64>(&row, used), columns.number::<f64>(&row, share));
            if let (Ok(used), Ok(share)) = (used, share)
                && share > 0.0
            {
                let limit = used * factor / (share / 100.0);
                let metric = "kube_pod_container_resource_limits";
                all.push(one(labels(metric, pod, Some(resource)), time_ms, limit));
            }
        }
    }
    Ok(())
}

fn one(labels: Labels, time_ms: i64, value: f64) -> Series {
    Series { labels, samples: vec![Sample { time_ms, value }].into(), ..Series::default() }
}

fn labels(metric: &str, pod: &str, resource: Option<&str>) -> Labels {
    let fixed = [
        ("__name__", metric),
        ("container", service_of(pod)),
        ("job", "kubelet"),
        ("namespace", "hipster"),
        ("pod", pod),
    ];
    let all = fixed.into_iter().chain(resource.map(|r| ("resource", r)));
    all.map(|(n, v)| (Name::from(n), Name::from(v))).collect()
}

/// `2022-08-22 03:51:19.607158889 +0000 UTC m=+0.11`
fn parse_time(text: &str) -> Result<i64, String> {
    let mut words = text.split(' ');
    let (day, time) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    EventTime::parse_rfc3339(&format!("{day}T{time}Z"))
        .map(|t| t.0)
        .map_err(|e| format!("Time = {text:?}: {e}"))
}
