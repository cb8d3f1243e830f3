//! Protobuf -> [`Series`], with the labels checked.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::proto::{self, v1, v2};
use crate::data::{Name, Sample, Series};
use crate::receive::error::Rejection;

/// Faulty series named in an error text; the rest is only counted.
const FAULTS_SHOWN: usize = 3;

/// What a request held.
#[derive(Debug, Default)]
pub struct WriteRequest {
    /// Series of wanted metrics that carry samples.
    pub series: Vec<Series>,
    /// Samples of metrics that nobody wants.
    pub ignored: u64,
    /// Samples, of wanted metrics or not.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Series refused.
    pub invalid: u64,
    /// Samples of the refused series.
    pub invalid_samples: u64,
    /// What was wrong with the first of them, in words.
    pub faults: Vec<String>,
}

/// Bounds on one series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) labels: usize,
    pub(super) name_bytes: usize,
}

/// Decodes an uncompressed body. `is_v2` chooses the message by the request's content type.
///
/// # Errors
/// [`Rejection::Malformed`] when the bytes are not the message.
pub fn decode_write_request(
    bytes: &[u8],
    is_v2: bool,
    wanted: &HashSet<String>,
    labels_max: usize,
    name_bytes_max: usize,
) -> Result<WriteRequest, Rejection> {
    let fail = |e: prost::DecodeError| Rejection::Malformed {
        what: "remote-write protobuf",
        why: e.to_string(),
    };
    let bounds = Bounds { labels: labels_max, name_bytes: name_bytes_max };
    let mut reader =
        Reader { wanted, bounds, names: HashMap::new(), request: WriteRequest::default() };
    if is_v2 {
        let body = v2::Request::decode(bytes).map_err(fail)?;
        for series in body.timeseries {
            let labels = resolve(&body.symbols, &series.labels_refs, labels_max);
            reader.take(labels, series.samples, series.histograms.len());
        }
    } else {
        for series in v1::WriteRequest::decode(bytes).map_err(fail)?.timeseries {
            let labels =
                series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
            reader.take(Ok(labels), series.samples, series.histograms.len());
        }
    }
    Ok(reader.request)
}

/// Label pairs of a 2.0 series: references into the symbol table, alternating name and value.
fn resolve<'a>(
    symbols: &'a [String],
    refs: &[u32],
    labels_max: usize,
) -> Result<Vec<(&'a str, &'a str)>, String> {
    if refs.len() / 2 > labels_max {
        let n = refs.len() / 2;
        return Err(format!("{n} labels, more than receive.labels_max = {labels_max}"));
    }
    if !refs.len().is_multiple_of(2) {
        return Err(format!("{} label references: not pairs", refs.len()));
    }
    let symbol = |r: u32| {
        symbols
            .get(r as usize)
            .map(String::as_str)
            .ok_or_else(|| format!("label reference {r} of {} symbols", symbols.len()))
    };
    refs.chunks_exact(2).map(|pair| Ok((symbol(pair[0])?, symbol(pair[1])?))).collect()
}

struct Reader<'a> {
    wanted: &'a HashSet<String>,
    bounds: Bounds,
    names: HashMap<String, Name>,
    request: WriteRequest,
}

impl Reader<'_> {
    fn take(
        &mut self,
        labels: Result<Vec<(&str, &str)>, String>,
        samples: Vec<proto::Sample>,
        histograms: usize,
    ) {
        self.request.samples += samples.len() as u64;
        self.request.histograms += histograms as u64;
        let labels = match labels.and_then(|l| self.check(l)) {
            Ok(labels) => labels,
            Err(fault) => {
                self.request.samples -= samples.len() as u64;
                self.request.histograms -= histograms as u64;
                self.request.invalid += 1;
                self.request.invalid_samples += samples.len() as u64;
                if self.request.faults.len() < FAULTS_SHOWN {
                    self.request.faults.push(fault);
                }
                return;
            }
        };
        if samples.is_empty() {
            return;
        }
        let metric = labels.iter().find(|(n, _)| *n == "__name__").map_or("", |(_, v)| v);
        if !self.wanted.contains(metric) {
            self.request.ignored += samples.len() as u64;
            return;
        }
        let labels = labels.into_iter().map(|(n, v)| (self.name(n), self.name(v))).collect();
        let samples =
            samples.into_iter().map(|s| Sample { time_ms: s.timestamp, value: s.value }).collect();
        self.request.series.push(Series { labels, samples, ..Series::default() });
    }

    /// Sorted labels, or why they are not valid.
    fn check<'l>(
        &self,
        mut labels: Vec<(&'l str, &'l str)>,
    ) -> Result<Vec<(&'l str, &'l str)>, String> {
        let bounds = self.bounds;
        labels.sort_unstable();
        let metric = labels.iter().find(|(n, _)| *n == "__name__").map(|(_, v)| *v);
        let Some(metric) = metric.filter(|m| !m.is_empty()) else {
            return Err("a series without a metric name".into());
        };
        let metric = shorten(metric);
        if labels.len() > bounds.labels {
            let n = labels.len();
            return Err(format!(
                "{metric}: {n} labels, more than receive.labels_max = {}",
                bounds.labels
            ));
        }
        for pair in labels.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(format!("{metric}: label {:?} twice", shorten(pair[0].0)));
            }
        }
        for (name, value) in &labels {
            if name.is_empty() || value.is_empty() {
                return Err(format!("{metric}: empty name or value of label {:?}", shorten(name)));
            }
            if name.len().max(value.len()) > bounds.name_bytes {
                let name = shorten(name);
                let max = bounds.name_bytes;
                return Err(format!(
                    "{metric}: label {name:?} exceeds receive.name_bytes_max = {max}"
                ));
            }
        }
        Ok(labels)
    }

    fn name(&mut self, text: &str) -> Name {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Name = text.into();
        self.names.insert(text.to_string(), name.clone());
        name
    }
}

/// At most 80 characters of foreign text, for an error message.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(labels: &[(&str, &str)], values: &[f64]) -> Vec<u8> {
        let labels = labels
            .iter()
            .map(|(n, v)| v1::Label { name: (*n).into(), value: (*v).into() })
            .collect();
        let samples = values.iter().map(|v| proto::Sample { value: *v, timestamp: 7 }).collect();
        v1::WriteRequest {
            timeseries: vec![v1::TimeSeries { labels, samples, histograms: vec![] }],
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> WriteRequest {
        let wanted = HashSet::from(["m".to_string()]);
        decode_write_request(bytes, false, &wanted, 4, 64).unwrap()
    }

    #[test]
    fn wanted_series_come_through_with_sorted_labels_and_others_are_counted() {
        let r = decode(&body(&[("b", "2"), ("__name__", "m"), ("a", "1")], &[1.0, 2.0]));
        let names: Vec<_> = r.series[0].labels.iter().map(|(n, _)| &**n).collect();
        assert_eq!((names, r.samples, r.ignored), (vec!["__name__", "a", "b"], 2, 0));
        let r = decode(&body(&[("__name__", "other")], &[1.0]));
        assert_eq!((r.series.len(), r.samples, r.ignored), (0, 1, 1));
    }

    #[test]
    fn bad_labels_refuse_the_series_and_say_why() {
        for (labels, part) in [
            (vec![("a", "1")], "without a metric name"),
            (vec![("__name__", "m"), ("a", "1"), ("a", "2")], "twice"),
            (vec![("__name__", "m"), ("a", "")], "empty"),
            (vec![("__name__", "m"), ("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")], "5 labels"),
        ] {
            let r = decode(&body(&labels, &[1.0]));
            assert_eq!((r.series.len(), r.invalid, r.samples), (0, 1, 0));
            assert!(r.faults[0].contains(part), "{:?} lacks {part}", r.faults);
        }
    }

    #[test]
    fn a_reference_outside_the_symbol_table_is_a_fault_and_the_good_series_stays() {
        let series = |refs: Vec<u32>| v2::TimeSeries {
            labels_refs: refs,
            samples: vec![proto::Sample { value: 1.0, timestamp: 7 }],
            histograms: vec![],
        };
        let request = v2::Request {
            symbols: vec!["".into(), "__name__".into(), "m".into()],
            timeseries: vec![series(vec![1, 2]), series(vec![1, 99]), series(vec![1])],
        };
        let wanted = HashSet::from(["m".to_string()]);
        let r = decode_write_request(&request.encode_to_vec(), true, &wanted, 4, 64).unwrap();
        assert_eq!((r.series.len(), r.invalid, r.samples), (1, 2, 1));
        assert!(r.faults[0].contains("reference 99 of 3 symbols"), "{:?}", r.faults);
    }
}
