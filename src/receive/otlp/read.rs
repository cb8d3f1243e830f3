//! `ExportTraceServiceRequest` as protobuf -> [`Span`]s, read in place.
//!
//! Only what pairing needs is looked at: events, links, scopes and attributes that say nothing about who
//! called whom are skipped unread, so they may hold anything.

use super::attributes::{OF_CLIENT, OF_RESOURCE, peer, place};
use super::names::Names;
use super::origin::Origin;
use super::tracestate::weight;
use super::wanted::{Wanted, add};
use crate::data::{Half, Peer, Span};
use crate::receive::error::Rejection;
use crate::receive::fields::{Fields, Malformed, Value};

/// Messages a body may hold for every item that may wait in the queue: an item has parts.
pub(super) const PARTS: usize = 16;
/// Two ids, two times and their keys: no valid span is shorter.
const SPAN_BYTES_MIN: usize = 46;
/// `Status.code` of a span that failed.
const ERROR: i32 = 2;

/// Turns a request into spans. Returns them with the number of spans that are not valid OTLP (wrong id
/// length, zero id, no start or end). Names are cut at `name_max` bytes.
///
/// # Errors
/// [`Rejection::Malformed`] when the bytes are not the message, [`Rejection::TooLarge`] when they hold more
/// than 16 messages for each of `items_max`.
pub fn read_export(
    bytes: &[u8],
    name_max: usize,
    items_max: u32,
) -> Result<(Vec<Span>, u64), Rejection> {
    let max = PARTS * items_max as usize;
    let names = Names::new(name_max);
    let mut reader = Reader { names, spans: Vec::new(), invalid: 0, left: max };
    match reader.request(bytes) {
        Ok(()) => Ok((reader.spans, reader.invalid)),
        Err(Stop::Malformed(fault)) => Err(fault.into()),
        Err(Stop::Full) => {
            let (what, key) = ("number of messages", "16 * receive.queue_items_max");
            Err(Rejection::TooLarge { what, key, max })
        }
    }
}

enum Stop {
    Malformed(Malformed),
    Full,
}

impl From<Malformed> for Stop {
    fn from(fault: Malformed) -> Self {
        Self::Malformed(fault)
    }
}

struct Reader<'a> {
    names: Names<'a>,
    spans: Vec<Span>,
    invalid: u64,
    /// Messages that may still come.
    left: usize,
}

impl<'a> Reader<'a> {
    fn request(&mut self, bytes: &'a [u8]) -> Result<(), Stop> {
        for field in Fields::new(bytes) {
            if let (1, value) = field? {
                let resource_spans = self.message(value)?;
                let origin = self.origin(resource_spans.clone())?;
                for field in resource_spans {
                    if let (2, value) = field? {
                        self.scope(value, &origin)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, value: Value<'a>) -> Result<Fields<'a>, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Full)?;
        Ok(value.fields()?)
    }

    /// The resource may stand behind its spans.
    fn origin(&mut self, resource_spans: Fields<'a>) -> Result<Origin, Stop> {
        let mut found = Wanted::new(&OF_RESOURCE);
        for field in resource_spans {
            if let (1, value) = field? {
                for field in value.fields()? {
                    if let (1, value) = field? {
                        add(&mut found, value)?;
                    }
                }
            }
        }
        Ok(Origin::new(place(|k| found.text(k)), &mut self.names))
    }

    fn scope(&mut self, value: Value<'a>, origin: &Origin) -> Result<(), Stop> {
        let scope = self.message(value)?;
        // Room for all of them, as far as they can be spans: empty messages are cheap to send.
        let spans = scope.clone().filter(|f| matches!(f, Ok((2, _)))).count();
        self.spans.reserve(spans.min(scope.bytes() / SPAN_BYTES_MIN));
        for field in scope {
            if let (2, value) = field? {
                let fields = self.message(value)?;
                match self.span(fields, origin)? {
                    Some(span) => self.spans.push(span),
                    None => self.invalid += 1,
                }
            }
        }
        Ok(())
    }

    fn span(&mut self, fields: Fields<'a>, origin: &Origin) -> Result<Option<Span>, Malformed> {
        let wire = Wire::read(fields)?;
        let half = match wire.kind {
            2 => Half::Server,
            3 => Half::Client,
            4 => Half::Producer,
            5 => Half::Consumer,
            _ => Half::Internal,
        };
        let peer = match (half, wire.attributes) {
            (Half::Client | Half::Producer, Some(attributes)) => self.peer(attributes)?,
            _ => None,
        };
        let parent = if wire.parent.is_empty() { Some(0) } else { number(wire.parent) };
        let ids = (trace(wire.trace), number(wire.id), parent);
        let (Some(trace), Some(id), Some(parent)) = ids else { return Ok(None) };
        let has_times = wire.start_ns > 0 && wire.end_ns > 0;
        let latest = wire.start_ns.max(wire.end_ns);
        if trace == 0 || id == 0 || !has_times || i64::try_from(latest).is_err() {
            return Ok(None);
        }
        Ok(Some(Span {
            trace,
            id,
            parent,
            half,
            start_ns: wire.start_ns,
            end_ns: wire.end_ns,
            service: origin.service.clone(),
            replica: origin.replica.clone(),
            node: origin.node.clone(),
            op: self.names.get(wire.name),
            peer,
            failed: wire.status == ERROR,
            weight: std::str::from_utf8(wire.state).ok().and_then(weight),
        }))
    }

    /// `fields` begins at the first attribute.
    fn peer(&mut self, fields: Fields<'a>) -> Result<Option<Peer>, Malformed> {
        let mut found = Wanted::new(&OF_CLIENT);
        for field in fields {
            if let (9, value) = field? {
                add(&mut found, value)?;
            }
        }
        let peer = peer(|k| found.text(k));
        Ok(peer.map(|(name, kind)| Peer { name: self.names.get(name), kind }))
    }
}

/// A span as it stands on the wire.
#[derive(Default)]
struct Wire<'a> {
    trace: &'a [u8],
    id: &'a [u8],
    state: &'a [u8],
    parent: &'a [u8],
    name: &'a str,
    kind: i32,
    start_ns: u64,
    end_ns: u64,
    /// What follows from the first attribute on; the kind, which says whether they matter, may follow too.
    attributes: Option<Fields<'a>>,
    status: i32,
}

impl<'a> Wire<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Self, Malformed> {
        let mut wire = Self::default();
        loop {
            let here = fields.clone();
            let Some(field) = fields.next() else { return Ok(wire) };
            let (tag, value) = field?;
            match tag {
                1 => wire.trace = value.bytes()?,
                2 => wire.id = value.bytes()?,
                3 => wire.state = value.bytes()?,
                4 => wire.parent = value.bytes()?,
                5 => wire.name = value.text()?,
                6 => wire.kind = value.varint()? as i32,
                7 => wire.start_ns = value.bits64()?,
                8 => wire.end_ns = value.bits64()?,
                9 => drop(wire.attributes.get_or_insert(here)),
                15 => {
                    for field in value.fields()? {
                        if let (3, code) = field? {
                            wire.status = code.varint()? as i32;
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn trace(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
