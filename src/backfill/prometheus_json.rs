//! Answers of the Prometheus HTTP API -> series.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::data::{Name, Sample, Samples, Series};

#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Matrix {
    result_type: String,
    result: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<Json>,
}

fn open<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    let envelope: Envelope<T> =
        serde_json::from_slice(body).map_err(|e| format!("not JSON of Prometheus: {e}"))?;
    match envelope.data {
        Some(data) if envelope.status == "success" => Ok(data),
        _ => Err(format!("Prometheus says: {}: {}", envelope.kind, envelope.error)),
    }
}

/// Series of a matrix, names stored once by `names`, and how many native histograms were left out.
pub(super) fn matrix(body: &[u8], names: &mut Names) -> Result<(Vec<Series>, u64), String> {
    let matrix: Matrix = open(body)?;
    if matrix.result_type != "matrix" {
        return Err(format!("a {} instead of a matrix", matrix.result_type));
    }
    let mut histograms = 0;
    let mut all = Vec::with_capacity(matrix.result.len());
    for stream in matrix.result {
        histograms += stream.histograms.len() as u64;
        if stream.values.is_empty() {
            continue;
        }
        let labels = stream.metric.iter().map(|(n, v)| (names.get(n), names.get(v))).collect();
        let samples: Result<Samples, String> = stream.values.iter().map(sample).collect();
        all.push(Series { labels, samples: samples?, histograms: Vec::new() });
    }
    Ok((all, histograms))
}

fn sample((seconds, value): &(f64, String)) -> Result<Sample, String> {
    let parsed = value.parse().map_err(|_| format!("{value:?} is not a number"))?;
    Ok(Sample { time_ms: (seconds * 1000.0).round() as i64, value: parsed })
}

/// Values of an answer of `/api/v1/label/…/values`.
pub(super) fn values(body: &[u8]) -> Result<HashSet<String>, String> {
    open(body)
}

/// The label that tells the series of an answer of `/api/v1/series` best apart, and its values, those
/// that few series have first. None if all have the same labels.
pub(super) fn best_label(body: &[u8]) -> Result<Option<(String, Vec<String>)>, String> {
    let series: Vec<BTreeMap<String, String>> = open(body)?;
    let mut labels: BTreeMap<&str, HashMap<&str, usize>> = BTreeMap::new();
    for one in &series {
        for (name, value) in one.iter().filter(|(name, _)| *name != "__name__") {
            *labels.entry(name).or_default().entry(value).or_default() += 1;
        }
    }
    // A label that some lack would lose those: they would match no value.
    let complete = labels.into_iter().filter(|(_, v)| v.values().sum::<usize>() == series.len());
    let best = complete.max_by_key(|(_, values)| values.len()).filter(|(_, v)| v.len() > 1);
    Ok(best.map(|(name, values)| {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0)));
        (name.to_string(), values.into_iter().map(|(v, _)| v.to_string()).collect())
    }))
}

/// Names and values that occur again and again, each stored once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Name>);

/// Names kept; beyond it they are forgotten and stored anew.
const NAMES_MAX: usize = 1 << 18;

impl Names {
    fn get(&mut self, text: &str) -> Name {
        if let Some(name) = self.0.get(text) {
            return name.clone();
        }
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        let name: Name = text.into();
        self.0.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented example, with a value that JSON has no number for and a native histogram.
    const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"job":"prometheus","__name__":"up","instance":"localhost:9090"},
         "values":[[1435781430.781,"1"],[1435781445.781,"NaN"],[1435781460.781,"+Inf"]]},
        {"metric":{"__name__":"h"},"histograms":[[1435781430.781,{"count":"60","sum":"33"}]]}
    ]},"warnings":["something"]}"#;

    #[test]
    fn a_matrix_becomes_series_with_sorted_labels() {
        let (series, histograms) = matrix(MATRIX.as_bytes(), &mut Names::default()).unwrap();
        assert_eq!((series.len(), histograms), (1, 1));
        let labels: Vec<(&str, &str)> = series[0].labels.iter().collect();
        let want = [("__name__", "up"), ("instance", "localhost:9090"), ("job", "prometheus")];
        assert_eq!(labels, want);
        let times: Vec<i64> = series[0].samples.iter().map(|s| s.time_ms).collect();
        assert_eq!(times, [1_435_781_430_781, 1_435_781_445_781, 1_435_781_460_781]);
        let values: Vec<f64> = series[0].samples.iter().map(|s| s.value).collect();
        assert!(values[0] == 1.0 && values[1].is_nan() && values[2] == f64::INFINITY);
    }

    #[test]
    fn a_complaint_of_prometheus_is_passed_on() {
        let body =
            br#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution"}"#;
        let why = matrix(body, &mut Names::default()).unwrap_err();
        assert!(why.contains("bad_data: exceeded maximum resolution"), "{why}");
        let vector = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert!(matrix(vector, &mut Names::default()).unwrap_err().contains("vector"));
    }

    #[test]
    fn series_are_told_apart_by_a_label_that_all_have() {
        let body = br#"{"status":"success","data":[
            {"__name__":"m","job":"a","instance":"1","pod":"x"},
            {"__name__":"m","job":"a","instance":"1","pod":"y"},
            {"__name__":"m","job":"a","instance":"2"}]}"#;
        let best = best_label(body).unwrap().unwrap();
        assert_eq!(best, ("instance".into(), vec!["2".into(), "1".into()]));
        let alike = br#"{"status":"success","data":[{"__name__":"m","job":"a"}]}"#;
        assert_eq!(best_label(alike).unwrap(), None);
    }
}
