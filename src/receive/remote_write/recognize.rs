//! The short way for series that came before and for those that nobody wants: their labels are not looked at.

use super::decode::{Reader, sample};
use super::histogram::varints;
use super::key::LABEL;
use crate::data::{Labels, Series};
use crate::receive::fields::Fields;

impl<'a, W: Fn(&str) -> bool> Reader<'a, '_, W> {
    /// Takes a series that came before, or passes over one that nobody wants, without a look at its labels.
    /// `None` when it is new, or when there is anything about it that needs a closer look.
    pub(super) fn recognize(&mut self, bytes: &'a [u8]) -> Option<()> {
        if self.request.series.len() >= self.limits.request_series {
            return None;
        }
        // What is known is wanted.
        let guessed = match self.shape.symbols {
            None => self.known.begins(bytes, self.guess),
            Some(_) => None,
        };
        let (labels, rest) = match guessed {
            Some((labels, end)) => (labels, &bytes[end..]),
            None => {
                let metric = self.shape.metric(bytes)?;
                if !self.survey.decide(metric, &self.is_wanted) {
                    return self.pass(bytes);
                }
                let (key, rest) = self.key.of(bytes, &self.shape)?;
                let (labels, place) = self.known.get(key, self.guess)?;
                self.guess = place;
                (labels, rest)
            }
        };
        self.guess = self.guess.next();
        let mut series = Series { labels: labels.clone(), ..Series::default() };
        let mut exemplars = 0;
        for field in Fields::new(rest) {
            let (tag, value) = field.ok()?;
            if tag == self.shape.samples {
                series.samples.push(sample(value.fields().ok()?).ok()?);
            } else if tag == self.shape.histograms {
                self.raw.read(value.fields().ok()?).ok()?;
                series.histograms.push(self.raw.histogram().ok()?);
            } else if tag == self.shape.exemplars {
                value.bytes().ok()?;
                exemplars += 1;
            } else if tag == 1 {
                return None;
            }
        }
        let (samples, histograms) = (series.samples.len(), series.histograms.len());
        let is_mixed = samples > 0 && histograms > 0;
        let items = samples + histograms;
        if items == 0 || is_mixed || items > self.limits.series_samples {
            return None;
        }
        self.request.samples += samples as u64;
        self.request.histograms += histograms as u64;
        self.request.exemplars += exemplars;
        self.request.series.push(series);
        Some(())
    }

    /// Counts what a series holds whose metric, which comes first, nobody wants.
    fn pass(&mut self, bytes: &'a [u8]) -> Option<()> {
        let (mut references, mut highest) = (0_usize, 0);
        let (mut samples, mut histograms, mut exemplars) = (0, 0, 0);
        let mut fields = Fields::new(bytes);
        if self.shape.symbols.is_none() {
            fields.pass_over(LABEL);
        }
        for field in fields {
            let (tag, value) = field.ok()?;
            if tag == 1 && self.shape.symbols.is_some() {
                let mut refer =
                    |n: u64| (references, highest) = (references + 1, highest.max(n as u32));
                varints(value, &mut refer).ok()?;
                continue;
            }
            let mut nothing = 0;
            let count = if tag == self.shape.samples {
                &mut samples
            } else if tag == self.shape.histograms {
                &mut histograms
            } else if tag == self.shape.exemplars {
                &mut exemplars
            } else if tag == 1 {
                &mut nothing
            } else {
                continue;
            };
            value.bytes().ok()?;
            *count += 1;
        }
        if let Some(symbols) = self.shape.symbols {
            let is_odd = !references.is_multiple_of(2) || highest as usize >= symbols.len();
            let is_mixed = samples > 0 && histograms > 0;
            if is_odd || is_mixed || samples + histograms + exemplars == 0 {
                return None;
            }
        }
        self.request.samples += samples;
        self.request.histograms += histograms;
        self.request.exemplars += exemplars;
        self.request.ignored += samples + histograms;
        Some(())
    }

    /// Labels that were checked will be known by their bytes.
    pub(super) fn learn(&mut self, bytes: &'a [u8], labels: &Labels) {
        let Some((key, rest)) = self.key.of(bytes, &self.shape) else { return };
        // All labels must stand in front.
        if Fields::new(rest).any(|field| !matches!(field, Ok((tag, _)) if tag != 1)) {
            return;
        }
        let is_same = *key == **labels.packed();
        let key = if is_same { labels.packed().clone() } else { key.into() };
        self.learnt.push((key, labels.clone()));
    }
}
