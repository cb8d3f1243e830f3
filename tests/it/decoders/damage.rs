//! What may happen to bytes on their way.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

/// The same cases in every run.
pub(super) fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x5a6e),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// One change to a message.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    Cut(Index),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index),
    /// Fields that nobody knows, which is no damage.
    Unknown,
}

/// None, one or two changes.
pub(super) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let index = any::<Index>;
    let one = prop_oneof![
        index().prop_map(Damage::Cut),
        (index(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (index(), prop::collection::vec(any::<u8>(), 1..4))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        index().prop_map(Damage::Remove),
        Just(Damage::Unknown),
    ];
    prop::collection::vec(one, 0..3)
}

pub(super) fn damage(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for one in damages {
        if bytes.is_empty() {
            break;
        }
        match one {
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Damage::Insert(at, new) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
            Damage::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            // Number 100 in every type but groups.
            Damage::Unknown => bytes.extend([
                0xa0, 0x06, 0x01, 0xa2, 0x06, 0x01, b'x', 0xa5, 0x06, 0, 0, 0, 0, 0xa1, 0x06, 0, 0,
                0, 0, 0, 0, 0, 0,
            ]),
        }
    }
    bytes
}
