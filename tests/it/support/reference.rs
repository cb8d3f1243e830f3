//! Remote write as generated code reads it: slow, and beyond doubt.

use std::collections::HashSet;

use prost::Message as _;
use sage::data::{Histogram, Name, ResetHint, STALE_NAN_BITS, Sample, Series};
use sage::receive::remote_write_proto::{self as proto, Count, ZeroCount, v1, v2};
use sage::receive::{WriteLimits, WriteRequest};

type Labels = Vec<(String, String)>;

/// What a body holds, or why it is none.
pub(crate) fn reference_write(
    bytes: &[u8],
    is_v2: bool,
    is_wanted: impl Fn(&str) -> bool,
    limits: &WriteLimits,
) -> Result<WriteRequest, String> {
    let mut out = WriteRequest::default();
    if is_v2 {
        let request = v2::Request::decode(bytes).map_err(|e| e.to_string())?;
        if request.symbols.first().is_some_and(|s| !s.is_empty()) {
            return Err("the first symbol is not empty".into());
        }
        for one in request.timeseries {
            let (samples, histograms) = (one.samples.len(), one.histograms.len());
            let is_empty = samples + histograms + one.exemplars.len() == 0;
            let labels = resolve(&request.symbols, &one.labels_refs);
            let is_odd = (samples > 0 && histograms > 0) || is_empty;
            let series = Read { labels, samples: one.samples, histograms: one.histograms, is_odd };
            series.add(one.exemplars.len(), &is_wanted, limits, &mut out);
        }
    } else {
        let request = v1::WriteRequest::decode(bytes).map_err(|e| e.to_string())?;
        for one in request.timeseries {
            let labels = one.labels.into_iter().map(|l| (l.name, l.value)).collect();
            let (samples, histograms) = (one.samples, one.histograms);
            let series = Read { labels: Some(labels), samples, histograms, is_odd: false };
            series.add(one.exemplars.len(), &is_wanted, limits, &mut out);
        }
    }
    Ok(out)
}

fn resolve(symbols: &[String], refs: &[u32]) -> Option<Labels> {
    let symbol = |r: u32| symbols.get(r as usize).cloned();
    let pair = |pair: &[u32]| match pair {
        [name, value] => Some((symbol(*name)?, symbol(*value)?)),
        _ => None,
    };
    refs.chunks(2).map(pair).collect()
}

struct Read {
    /// `None` when references lead nowhere.
    labels: Option<Labels>,
    samples: Vec<proto::Sample>,
    histograms: Vec<proto::Histogram>,
    /// 2.0: not what a series may hold.
    is_odd: bool,
}

impl Read {
    fn add(
        self,
        exemplars: usize,
        is_wanted: &impl Fn(&str) -> bool,
        limits: &WriteLimits,
        out: &mut WriteRequest,
    ) {
        let (samples, histograms) = (self.samples.len() as u64, self.histograms.len() as u64);
        match self.series(is_wanted, limits) {
            Err(()) => {
                out.invalid += 1;
                out.invalid_samples += samples + histograms;
                return;
            }
            Ok(None) => out.ignored += samples + histograms,
            Ok(Some(series)) if samples + histograms > 0 => out.series.push(series),
            Ok(Some(_)) => {}
        }
        out.samples += samples;
        out.histograms += histograms;
        out.exemplars += exemplars as u64;
    }

    /// `None` when nobody wants it.
    fn series(
        self,
        is_wanted: &impl Fn(&str) -> bool,
        limits: &WriteLimits,
    ) -> Result<Option<Series>, ()> {
        let mut labels = self.labels.ok_or(())?;
        let is_metric = |(name, value): &&(String, String)| name == "__name__" && !value.is_empty();
        let metric = labels.iter().find(is_metric).ok_or(())?;
        if self.is_odd {
            return Err(());
        }
        if !is_wanted(&metric.1) {
            return Ok(None);
        }
        let names: HashSet<&String> = labels.iter().map(|(name, _)| name).collect();
        let is_fine = |(name, value): &(String, String)| {
            let longest = name.len().max(value.len());
            !name.is_empty() && !value.is_empty() && longest <= limits.name_bytes
        };
        if self.samples.len() + self.histograms.len() > limits.series_samples
            || labels.len() > limits.labels
            || names.len() < labels.len()
            || !labels.iter().all(is_fine)
        {
            return Err(());
        }
        labels.sort();
        let sample = |s: proto::Sample| Sample { time_ms: s.timestamp, value: s.value };
        let histograms: Option<Vec<Histogram>> = self.histograms.iter().map(histogram).collect();
        Ok(Some(Series {
            labels: labels.into_iter().map(|(n, v)| (Name::from(n), Name::from(v))).collect(),
            samples: self.samples.into_iter().map(sample).collect(),
            histograms: histograms.ok_or(())?,
        }))
    }
}

fn histogram(h: &proto::Histogram) -> Option<Histogram> {
    let (count, is_float) = match h.count {
        None => (0.0, false),
        Some(Count::Int(n)) => (n as f64, false),
        Some(Count::Float(n)) => (n, true),
    };
    let zeros = match h.zero_count {
        None => 0.0,
        Some(ZeroCount::Int(n)) => n as f64,
        Some(ZeroCount::Float(n)) => n,
    };
    let reset = match h.reset_hint {
        1 => ResetHint::Reset,
        2 => ResetHint::Continued,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let mut out = Histogram { time_ms: h.timestamp, count, sum: h.sum, buckets: Vec::new(), reset };
    if h.sum.to_bits() == STALE_NAN_BITS {
        return Some(out);
    }
    let side = |spans: &[proto::BucketSpan], deltas: &[i64], counts: &[f64]| {
        let counts = if is_float { counts.to_vec() } else { sums(deltas)? };
        place(spans, &counts)
    };
    let positive = side(&h.positive_spans, &h.positive_deltas, &h.positive_counts)?;
    // (lower bound, upper bound, count)
    let mut pieces = Vec::new();
    if h.schema == -53 {
        if !h.custom_values.windows(2).all(|w| w[0] < w[1])
            || h.custom_values.iter().any(|b| b.is_nan())
        {
            return None;
        }
        let mut bounds = vec![f64::NEG_INFINITY];
        bounds.extend(&h.custom_values);
        bounds.push(f64::INFINITY);
        for (index, count) in positive {
            let index = usize::try_from(index).ok()?;
            pieces.push((*bounds.get(index)?, *bounds.get(index + 1)?, count));
        }
    } else {
        let is_bad = |n: f64| n.is_nan() || n < 0.0;
        if !(-4..=52).contains(&h.schema) || is_bad(zeros) || is_bad(h.zero_threshold) {
            return None;
        }
        let bound = |index: i64| (index as f64 / f64::powi(2.0, h.schema)).exp2();
        let negative = side(&h.negative_spans, &h.negative_deltas, &h.negative_counts)?;
        let mirrored = negative.iter().rev().map(|(i, n)| (-bound(*i), -bound(*i - 1), *n));
        pieces.extend(mirrored);
        if zeros > 0.0 {
            let wide = h.zero_threshold > 0.0;
            let lower = if wide { -h.zero_threshold } else { f64::NEG_INFINITY };
            pieces.push((lower, h.zero_threshold, zeros));
        }
        pieces.extend(positive.iter().map(|(i, n)| (bound(*i - 1), bound(*i), *n)));
    }
    for (lower, upper, count) in pieces {
        let newest = out.buckets.last().map_or(f64::NEG_INFINITY, |b| b.0);
        if lower > newest {
            out.buckets.push((lower, 0.0));
        }
        let newest = out.buckets.len().checked_sub(1);
        match newest {
            Some(n) if upper <= out.buckets[n].0 => out.buckets[n].1 += count,
            _ => out.buckets.push((upper, count)),
        }
    }
    Some(out)
}

fn sums(deltas: &[i64]) -> Option<Vec<f64>> {
    let mut total = 0_i64;
    let mut sum = |d: &i64| {
        total = total.checked_add(*d)?;
        Some(total as f64)
    };
    deltas.iter().map(&mut sum).collect()
}

/// (index, count) of every bucket.
fn place(spans: &[proto::BucketSpan], counts: &[f64]) -> Option<Vec<(i64, f64)>> {
    let spanned: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    let overlap = spans.iter().skip(1).any(|s| s.offset < 0);
    let is_bad = |n: &f64| n.is_nan() || *n < 0.0;
    if overlap || spanned != counts.len() as u64 || counts.iter().any(is_bad) {
        return None;
    }
    let mut index = 0;
    let mut indices = Vec::new();
    for span in spans {
        index += i64::from(span.offset);
        indices.extend((0..i64::from(span.length)).map(|n| index + n));
        index += i64::from(span.length);
    }
    Some(indices.into_iter().zip(counts.iter().copied()).collect())
}
