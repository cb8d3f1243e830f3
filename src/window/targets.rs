//! Targets as numbers: many series describe one, and an interval that closes looks none of them up.

use super::target::Target;
use crate::hash::HashMap;

/// Targets that series describe, and how many series do.
#[derive(Debug, Default)]
pub(super) struct Targets {
    numbers: HashMap<Target, usize>,
    all: Vec<Option<(Target, usize)>>,
    free: Vec<usize>,
}

impl Targets {
    /// The number of `target`, which one more series describes.
    pub(super) fn take(&mut self, target: Target) -> usize {
        if let Some(number) = self.numbers.get(&target) {
            if let Some((_, series)) = &mut self.all[*number] {
                *series += 1;
            }
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        self.all[number] = Some((target.clone(), 1));
        self.numbers.insert(target, number);
        number
    }

    /// One series less describes the target with this number, which is nobody's when none does.
    pub(super) fn give_back(&mut self, number: usize) {
        let Some((target, series)) = &mut self.all[number] else { return };
        *series -= 1;
        if *series == 0 {
            self.numbers.remove(target);
            self.all[number] = None;
            self.free.push(number);
        }
    }

    /// All targets by their numbers; some numbers are nobody's.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Target>> {
        self.all.iter().map(|known| known.as_ref().map(|(target, _)| target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_while_a_series_describes_its_target_and_then_given_to_another() {
        let mut targets = Targets::default();
        let (a, b) = (Target::Node("a".into()), Target::Node("b".into()));
        assert_eq!([&a, &b, &a].map(|t| targets.take(t.clone())), [0, 1, 0]);
        targets.give_back(0);
        assert_eq!(targets.take(a.clone()), 0);
        targets.give_back(0);
        targets.give_back(0);
        assert_eq!(targets.iter().collect::<Vec<_>>(), [None, Some(&b)]);
        let c = Target::Service("c".into());
        assert_eq!([&c, &a].map(|t| targets.take(t.clone())), [0, 2]);
    }
}
