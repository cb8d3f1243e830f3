//! The few attributes that are read, out of many.

use crate::receive::fields::{Malformed, Value};

/// Values of the attributes that are wanted, as far as they came.
#[derive(Debug)]
pub(super) struct Wanted<'a, const N: usize> {
    keys: &'static [&'static str; N],
    /// Lengths that a wanted key has, one bit each: most others are out by that.
    lengths: u64,
    found: [Found<'a>; N],
}

#[derive(Clone, Copy, Debug, Default)]
enum Found<'a> {
    #[default]
    Not,
    /// With a value that is no text, or an empty one.
    Mute,
    Text(&'a str),
}

impl<'a, const N: usize> Wanted<'a, N> {
    #[inline]
    pub(super) fn new(keys: &'static [&'static str; N]) -> Self {
        let lengths = keys.iter().fold(0, |bits, key| bits | 1 << (key.len() & 63));
        Self { keys, lengths, found: [Found::Not; N] }
    }

    /// The text of the attribute at place `k`.
    pub(super) fn text(&self, k: usize) -> Option<&'a str> {
        if let Found::Text(text) = self.found[k] { Some(text) } else { None }
    }

    fn place(&self, key: &[u8]) -> Option<usize> {
        if key.len() > 63 || self.lengths >> key.len() & 1 == 0 {
            return None;
        }
        self.keys.iter().position(|k| k.as_bytes() == key)
    }
}

/// Takes a `KeyValue`. The first of two with the same key counts.
pub(super) fn add<'a, const N: usize>(
    wanted: &mut Wanted<'a, N>,
    attribute: Value<'a>,
) -> Result<(), Malformed> {
    let fields = attribute.fields()?;
    let mut key = &[][..];
    for field in fields.clone() {
        if let (1, value) = field? {
            key = value.bytes()?;
        }
    }
    let Some(place) = wanted.place(key) else { return Ok(()) };
    let mut found = Found::Mute;
    for field in fields {
        if let (2, value) = field? {
            // A value that comes twice is one: what is said last holds.
            for field in value.fields()? {
                match field? {
                    (1, text) => {
                        let text = text.text()?;
                        found = if text.is_empty() { Found::Mute } else { Found::Text(text) };
                    }
                    (2..=8, _) => found = Found::Mute,
                    _ => {}
                }
            }
        }
    }
    if matches!(wanted.found[place], Found::Not) {
        wanted.found[place] = found;
    }
    Ok(())
}
