//! The first look at a series: its labels, whether anybody wants it, and what it holds.

use super::histogram::varints;
use super::labels::Fault;
use super::limits::Limits;
use crate::receive::fields::{Fields, Malformed, Value};

const METRIC: &str = "__name__";

/// Where things stand in a series of 1.0 or 2.0.
#[derive(Debug)]
pub(super) struct Shape<'a, 'l> {
    /// 2.0: what labels refer to.
    pub(super) symbols: Option<&'l [&'a str]>,
    pub(super) samples: u32,
    pub(super) histograms: u32,
    pub(super) exemplars: u32,
}

impl<'a, 'l> Shape<'a, 'l> {
    pub(super) fn v1() -> Self {
        Self { symbols: None, samples: 2, exemplars: 3, histograms: 4 }
    }

    pub(super) fn v2(symbols: &'l [&'a str]) -> Self {
        Self { symbols: Some(symbols), samples: 2, histograms: 3, exemplars: 4 }
    }
}

impl<'a> Shape<'a, '_> {
    /// The metric of a series, if its name comes first, as it does where senders sort, and nothing about that
    /// label is odd.
    pub(super) fn metric(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let (1, value) = Fields::new(bytes).next()?.ok()? else { return None };
        let mut fields = value.fields().ok()?;
        let Some(symbols) = self.symbols else {
            let ((1, name), (2, metric)) = (fields.next()?.ok()?, fields.next()?.ok()?) else {
                return None;
            };
            let is_name = name.bytes().ok()? == METRIC.as_bytes() && fields.is_done();
            return if is_name { metric.text().ok().filter(|m| !m.is_empty()) } else { None };
        };
        let mut next = || symbols.get(fields.varint().ok()? as u32 as usize).copied();
        if next()? == METRIC { next().filter(|m| !m.is_empty()) } else { None }
    }
}

/// What one series holds. One is used for all of a request.
#[derive(Debug, Default)]
pub(super) struct Survey<'a> {
    pub(super) metric: &'a str,
    /// Whether somebody wants the metric; if not, labels are not complete.
    pub(super) is_wanted: bool,
    /// As sent, at most one more than may be.
    pub(super) labels: Vec<(&'a str, &'a str)>,
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    refs: Refs,
    /// Neighbours are often of one metric: the name decided on last, and how.
    decided: (&'a str, bool),
}

/// 2.0: the references of a series so far.
#[derive(Debug, Default)]
struct Refs {
    count: usize,
    highest: u32,
    /// The name of a label whose value is still to come.
    half: Option<u32>,
}

impl<'a> Survey<'a> {
    /// Samples and histograms.
    pub(super) fn items(&self) -> usize {
        self.samples + self.histograms
    }

    /// Looks at a series. Returns what makes it invalid, as far as that shows before its labels are
    /// checked.
    pub(super) fn look(
        &mut self,
        bytes: &'a [u8],
        shape: &Shape<'a, '_>,
        is_wanted: &impl Fn(&str) -> bool,
        limits: &Limits,
    ) -> Result<Option<Fault<'a>>, Malformed> {
        self.labels.clear();
        self.refs = Refs::default();
        (self.metric, self.is_wanted) = ("", false);
        (self.samples, self.histograms, self.exemplars) = (0, 0, 0);
        for field in Fields::new(bytes) {
            let (tag, value) = field?;
            if tag == 1 {
                match shape.symbols {
                    Some(symbols) => varints(value, |n| {
                        self.reference(n as u32, symbols, is_wanted, limits);
                    })?,
                    None => self.label(value, is_wanted, limits)?,
                }
                continue;
            }
            let count = if tag == shape.samples {
                &mut self.samples
            } else if tag == shape.histograms {
                &mut self.histograms
            } else if tag == shape.exemplars {
                &mut self.exemplars
            } else {
                continue;
            };
            value.bytes()?;
            *count += 1;
        }
        Ok(self.fault(shape, limits))
    }

    /// Whether somebody wants `metric`.
    #[inline]
    pub(super) fn decide(&mut self, metric: &'a str, is_wanted: &impl Fn(&str) -> bool) -> bool {
        if self.decided.0 != metric {
            self.decided = (metric, is_wanted(metric));
        }
        self.decided.1
    }

    fn fault(&self, shape: &Shape<'a, '_>, limits: &Limits) -> Option<Fault<'a>> {
        let (metric, is_v2) = (self.metric, shape.symbols.is_some());
        let symbols = shape.symbols.map_or(0, <[&str]>::len);
        let max = limits.series_samples;
        if self.refs.half.is_some() {
            Some(Fault::Unpaired(self.refs.count))
        } else if self.refs.count > 0 && self.refs.highest as usize >= symbols {
            Some(Fault::Reference(self.refs.highest, symbols))
        } else if metric.is_empty() {
            Some(Fault::Nameless)
        } else if is_v2 && self.samples > 0 && self.histograms > 0 {
            Some(Fault::Mixed(metric))
        } else if is_v2 && self.items() + self.exemplars == 0 {
            // Exemplars come alone from Prometheus, whatever the specification says.
            Some(Fault::Nothing(metric))
        } else if self.is_wanted && self.items() > max {
            Some(Fault::Samples(metric, max))
        } else {
            None
        }
    }

    /// 1.0: a label. Once it is clear that nobody wants the series, labels are not even read.
    fn label(
        &mut self,
        value: Value<'a>,
        is_wanted: &impl Fn(&str) -> bool,
        limits: &Limits,
    ) -> Result<(), Malformed> {
        let fields = value.fields()?;
        if !self.metric.is_empty() && !self.is_wanted {
            return Ok(());
        }
        let mut label = ("", "");
        for field in fields {
            match field? {
                (1, value) => label.0 = value.text()?,
                (2, value) => label.1 = value.text()?,
                _ => {}
            }
        }
        self.add(label, is_wanted, limits);
        Ok(())
    }

    /// 2.0: half a label.
    fn reference(
        &mut self,
        reference: u32,
        symbols: &[&'a str],
        is_wanted: &impl Fn(&str) -> bool,
        limits: &Limits,
    ) {
        self.refs.count += 1;
        self.refs.highest = self.refs.highest.max(reference);
        let Some(name) = self.refs.half.take() else {
            self.refs.half = Some(reference);
            return;
        };
        let symbol = |r: u32| symbols.get(r as usize).copied();
        if let (Some(name), Some(value)) = (symbol(name), symbol(reference)) {
            self.add((name, value), is_wanted, limits);
        }
    }

    fn add(
        &mut self,
        label: (&'a str, &'a str),
        is_wanted: &impl Fn(&str) -> bool,
        limits: &Limits,
    ) {
        if self.metric.is_empty() && label.0 == METRIC {
            self.metric = label.1;
            self.is_wanted = self.decide(label.1, is_wanted);
        }
        if (self.metric.is_empty() || self.is_wanted) && self.labels.len() <= limits.labels {
            self.labels.push(label);
        }
    }
}
