//! What a series is known by: the bytes of its labels, where they stand in front and in one piece.

use super::histogram::varints;
use super::survey::Shape;
use crate::data::pack;
use crate::receive::fields::Fields;

/// How a label begins in a series of 1.0.
pub(super) const LABEL: u8 = 0x0a;

/// Keys of one request, one after the other.
#[derive(Debug, Default)]
pub(super) struct Key {
    room: Vec<u8>,
}

impl Key {
    /// The key of a series, and what follows its labels. `None` when it has none: no labels, or references
    /// that lead nowhere.
    ///
    /// Labels of 1.0 are their own key. Those of 2.0 are references that mean something else in the next
    /// request: their key is what 1.0 would have sent.
    pub(super) fn of<'s>(
        &'s mut self,
        bytes: &'s [u8],
        shape: &Shape<'_, '_>,
    ) -> Option<(&'s [u8], &'s [u8])> {
        let mut fields = Fields::new(bytes);
        let Some(symbols) = shape.symbols else {
            fields.pass_over(LABEL);
            let mut end = bytes.len() - fields.bytes();
            while let Some(Ok((1, _))) = fields.next() {
                end = bytes.len() - fields.bytes();
            }
            return (end > 0).then(|| bytes.split_at(end));
        };
        let (1, references) = fields.next()?.ok()? else { return None };
        self.room.clear();
        let (mut half, mut is_whole) = (None, true);
        varints(references, |n| {
            let Some(text) = symbols.get(n as u32 as usize) else {
                is_whole = false;
                return;
            };
            match half.take() {
                None => half = Some(*text),
                Some(name) => pack(name, text, &mut self.room),
            }
        })
        .ok()?;
        let rest = &bytes[bytes.len() - fields.bytes()..];
        (is_whole && half.is_none() && !self.room.is_empty()).then_some((&*self.room, rest))
    }
}
