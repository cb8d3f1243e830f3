//! Names as numbers: what the windows compare, hash and keep for every span is four bytes.
//!
//! A name keeps its number as long as anything that waits or is remembered has it. When the table has
//! doubled, the numbers that nobody has any more are given to others: the table is never more than twice
//! as large as what the limits of its users allow, and a sweep costs no more than what was added since
//! the last one.

use std::sync::Arc;

use crate::data::{Name, OVERFLOW, USER};
use crate::hash::HashMap;

/// The number of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(u32);

impl Id {
    /// The empty name.
    pub(super) const NOTHING: Self = Self(0);
    /// [`USER`].
    pub(super) const USER: Self = Self(1);
    /// [`OVERFLOW`].
    pub(super) const OVERFLOW: Self = Self(2);

    pub(super) fn is_nothing(self) -> bool {
        self == Self::NOTHING
    }
}

/// What a name takes beside its text: its places in the two tables, and what the allocator adds.
const NAME_BYTES: usize = 112;

/// Names below this number need no sweep.
const FEW: usize = 4096;

/// The table of names.
#[derive(Debug)]
pub(super) struct Names {
    ids: HashMap<Name, Id>,
    names: Vec<Name>,
    /// Numbers that are nobody's.
    free: Vec<Id>,
    /// Names in the table after the last sweep.
    swept: usize,
    /// Bytes of all names.
    text: usize,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self {
            ids: HashMap::default(),
            names: Vec::new(),
            free: Vec::new(),
            swept: 0,
            text: 0,
        };
        for (name, id) in [("", Id::NOTHING), (USER, Id::USER), (OVERFLOW, Id::OVERFLOW)] {
            let given = names.get(&name.into());
            debug_assert_eq!(given, id);
        }
        names
    }
}

impl Names {
    /// The number of `name`, which gets one if it has none.
    pub(super) fn get(&mut self, name: &Name) -> Id {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.names[id.0 as usize] = name.clone();
                id
            }
            None => {
                self.names.push(name.clone());
                // Four billion names do not fit into memory.
                Id(u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.ids.insert(name.clone(), id);
        self.text += name.len();
        id
    }

    /// What all take in memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.text + self.ids.len() * NAME_BYTES
    }

    /// The name with number `id`.
    pub(super) fn name(&self, id: Id) -> &Name {
        &self.names[id.0 as usize]
    }

    /// Whether enough has come since the last sweep to look for what is no longer used.
    pub(super) fn has_doubled(&self) -> bool {
        self.ids.len() > FEW.max(2 * self.swept)
    }

    /// Takes back every number that is not in `used`.
    pub(super) fn sweep(&mut self, used: impl Iterator<Item = Id>) {
        let mut is_used = vec![false; self.names.len()];
        for id in [Id::NOTHING, Id::USER, Id::OVERFLOW].into_iter().chain(used) {
            is_used[id.0 as usize] = true;
        }
        let (names, free, text) = (&mut self.names, &mut self.free, &mut self.text);
        self.ids.retain(|name, id| {
            let keep = is_used[id.0 as usize];
            if !keep {
                *text -= name.len();
                names[id.0 as usize] = Name::default();
                free.push(*id);
            }
            keep
        });
        self.swept = self.ids.len();
        if self.ids.capacity() / 4 > self.swept.max(FEW) {
            self.ids.shrink_to(2 * self.swept);
        }
    }
}

const SLOTS: usize = 256;

/// Numbers of the names of one batch, by where the names stand in memory: spans of one request share them.
/// Good only while all of the batch is there.
#[derive(Debug)]
pub(super) struct Recent {
    slots: Box<[(usize, usize, Id); SLOTS]>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { slots: Box::new([(0, 0, Id::NOTHING); SLOTS]) }
    }
}

impl Recent {
    /// Forgets the batch before.
    pub(super) fn begin(&mut self) {
        self.slots.fill((0, 0, Id::NOTHING));
    }

    /// The number of `name`.
    #[inline]
    pub(super) fn get(&mut self, name: &Name, names: &mut Names) -> Id {
        let at = Arc::as_ptr(name).cast::<u8>() as usize;
        // Names lie at least 32 bytes apart; neighbours get neighbouring slots.
        let slot = &mut self.slots[(at >> 5) % SLOTS];
        // An empty name may stand at the address of another.
        if (slot.0, slot.1) != (at, name.len()) {
            *slot = (at, name.len(), names.get(name));
        }
        slot.2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_names_that_code_knows_have_fixed_numbers() {
        let mut names = Names::default();
        for (name, id) in [("", Id::NOTHING), (USER, Id::USER), (OVERFLOW, Id::OVERFLOW)] {
            assert_eq!((names.get(&name.into()), &**names.name(id)), (id, name));
        }
        names.sweep(std::iter::empty());
        assert_eq!((names.ids.len(), &**names.name(Id::USER)), (3, USER));
        let few = names.held_bytes();
        names.get(&"x".repeat(5000).into());
        assert!(names.held_bytes() >= few + 5000);
        names.sweep(std::iter::empty());
        assert_eq!(names.held_bytes(), few);
    }

    proptest! {
        /// Against the names themselves.
        #[test]
        fn property_equal_numbers_mean_equal_names_across_sweeps(
            steps in prop::collection::vec((0u8..40, prop::bool::weighted(0.2)), 1..200),
        ) {
            let (mut names, mut recent) = (Names::default(), Recent::default());
            let mut kept: Vec<(Name, Id)> = Vec::new();
            for (n, sweep) in steps {
                let name: Name = format!("n{n}").into();
                recent.begin();
                let id = recent.get(&name, &mut names);
                prop_assert_eq!(id, recent.get(&name, &mut names));
                prop_assert_eq!(names.name(id), &name);
                kept.push((name, id));
                if sweep {
                    kept.drain(..kept.len() / 2);
                    names.sweep(kept.iter().map(|(_, id)| *id));
                }
                for (a, a_id) in &kept {
                    prop_assert_eq!(names.name(*a_id), a);
                    prop_assert!(kept.iter().all(|(b, b_id)| (a == b) == (a_id == b_id)));
                }
            }
        }
    }
}
