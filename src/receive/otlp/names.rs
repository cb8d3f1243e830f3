//! Names of one request, each stored once.

use crate::data::Name;
use crate::hash::HashMap;

/// Shares names, cut at a limit.
#[derive(Debug)]
pub(super) struct Names<'a> {
    seen: HashMap<&'a str, Name>,
    max: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new(max: usize) -> Self {
        Self { seen: HashMap::default(), max }
    }

    pub(super) fn get(&mut self, text: &'a str) -> Name {
        let mut end = text.len().min(self.max);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        self.seen.entry(text).or_insert_with(|| text.into()).clone()
    }
}
