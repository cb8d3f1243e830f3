//! Hash maps of the data plane: fast, and keyed by chance, for their keys come from strangers.
//!
//! The hash is [foldhash](https://docs.rs/foldhash), several times as fast as the SipHash of the standard
//! library on keys this short. Who can see hashes or the order of a map can find its key; nobody outside
//! sees either: whatever leaves the process is sorted. The key is drawn from the operating system's
//! randomness, not from addresses and the time of day as foldhash's own would be, and every map adds one of
//! its own, so that keys which collide in one map do not in the next.

use std::hash::{BuildHasher, Hasher as _, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

/// A map with a fast keyed hash.
pub type HashMap<K, V> = std::collections::HashMap<K, V, Keyed>;
/// A set with a fast keyed hash.
pub type HashSet<K> = std::collections::HashSet<K, Keyed>;

/// Makes the hashers of one map.
#[derive(Clone, Debug)]
pub struct Keyed(SeedableRandomState);

impl Default for Keyed {
    fn default() -> Self {
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let chance = || RandomState::new().hash_one(0_u8);
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(chance()));
        Self(SeedableRandomState::with_seed(chance(), shared))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// The hash of `bytes` under one key for all of the process, to be kept with them.
pub fn hash_of(bytes: &[u8]) -> u64 {
    static KEYED: OnceLock<Keyed> = OnceLock::new();
    let mut hasher = KEYED.get_or_init(Keyed::default).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_has_a_key_of_its_own_that_its_clones_share() {
        let (one, other) = (Keyed::default(), Keyed::default());
        assert_eq!(one.hash_one("cart"), one.clone().hash_one("cart"));
        assert_ne!(one.hash_one("cart"), other.hash_one("cart"));
    }
}
