//! From what became of each change to one word about all of them. Pure.

use super::event::Word;

/// How one change stands that is to be kept.
pub(super) enum Kept {
    /// What it changed is not there any more: there is nothing to keep, and nothing lost.
    Gone(String),
    /// Anything else.
    Word(Word),
}

/// Of several changes that are to be kept. A replica that goes does not end the fix of the others; only when
/// all are gone is it over.
pub(super) fn kept(all: Vec<Kept>) -> Word {
    let (mut words, mut gone) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Kept::Word(word) => words.push(word),
            Kept::Gone(why) => gone.push(why),
        }
    }
    if words.is_empty() && !gone.is_empty() {
        return Word::Lost { is_foreign: true, why: gone.join("; ") };
    }
    worst(words)
}

/// Of several words the one that matters most.
pub(super) fn worst(words: impl IntoIterator<Item = Word>) -> Word {
    let weight = |word: &Word| match word {
        Word::InForce => 0,
        Word::Reverted(note) => usize::from(!note.is_empty()),
        Word::Unheard(_) => 2,
        Word::Refused(_) | Word::NotReverted(_) => 3,
        Word::Lost { is_foreign, .. } => 4 + usize::from(*is_foreign),
    };
    let worst = words.into_iter().max_by_key(weight);
    worst.unwrap_or_else(|| Word::Refused("there is nothing to change".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_goes_does_not_end_the_fix_of_the_others() {
        let gone = || Kept::Gone("pod a is gone".into());
        let word = |word| Kept::Word(word);
        assert_eq!(kept(vec![gone(), word(Word::InForce), gone()]), Word::InForce);
        let unheard = || Word::Unheard("no answer".into());
        assert_eq!(kept(vec![word(Word::InForce), gone(), word(unheard())]), unheard());
        let lost = Word::Lost { is_foreign: true, why: "pod a is gone; pod a is gone".into() };
        assert_eq!(kept(vec![gone(), gone()]), lost);
    }
}
