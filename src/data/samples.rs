//! Samples of one series: mostly there is one, and that takes no memory of its own.

use std::ops::{Deref, DerefMut};

use super::sample::Sample;

/// Samples in the order sent. What is not written here is as with slices.
#[derive(Clone, Debug, Default)]
pub struct Samples(Kept);

#[derive(Clone, Debug, Default)]
enum Kept {
    #[default]
    None,
    One(Sample),
    Many(Vec<Sample>),
}

impl Samples {
    /// Appends a sample.
    #[inline]
    pub fn push(&mut self, sample: Sample) {
        match &mut self.0 {
            Kept::None => self.0 = Kept::One(sample),
            Kept::One(first) => self.0 = Kept::Many(vec![*first, sample]),
            Kept::Many(all) => all.push(sample),
        }
    }

    /// Keeps the samples of which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Sample) -> bool) {
        match &mut self.0 {
            Kept::None => {}
            Kept::One(sample) => {
                if !keep(sample) {
                    self.0 = Kept::None;
                }
            }
            Kept::Many(all) => all.retain(keep),
        }
    }
}

impl Deref for Samples {
    type Target = [Sample];

    #[inline]
    fn deref(&self) -> &[Sample] {
        match &self.0 {
            Kept::None => &[],
            Kept::One(sample) => std::slice::from_ref(sample),
            Kept::Many(all) => all,
        }
    }
}

impl DerefMut for Samples {
    fn deref_mut(&mut self) -> &mut [Sample] {
        match &mut self.0 {
            Kept::None => &mut [],
            Kept::One(sample) => std::slice::from_mut(sample),
            Kept::Many(all) => all,
        }
    }
}

impl From<Vec<Sample>> for Samples {
    fn from(all: Vec<Sample>) -> Self {
        Self(Kept::Many(all))
    }
}

impl FromIterator<Sample> for Samples {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        samples.into_iter().collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_sample_takes_the_room_of_an_empty_list() {
        assert_eq!(size_of::<Samples>(), size_of::<Vec<Sample>>());
    }

    proptest! {
        /// Against a vector.
        #[test]
        fn property_samples_are_those_that_were_pushed_and_kept(
            times in prop::collection::vec(0i64..20, 0..5),
            least in 0i64..20,
            more in prop::collection::vec(0i64..20, 0..3),
        ) {
            let sample = |time_ms: &i64| Sample { time_ms: *time_ms, value: *time_ms as f64 };
            let of = |s: &[Sample]| s.iter().map(|s| (s.time_ms, s.value)).collect::<Vec<_>>();
            let (mut samples, mut naive) = (Samples::default(), Vec::new());
            for time in &times {
                samples.push(sample(time));
                naive.push(sample(time));
            }
            prop_assert_eq!(of(&samples), of(&naive));
            samples.retain(|s| s.time_ms >= least);
            naive.retain(|s| s.time_ms >= least);
            for time in &more {
                samples.push(sample(time));
                naive.push(sample(time));
            }
            samples.iter_mut().chain(&mut naive).for_each(|s| s.value += 1.0);
            prop_assert_eq!(of(&samples), of(&naive));
            prop_assert_eq!(of(&naive), of(&naive.iter().copied().collect::<Samples>()));
        }
    }
}
