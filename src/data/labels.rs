//! The labels of a series: one piece of memory that is cheap to copy, to compare and to look up.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::name::Name;
use crate::hash::hash_of;

/// `TimeSeries.labels` of remote write 1.0.
const LABEL: u8 = 0x0a;
/// `Label.name`.
const NAME: u8 = 0x0a;
/// `Label.value`.
const VALUE: u8 = 0x12;

/// Label pairs, sorted by name.
///
/// Kept as a sender of remote write 1.0 has them on the wire when it sorts, as all do: what was seen before
/// can be known again by its bytes.
#[derive(Clone)]
pub struct Labels {
    packed: Arc<[u8]>,
    hash: u64,
}

impl Labels {
    /// Labels by their packed form, as [`pack`] makes it of sorted pairs.
    fn new(packed: Arc<[u8]>) -> Self {
        Self { hash: hash_of(&packed), packed }
    }

    /// Labels of pairs that are sorted by name; `room` is for scratch.
    pub fn of_sorted(pairs: &[(&str, &str)], room: &mut Vec<u8>) -> Self {
        debug_assert!(pairs.is_sorted());
        room.clear();
        pairs.iter().for_each(|(name, value)| pack(name, value, room));
        Self::new(room.as_slice().into())
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.packed;
        std::iter::from_fn(move || {
            let (name, value, after) = unpack(rest)?;
            rest = after;
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }

    /// The value of label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut rest = &*self.packed;
        loop {
            // All other names and values need not be texts.
            let (found, value, after) = unpack(rest)?;
            if found == name.as_bytes() {
                return std::str::from_utf8(value).ok();
            }
            rest = after;
        }
    }

    /// The values of labels `names`, which are sorted: one walk for all of them.
    pub fn values(&self, names: &[impl AsRef<str>]) -> Vec<Option<&str>> {
        debug_assert!(names.is_sorted_by(|a, b| a.as_ref() < b.as_ref()));
        let mut values = vec![None; names.len()];
        let (mut rest, mut at) = (&*self.packed, 0);
        while let Some((name, value, after)) = unpack(rest) {
            rest = after;
            while names.get(at).is_some_and(|asked| asked.as_ref().as_bytes() < name) {
                at += 1;
            }
            match names.get(at) {
                None => break,
                Some(asked) if asked.as_ref().as_bytes() == name => {
                    values[at] = std::str::from_utf8(value).ok();
                    at += 1;
                }
                Some(_) => {}
            }
        }
        values
    }

    /// The same without label `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let pairs: Vec<(&str, &str)> = self.iter().filter(|(n, _)| *n != name).collect();
        Self::of_sorted(&pairs, &mut Vec::new())
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// The packed form.
    pub fn packed(&self) -> &Arc<[u8]> {
        &self.packed
    }
}

/// Appends a pair to a packed form.
pub fn pack(name: &str, value: &str, into: &mut Vec<u8>) {
    let bytes = field_bytes(name) + field_bytes(value);
    into.reserve(bytes + 1 + varint_bytes(bytes));
    into.push(LABEL);
    put_varint(bytes, into);
    for (key, text) in [(NAME, name), (VALUE, value)] {
        into.push(key);
        put_varint(text.len(), into);
        into.extend_from_slice(text.as_bytes());
    }
}

/// Bytes of a text with its key and length.
fn field_bytes(text: &str) -> usize {
    1 + varint_bytes(text.len()) + text.len()
}

fn varint_bytes(mut n: usize) -> usize {
    let mut bytes = 1;
    while n >= 0x80 {
        (n, bytes) = (n >> 7, bytes + 1);
    }
    bytes
}

fn put_varint(mut n: usize, into: &mut Vec<u8>) {
    while n >= 0x80 {
        into.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    into.push(n as u8);
}

/// The first pair of a packed form, and the rest of it.
#[inline]
fn unpack(packed: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (pair, after) = field(LABEL, packed)?;
    let (name, value) = field(NAME, pair)?;
    let (value, _) = field(VALUE, value)?;
    Some((name, value, after))
}

fn field(key: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes.strip_prefix(&[key])?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        length |= usize::from(byte & 0x7f) << shift;
        (rest, shift) = (after, shift + 7);
        if *byte < 0x80 {
            return rest.split_at_checked(length);
        }
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        let is_same = || Arc::ptr_eq(&self.packed, &other.packed) || self.packed == other.packed;
        self.hash == other.hash && is_same()
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Some fixed order.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.packed.cmp(&other.packed)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Sorts them.
impl FromIterator<(Name, Name)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Name, Name)>>(pairs: I) -> Self {
        let owned: Vec<(Name, Name)> = pairs.into_iter().collect();
        let mut pairs: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (&**n, &**v)).collect();
        pairs.sort_unstable();
        Self::of_sorted(&pairs, &mut Vec::new())
    }
}

impl From<Vec<(Name, Name)>> for Labels {
    fn from(pairs: Vec<(Name, Name)>) -> Self {
        pairs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(String, String)]) -> Labels {
        pairs.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect()
    }

    proptest! {
        #[test]
        fn property_pairs_come_out_sorted_and_as_they_went_in(
            pairs in prop::collection::vec(("[a-zé_]{0,5}", "[ -~é]{0,200}"), 0..6),
        ) {
            let labels = labels(&pairs);
            let mut sorted = pairs.clone();
            sorted.sort();
            let got: Vec<(String, String)> =
                labels.iter().map(|(n, v)| (n.into(), v.into())).collect();
            prop_assert_eq!(got, sorted.clone());
            prop_assert_eq!((labels.len(), labels.is_empty()), (pairs.len(), pairs.is_empty()));
            for (name, _) in &pairs {
                let first = sorted.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
                prop_assert_eq!(labels.get(name), first);
            }
            let asked: BTreeSet<&str> =
                pairs.iter().map(|(n, _)| n.as_str()).skip(1).chain(["", "a", "zz"]).collect();
            let asked: Vec<&str> = asked.into_iter().collect();
            let each: Vec<_> = asked.iter().map(|name| labels.get(name)).collect();
            prop_assert_eq!(labels.values(&asked), each);
        }

        #[test]
        fn property_labels_are_equal_when_their_pairs_are(
            one in prop::collection::vec(("[ab]{1,2}", "[ab]{1,2}"), 0..3),
            other in prop::collection::vec(("[ab]{1,2}", "[ab]{1,2}"), 0..3),
        ) {
            let sorted = |pairs: &[(String, String)]| {
                let mut pairs = pairs.to_vec();
                pairs.sort();
                pairs
            };
            let is_equal = labels(&one) == labels(&other);
            prop_assert_eq!(is_equal, sorted(&one) == sorted(&other));
        }
    }

    #[test]
    fn the_packed_form_is_that_of_remote_write() {
        let pairs: Vec<(Name, Name)> =
            vec![("b".into(), "x".repeat(200).into()), ("a".into(), "".into())];
        let packed = Labels::from(pairs).packed().to_vec();
        let mut expected = vec![0x0a, 5, 0x0a, 1, b'a', 0x12, 0];
        expected.extend([0x0a, 206, 1, 0x0a, 1, b'b', 0x12, 200, 1]);
        expected.extend([b'x'; 200]);
        assert_eq!(packed, expected);
    }
}
