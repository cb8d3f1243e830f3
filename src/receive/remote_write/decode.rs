//! Protobuf -> [`Series`], read in place, with the labels checked.
//!
//! Of a series nobody wants only the name is looked at, and its parts are counted. Of one that came before
//! the labels are not read again. A series with a fault is dropped and counted, the others stay. Bytes that
//! are not the message refuse the request.

use super::histogram::Raw;
use super::key::Key;
use super::known::{Known, Learnt, Place, Table};
use super::labels::{Fault, check};
use super::limits::Limits;
use super::survey::{Shape, Survey};
use crate::data::{Labels, Sample, Series};
use crate::receive::error::Rejection;
use crate::receive::fields::{Fields, Malformed};

/// Faulty series named in an error text; the rest is only counted.
const FAULTS_SHOWN: usize = 3;
/// Symbols a 2.0 request may have for each series that it may have.
const SYMBOLS: usize = 16;

/// What a request held.
#[derive(Debug, Default)]
pub struct WriteRequest {
    /// Series of wanted metrics that carry samples or histograms.
    pub series: Vec<Series>,
    /// Samples and histograms of metrics that nobody wants.
    pub ignored: u64,
    /// Samples, of wanted metrics or not.
    pub samples: u64,
    /// Native histograms, of wanted metrics or not.
    pub histograms: u64,
    /// Exemplars: read over, all of them.
    pub exemplars: u64,
    /// Series refused.
    pub invalid: u64,
    /// Samples and histograms of those refused for what they are.
    pub invalid_samples: u64,
    /// Samples and histograms of those refused for being too large.
    pub oversized_samples: u64,
    /// What was wrong with the first of them, in words.
    pub faults: Vec<String>,
}

/// As [`decode_knowing`] when nothing is known yet.
///
/// # Errors
/// As there.
pub fn decode_write_request(
    bytes: &[u8],
    is_v2: bool,
    is_wanted: impl Fn(&str) -> bool,
    limits: &Limits,
) -> Result<WriteRequest, Rejection> {
    decode_knowing(bytes, is_v2, is_wanted, limits, &Known::default())
}

/// Decodes an uncompressed body. `is_v2` chooses the message by the request's content type. What is `known`
/// of series that came before, and learnt here, makes it faster and changes nothing else.
///
/// # Errors
/// [`Rejection::Malformed`] when the bytes are not the message, [`Rejection::TooLarge`] when there are more
/// wanted series than `limits` allows.
pub fn decode_knowing(
    bytes: &[u8],
    is_v2: bool,
    is_wanted: impl Fn(&str) -> bool,
    limits: &Limits,
    known: &Known,
) -> Result<WriteRequest, Rejection> {
    let (request, learnt) = {
        let table = known.read();
        read(bytes, is_v2, is_wanted, limits, &table)?
    };
    known.learn(learnt);
    Ok(request)
}

fn read(
    bytes: &[u8],
    is_v2: bool,
    is_wanted: impl Fn(&str) -> bool,
    limits: &Limits,
    known: &Table,
) -> Result<(WriteRequest, Learnt), Rejection> {
    if is_v2 {
        let symbols = symbols(bytes, limits)?;
        // The first must be empty: a table without it was made for something else.
        if symbols.first().is_some_and(|first| !first.is_empty()) {
            let why = format!("the first symbol is {:?} and not empty", head(symbols[0]));
            return Err(Rejection::Malformed { what: "symbol table", why });
        }
        Reader::new(Shape::v2(&symbols), is_wanted, limits, known).read(bytes, 5)
    } else {
        Reader::new(Shape::v1(), is_wanted, limits, known).read(bytes, 1)
    }
}

fn head(text: &str) -> &str {
    let end = text.char_indices().nth(80).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// The table of strings of a 2.0 request, wherever it stands in the body.
fn symbols<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<&'a str>, Rejection> {
    let max = SYMBOLS.saturating_mul(limits.request_series);
    let mut symbols = Vec::new();
    for field in Fields::new(bytes) {
        if let (4, value) = field? {
            if symbols.len() == max {
                let (what, key) = ("number of symbols", "16 * receive.request_series_max");
                return Err(Rejection::TooLarge { what, key, max });
            }
            symbols.push(value.text()?);
        }
    }
    Ok(symbols)
}

/// At work on one request.
pub(super) struct Reader<'a, 'l, W> {
    pub(super) shape: Shape<'a, 'l>,
    pub(super) is_wanted: W,
    pub(super) limits: &'l Limits,
    pub(super) survey: Survey<'a>,
    pub(super) known: &'l Table,
    pub(super) learnt: Learnt,
    /// Where the next series may stand in `known`.
    pub(super) guess: Place,
    pub(super) key: Key,
    pub(super) room: Vec<u8>,
    pub(super) raw: Raw,
    pub(super) request: WriteRequest,
}

impl<'a, 'l, W: Fn(&str) -> bool> Reader<'a, 'l, W> {
    fn new(shape: Shape<'a, 'l>, is_wanted: W, limits: &'l Limits, known: &'l Table) -> Self {
        Self {
            shape,
            is_wanted,
            limits,
            survey: Survey::default(),
            known,
            learnt: Learnt::new(),
            guess: Place::default(),
            key: Key::default(),
            room: Vec::new(),
            raw: Raw::default(),
            request: WriteRequest::default(),
        }
    }

    /// Reads every series of a body; `tag` is their field.
    fn read(mut self, bytes: &'a [u8], tag: u32) -> Result<(WriteRequest, Learnt), Rejection> {
        for field in Fields::new(bytes) {
            let (found, value) = field?;
            if found == tag {
                let bytes = value.bytes()?;
                if self.recognize(bytes).is_none() {
                    self.series(bytes)?;
                }
            }
        }
        Ok((self.request, self.learnt))
    }

    fn series(&mut self, bytes: &'a [u8]) -> Result<(), Rejection> {
        let fault = self.survey.look(bytes, &self.shape, &self.is_wanted, self.limits)?;
        let taken = match fault {
            Some(fault) => Err(fault),
            None if self.survey.is_wanted => self.take(bytes)?,
            None => {
                self.request.ignored += self.survey.items() as u64;
                Ok(())
            }
        };
        let found = &self.survey;
        match taken {
            Ok(()) => {
                self.request.samples += found.samples as u64;
                self.request.histograms += found.histograms as u64;
                self.request.exemplars += found.exemplars as u64;
            }
            Err(fault) => self.request.refuse(&fault, found.items() as u64),
        }
        Ok(())
    }

    /// A wanted series: labels checked, values read.
    fn take(&mut self, bytes: &'a [u8]) -> Result<Result<(), Fault<'a>>, Rejection> {
        let metric = self.survey.metric;
        if let Err(fault) = check(metric, &mut self.survey.labels, self.limits) {
            return Ok(Err(fault));
        }
        if self.survey.items() == 0 {
            return Ok(Ok(()));
        }
        let max = self.limits.request_series;
        if self.request.series.len() == max {
            let (what, key) = ("number of series", "receive.request_series_max");
            return Err(Rejection::TooLarge { what, key, max });
        }
        let mut series =
            Series { histograms: Vec::with_capacity(self.survey.histograms), ..Series::default() };
        if let Some(why) = self.values(bytes, &mut series)? {
            return Ok(Err(Fault::Histogram(metric, why)));
        }
        series.labels = Labels::of_sorted(&self.survey.labels, &mut self.room);
        self.learn(bytes, &series.labels);
        self.request.series.push(series);
        Ok(Ok(()))
    }

    /// Samples and histograms of a series; says what is wrong with a histogram.
    fn values(
        &mut self,
        bytes: &'a [u8],
        into: &mut Series,
    ) -> Result<Option<&'static str>, Malformed> {
        let mut fault = None;
        for field in Fields::new(bytes) {
            let (tag, value) = field?;
            if tag == self.shape.samples {
                into.samples.push(sample(value.fields()?)?);
            } else if tag == self.shape.histograms {
                self.raw.read(value.fields()?)?;
                match self.raw.histogram() {
                    Ok(histogram) => into.histograms.push(histogram),
                    Err(why) => fault = Some(why),
                }
            }
        }
        Ok(fault)
    }
}

impl WriteRequest {
    fn refuse(&mut self, fault: &Fault<'_>, items: u64) {
        self.invalid += 1;
        let count =
            if fault.is_limit() { &mut self.oversized_samples } else { &mut self.invalid_samples };
        *count += items;
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(fault.to_string());
        }
    }
}

pub(super) fn sample(fields: Fields<'_>) -> Result<Sample, Malformed> {
    let mut sample = Sample { time_ms: 0, value: 0.0 };
    for field in fields {
        match field? {
            (1, value) => sample.value = value.double()?,
            (2, value) => sample.time_ms = value.varint()? as i64,
            _ => {}
        }
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::proto::{self, v1, v2};
    use super::*;

    const LIMITS: Limits =
        Limits { labels: 4, name_bytes: 64, series_samples: 3, request_series: 2 };

    fn series(labels: &[(&str, &str)], values: &[f64]) -> v1::TimeSeries {
        let label = |(n, v): &(&str, &str)| v1::Label { name: (*n).into(), value: (*v).into() };
        let sample = |v: &f64| proto::Sample { value: *v, timestamp: 7 };
        v1::TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: values.iter().map(sample).collect(),
            ..Default::default()
        }
    }

    fn body(timeseries: Vec<v1::TimeSeries>) -> Vec<u8> {
        v1::WriteRequest { timeseries }.encode_to_vec()
    }

    fn decode(labels: &[(&str, &str)], values: &[f64]) -> WriteRequest {
        let bytes = body(vec![series(labels, values)]);
        decode_write_request(&bytes, false, |m| m == "m", &LIMITS).unwrap()
    }

    #[test]
    fn wanted_series_come_through_with_sorted_labels_and_others_are_counted() {
        let r = decode(&[("b", "2"), ("__name__", "m"), ("a", "1")], &[1.0, 2.0]);
        let names: Vec<_> = r.series[0].labels.iter().map(|(n, _)| n).collect();
        assert_eq!((names, r.samples, r.ignored), (vec!["__name__", "a", "b"], 2, 0));
        let r = decode(&[("__name__", "other")], &[1.0]);
        assert_eq!((r.series.len(), r.samples, r.ignored), (0, 1, 1));
    }

    #[test]
    fn bad_labels_refuse_the_series_and_say_why() {
        for (labels, part) in [
            (vec![("a", "1")], "without a metric name"),
            (vec![("__name__", "m"), ("a", "1"), ("a", "2")], "twice"),
            (vec![("__name__", "m"), ("a", "")], "empty"),
        ] {
            let r = decode(&labels, &[1.0]);
            assert_eq!((r.series.len(), r.invalid, r.invalid_samples, r.samples), (0, 1, 1, 0));
            assert!(r.faults[0].contains(part), "{:?} lacks {part}", r.faults);
        }
    }

    #[test]
    fn what_is_too_much_refuses_the_series_or_the_request_and_names_the_key() {
        let long = "x".repeat(65);
        let five = vec![("__name__", "m"), ("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")];
        for (labels, values, part) in [
            (five, vec![1.0], "receive.labels_max"),
            (vec![("__name__", "m"), ("a", long.as_str())], vec![1.0], "receive.name_bytes_max"),
            (vec![("__name__", "m")], vec![1.0; 4], "receive.series_samples_max"),
        ] {
            let r = decode(&labels, &values);
            let items = values.len() as u64;
            assert_eq!((r.series.len(), r.invalid, r.oversized_samples), (0, 1, items));
            assert!(r.faults[0].contains(part), "{:?} lacks {part}", r.faults);
        }
        let one = |n: usize| series(&[("__name__", "m"), ("a", &n.to_string())], &[1.0]);
        let many = |n: usize| body((0..n).map(one).collect());
        assert!(decode_write_request(&many(2), false, |_| true, &LIMITS).is_ok());
        let refused = decode_write_request(&many(3), false, |_| true, &LIMITS).unwrap_err();
        assert!(refused.to_string().contains("receive.request_series_max"), "{refused}");
        assert_eq!(refused.reason(), "too_large");
        // What nobody wants takes no room.
        assert!(decode_write_request(&many(3), false, |_| false, &LIMITS).is_ok());
    }

    fn version_2(
        symbols: &[&str],
        timeseries: Vec<v2::TimeSeries>,
    ) -> Result<WriteRequest, Rejection> {
        let symbols = symbols.iter().map(|s| (*s).into()).collect();
        let bytes = v2::Request { symbols, timeseries }.encode_to_vec();
        decode_write_request(&bytes, true, |m| m == "m", &LIMITS)
    }

    fn refs(labels_refs: &[u32]) -> v2::TimeSeries {
        v2::TimeSeries {
            labels_refs: labels_refs.to_vec(),
            samples: vec![proto::Sample { value: 1.0, timestamp: 7 }],
            ..Default::default()
        }
    }

    #[test]
    fn a_reference_outside_the_symbol_table_is_a_fault_and_the_good_series_stays() {
        let symbols = ["", "__name__", "m", "other"];
        // Also where nobody wants the series.
        let all = [&[1, 2][..], &[1, 99], &[1], &[1, 3, 99, 2]].map(refs);
        let r = version_2(&symbols, all.to_vec()).unwrap();
        assert_eq!((r.series.len(), r.invalid, r.samples, r.invalid_samples), (1, 3, 1, 3));
        assert!(r.faults[0].contains("reference 99 of 4 symbols"), "{:?}", r.faults);
        assert!(r.faults[1].contains("not pairs"), "{:?}", r.faults);
    }

    #[test]
    fn a_symbol_table_that_does_not_begin_empty_refuses_the_request() {
        let refused = version_2(&["__name__", "m"], vec![refs(&[0, 1])]).unwrap_err();
        assert!(refused.to_string().contains("first symbol is \"__name__\""), "{refused}");
        let symbols: Vec<String> =
            (0..33).map(|n| if n == 0 { String::new() } else { n.to_string() }).collect();
        let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
        assert!(version_2(&symbols[..32], vec![]).is_ok());
        assert_eq!(version_2(&symbols, vec![]).unwrap_err().reason(), "too_large");
    }

    #[test]
    fn a_2_0_series_holds_samples_or_histograms_or_at_least_exemplars() {
        let symbols = ["", "__name__", "m"];
        let histograms = vec![proto::Histogram::default()];
        let good =
            v2::TimeSeries { samples: vec![], histograms: histograms.clone(), ..refs(&[1, 2]) };
        let only_exemplars =
            v2::TimeSeries { samples: vec![], exemplars: vec![vec![]], ..refs(&[1, 2]) };
        let r = version_2(&symbols, vec![good, only_exemplars]).unwrap();
        assert_eq!((r.invalid, r.histograms, r.exemplars, r.series.len()), (0, 1, 1, 1));
        let mixed = v2::TimeSeries { histograms, ..refs(&[1, 2]) };
        let nothing = v2::TimeSeries { samples: vec![], ..refs(&[1, 2]) };
        let r = version_2(&symbols, vec![mixed, nothing]).unwrap();
        assert_eq!((r.invalid, r.invalid_samples, r.series.len()), (2, 2, 0));
        assert!(r.faults[0].contains("in one series"), "{:?}", r.faults);
        assert!(r.faults[1].contains("neither"), "{:?}", r.faults);
    }
}
