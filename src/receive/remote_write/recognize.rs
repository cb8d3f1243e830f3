//! The short way for series that came before: their labels are not looked at.

use super::decode::{Reader, sample};
use crate::data::{Labels, Series};
use crate::receive::fields::Fields;

impl<'a, W: Fn(&str) -> bool> Reader<'a, '_, W> {
    /// Takes a series that came before, without a look at its labels. `None` when it is new, or when there
    /// is anything about it that needs a closer look.
    pub(super) fn recognize(&mut self, bytes: &'a [u8]) -> Option<()> {
        if self.request.series.len() >= self.limits.request_series {
            return None;
        }
        let metric = self.shape.metric(bytes)?;
        if !self.survey.decide(metric, &self.is_wanted) {
            return None;
        }
        let (key, rest) = self.key.of(bytes, &self.shape)?;
        let labels = self.known.get(key)?;
        let mut series = Series { labels: labels.clone(), ..Series::default() };
        let mut exemplars = 0;
        for field in Fields::new(rest) {
            let (tag, value) = field.ok()?;
            if tag == self.shape.samples {
                if series.samples.is_empty() {
                    // Mostly there is one.
                    series.samples.reserve_exact(1);
                }
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
