//! Bodies that are encoded once and made new by writing times, trace ids and values in place: the
//! generator must cost less than what it measures.

use crate::data::STALE_NAN_BITS;

/// First half of every trace id of a template.
pub(super) const TRACE_MARK: [u8; 8] = [0x5a, 0x9e, 0x10, 0xad, 0xf0, 0x0d, 0xca, 0xfe];
/// Highest three bytes of every time of a span in a template; the rest is nanoseconds from the start.
pub(super) const TIME_MARK: u64 = 0x00c3_a5e1;
/// The value of every sample of a template: a NaN nobody sends.
pub(super) const VALUE_MARK: u64 = STALE_NAN_BITS ^ 0x0000_5a9e_10ad_0000;
/// The time of every sample of a template: as long, once encoded, as the times of this century.
pub(super) const STAMP_MARK_MS: i64 = 1 << 40;

/// Tag of the start and of the end of a span.
const TIME_TAGS: [u8; 2] = [0x39, 0x41];
/// Spreads numbers that follow one another over all 64 bits, each to another one.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bytes of a time in milliseconds, as a varint.
const STAMP_BYTES: usize = 6;

/// What is written anew, and where.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// First half of a trace id.
    Trace(usize),
    /// A time so many nanoseconds after the start.
    Time(usize, u64),
    /// A value, a tag, a time.
    Sample(usize),
}

/// One encoded request.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    items: u64,
    places: Vec<Place>,
}

/// Requests without end.
#[derive(Debug)]
pub struct Bodies {
    templates: Vec<Template>,
    seed: u64,
}

/// A request that is ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Body {
    /// Uncompressed protobuf.
    pub(super) bytes: Vec<u8>,
    /// Spans or samples.
    pub(super) items: u64,
}

fn places(bytes: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = 0;
    while at + 9 <= bytes.len() {
        let next: [u8; 8] = bytes[at + 1..at + 9].try_into().unwrap_or_default();
        let word = u64::from_le_bytes(next);
        let step = if bytes[at..].starts_with(&TRACE_MARK) {
            places.push(Place::Trace(at));
            TRACE_MARK.len()
        } else if TIME_TAGS.contains(&bytes[at]) && word >> 40 == TIME_MARK {
            places.push(Place::Time(at + 1, word & 0xff_ffff_ffff));
            9
        } else if bytes[at] == 0x09 && word == VALUE_MARK {
            places.push(Place::Sample(at + 1));
            9
        } else {
            1
        };
        at += step;
    }
    places
}

/// A varint of exactly [`STAMP_BYTES`].
fn stamp(ms: u64) -> [u8; STAMP_BYTES] {
    std::array::from_fn(|i| {
        let more = if i + 1 < STAMP_BYTES { 0x80 } else { 0 };
        (ms >> (7 * i) & 0x7f) as u8 | more
    })
}

impl Bodies {
    /// From encoded requests and the items in each; `seed` tells the traces of two streams apart.
    ///
    /// # Panics
    /// Without any request.
    pub(super) fn new(encoded: Vec<(Vec<u8>, u64)>, seed: u64) -> Self {
        assert!(!encoded.is_empty(), "there is something to send");
        let template =
            |(bytes, items): (Vec<u8>, u64)| Template { places: places(&bytes), bytes, items };
        Self { templates: encoded.into_iter().map(template).collect(), seed }
    }

    fn template(&self, n: u64) -> &Template {
        &self.templates[(n % self.templates.len() as u64) as usize]
    }

    /// Items of request `n`.
    pub(super) fn items(&self, n: u64) -> u64 {
        self.template(n).items
    }

    /// Items of all different requests together.
    pub fn cycle_items(&self) -> u64 {
        self.templates.iter().map(|t| t.items).sum()
    }

    /// Mean number of items of a request.
    pub(super) fn mean_items(&self) -> f64 {
        self.cycle_items() as f64 / self.templates.len() as f64
    }

    /// Request `n` of the run that is known by `salt`, as of `now_ns` since 1970: its spans end then at the
    /// latest, its samples are of then.
    pub(super) fn body(&self, n: u64, salt: u64, now_ns: u64) -> Body {
        let Template { bytes, items, places } = self.template(n);
        let mut bytes = bytes.clone();
        let run = self.seed.wrapping_mul(SPREAD).rotate_left(32) ^ salt;
        let trace = run.wrapping_add(n).wrapping_mul(SPREAD).to_be_bytes();
        let round = n / self.templates.len() as u64;
        let value = (round as f64).to_bits().to_le_bytes();
        let stamp = stamp(now_ns / 1_000_000);
        let start = now_ns.saturating_sub(super::spans::TRACE_NS);
        for place in places {
            match *place {
                Place::Trace(at) => bytes[at..at + 8].copy_from_slice(&trace),
                Place::Time(at, offset) => {
                    bytes[at..at + 8].copy_from_slice(&(start + offset).to_le_bytes());
                }
                Place::Sample(at) => {
                    bytes[at..at + 8].copy_from_slice(&value);
                    bytes[at + 9..at + 9 + STAMP_BYTES].copy_from_slice(&stamp);
                }
            }
        }
        Body { bytes, items: *items }
    }
}
