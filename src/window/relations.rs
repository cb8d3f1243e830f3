//! The spans of a trace by their relations: who called whom, and what is below what.
//!
//! One is used for all traces: sorted lists of numbers, for which a trace is small enough.

use super::traces::{Trace, Waiting};
use crate::data::Half;

/// Places of spans by a span id, sorted; the later of two with one id counts.
#[derive(Debug, Default)]
struct ById(Vec<(u64, u32)>);

impl ById {
    fn last(&self, id: u64) -> Option<usize> {
        let end = self.0.partition_point(|(k, _)| *k <= id);
        let (k, i) = self.0[..end].last()?;
        (*k == id).then_some(*i as usize)
    }

    fn all(&self, id: u64) -> impl Iterator<Item = usize> {
        let begin = self.0.partition_point(|(k, _)| *k < id);
        self.0[begin..].iter().take_while(move |(k, _)| *k == id).map(|(_, i)| *i as usize)
    }
}

/// Relations within one trace.
#[derive(Debug, Default)]
pub(super) struct Relations {
    callers: ById,
    others: ById,
    /// Server halves by the span that called them.
    callees: ById,
    /// Server halves.
    servers: Vec<u32>,
}

impl Relations {
    /// Forgets the trace before and looks at this one.
    pub(super) fn of(&mut self, trace: &Trace) {
        let lists = [&mut self.callers, &mut self.others, &mut self.callees];
        lists.into_iter().for_each(|list| list.0.clear());
        self.servers.clear();
        for (i, s) in (0u32..).zip(&trace.spans) {
            match s.half {
                Half::Client | Half::Producer => self.callers.0.push((s.id, i)),
                Half::Server | Half::Consumer => {
                    self.others.0.push((s.id, i));
                    self.servers.push(i);
                }
                Half::Internal => self.others.0.push((s.id, i)),
            }
        }
        self.callers.0.sort_unstable();
        self.others.0.sort_unstable();
        for i in &self.servers {
            let s = &trace.spans[*i as usize];
            // Zipkin-style halves share the id; otherwise the parent is the client half.
            let is_shared = self.callers.last(s.id).is_some();
            self.callees.0.push((if is_shared { s.id } else { s.parent }, *i));
        }
        self.callees.0.sort_unstable();
    }

    /// The client half of a server half.
    pub(super) fn client_of(&self, server: &Waiting) -> Option<usize> {
        self.callers.last(server.id).or_else(|| self.callers.last(server.parent))
    }

    /// Server halves that the client half with this id called, in order of arrival.
    pub(super) fn callees(&self, client: u64) -> impl Iterator<Item = usize> {
        self.callees.all(client)
    }

    /// The span with this id that is no client half.
    pub(super) fn other(&self, id: u64) -> Option<usize> {
        self.others.last(id)
    }

    /// What a span was called by or stands below.
    pub(super) fn above(&self, span: &Waiting) -> Option<usize> {
        let is_served = matches!(span.half, Half::Server | Half::Consumer);
        let client = if is_served { self.client_of(span) } else { None };
        client.or_else(|| self.other(span.parent)).or_else(|| self.callers.last(span.parent))
    }

    /// Server halves in order of arrival.
    pub(super) fn servers(&self) -> impl Iterator<Item = usize> {
        self.servers.iter().map(|i| *i as usize)
    }
}
