//! Native histograms: from the wire to buckets with bounds.

use super::buckets::{BUCKETS_MAX, Buckets, Side, push};
use crate::data::{Histogram, ResetHint};
use crate::receive::fields::{Fields, Malformed, Value, zigzag};

/// The schema whose bounds are the sender's own.
const CUSTOM: i32 = -53;
/// Schemas of exponential buckets; those beyond 8 are promised for later.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=52;

/// A histogram as it stands on the wire. One is used for all of a request.
#[derive(Debug, Default)]
pub(super) struct Raw {
    time_ms: i64,
    count: f64,
    is_float: bool,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    negative: Side,
    positive: Side,
    hint: i32,
    bounds: Vec<f64>,
}

impl Raw {
    /// Reads the message of 1.0 and 2.0, which is the same.
    pub(super) fn read(&mut self, message: Fields<'_>) -> Result<(), Malformed> {
        self.clear();
        for field in message {
            let (tag, value) = field?;
            match tag {
                1 => (self.count, self.is_float) = (value.varint()? as f64, false),
                2 => (self.count, self.is_float) = (value.double()?, true),
                3 => self.sum = value.double()?,
                4 => self.schema = sint32(value)?,
                5 => self.zero_threshold = value.double()?,
                6 => self.zero_count = value.varint()? as f64,
                7 => self.zero_count = value.double()?,
                8 => push(&mut self.negative.spans, span(value)?),
                9 => varints(value, |n| push(&mut self.negative.deltas, zigzag(n)))?,
                10 => doubles(value, |n| push(&mut self.negative.counts, n))?,
                11 => push(&mut self.positive.spans, span(value)?),
                12 => varints(value, |n| push(&mut self.positive.deltas, zigzag(n)))?,
                13 => doubles(value, |n| push(&mut self.positive.counts, n))?,
                14 => self.hint = value.varint()? as i32,
                15 => self.time_ms = value.varint()? as i64,
                16 => doubles(value, |n| push(&mut self.bounds, n))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Empty again, with the room it has.
    fn clear(&mut self) {
        let mut kept = std::mem::take(self);
        for side in [&mut kept.negative, &mut kept.positive] {
            side.spans.clear();
            side.deltas.clear();
            side.counts.clear();
        }
        kept.bounds.clear();
        *self = Self {
            negative: kept.negative,
            positive: kept.positive,
            bounds: kept.bounds,
            ..Self::default()
        };
    }

    /// The histogram, or why it is none.
    pub(super) fn histogram(&self) -> Result<Histogram, &'static str> {
        let mut histogram = Histogram {
            time_ms: self.time_ms,
            count: self.count,
            sum: self.sum,
            buckets: Vec::new(),
            reset: match self.hint {
                1 => ResetHint::Reset,
                2 => ResetHint::Continued,
                3 => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            },
        };
        if !histogram.is_stale_marker() {
            histogram.buckets = self.buckets()?;
        }
        Ok(histogram)
    }

    fn buckets(&self) -> Result<Vec<(f64, f64)>, &'static str> {
        let positive = self.positive.placed(self.is_float)?;
        let mut out = Buckets::with_capacity(positive.len() + 4);
        if self.schema == CUSTOM {
            self.check_bounds()?;
            for (index, count) in positive {
                let index =
                    usize::try_from(index).map_err(|_| "a bucket before the first bound")?;
                let bound = |i: usize| self.bounds.get(i).copied();
                let upper = bound(index).unwrap_or(f64::INFINITY);
                let lower = index.checked_sub(1).map(bound);
                let lower = lower.unwrap_or(Some(f64::NEG_INFINITY));
                out.push(lower.ok_or("a bucket beyond the last bound")?, upper, count);
            }
            return Ok(out.0);
        }
        if !EXPONENTIAL.contains(&self.schema) {
            return Err("an unknown schema");
        }
        if !(self.zero_count >= 0.0 && self.zero_threshold >= 0.0) {
            return Err("a negative bucket of zeros");
        }
        // Exact for every schema, so the bounds that two schemas share are computed from the same number.
        let width = f64::powi(2.0, -self.schema);
        let bound = |index: i64| (index as f64 * width).exp2();
        for (index, count) in self.negative.placed(self.is_float)?.into_iter().rev() {
            out.push(-bound(index), -bound(index - 1), count);
        }
        if self.zero_count > 0.0 {
            let zeros = self.zero_threshold;
            let lower = if zeros > 0.0 { -zeros } else { f64::NEG_INFINITY };
            out.push(lower, zeros, self.zero_count);
        }
        for (index, count) in positive {
            out.push(bound(index - 1), bound(index), count);
        }
        Ok(out.0)
    }

    fn check_bounds(&self) -> Result<(), &'static str> {
        if self.bounds.len() > BUCKETS_MAX {
            return Err("too many buckets");
        }
        let ascends = self.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascends || self.bounds.iter().any(|b| b.is_nan()) {
            return Err("bounds that do not ascend");
        }
        Ok(())
    }
}

fn sint32(value: Value<'_>) -> Result<i32, Malformed> {
    Ok(zigzag(u64::from(value.varint()? as u32)) as i32)
}

fn span(value: Value<'_>) -> Result<(i32, u32), Malformed> {
    let mut span = (0, 0);
    for field in value.fields()? {
        match field? {
            (1, value) => span.0 = sint32(value)?,
            (2, value) => span.1 = value.varint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// A repeated number: packed, or one of them alone.
pub(super) fn varints(value: Value<'_>, mut take: impl FnMut(u64)) -> Result<(), Malformed> {
    if let Value::Varint(n) = value {
        take(n);
        return Ok(());
    }
    let mut packed = value.fields()?;
    while !packed.is_done() {
        take(packed.varint()?);
    }
    Ok(())
}

fn doubles(value: Value<'_>, mut take: impl FnMut(f64)) -> Result<(), Malformed> {
    if let Value::Bits64(n) = value {
        take(f64::from_bits(n));
        return Ok(());
    }
    let mut packed = value.fields()?;
    while !packed.is_done() {
        take(f64::from_bits(packed.bits64()?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::proto::{self, BucketSpan, Count, ZeroCount};
    use super::*;
    use crate::data::STALE_NAN_BITS;

    const INF: f64 = f64::INFINITY;

    fn read(message: &proto::Histogram) -> Result<Histogram, &'static str> {
        let mut raw = Raw::default();
        raw.read(Fields::new(&message.encode_to_vec())).unwrap();
        raw.histogram()
    }

    fn span(offset: i32, length: u32) -> BucketSpan {
        BucketSpan { offset, length }
    }

    /// Integer counts 1, 3, 2 in two runs with a gap of two, and one observation of zero.
    fn integers(schema: i32) -> proto::Histogram {
        proto::Histogram {
            count: Some(Count::Int(7)),
            sum: 20.0,
            schema,
            zero_threshold: 0.001,
            zero_count: Some(ZeroCount::Int(1)),
            positive_spans: vec![span(0, 2), span(2, 1)],
            positive_deltas: vec![1, 2, -1],
            timestamp: 5,
            ..Default::default()
        }
    }

    #[test]
    fn deltas_become_counts_between_powers_of_two_and_gaps_are_empty_buckets() {
        let h = read(&integers(0)).unwrap();
        assert_eq!((h.time_ms, h.count, h.sum, h.reset), (5, 7.0, 20.0, ResetHint::Unknown));
        let buckets = [
            (-0.001, 0.0),
            (0.001, 1.0),
            (0.5, 0.0),
            (1.0, 1.0),
            (2.0, 3.0),
            (8.0, 0.0),
            (16.0, 2.0),
        ];
        assert_eq!(h.buckets, buckets);
    }

    #[test]
    fn the_bounds_of_a_coarse_schema_are_among_those_of_a_fine_one() {
        for schema in -4..8 {
            let all = |schema: i32, length| {
                let of = proto::Histogram {
                    schema,
                    positive_spans: vec![span(-(length as i32) / 2, length)],
                    positive_deltas: vec![0; length as usize],
                    ..Default::default()
                };
                read(&of).unwrap().buckets
            };
            let fine = all(schema + 1, 128);
            // The first is the end of a gap, which lies one bucket further out.
            for (bound, _) in &all(schema, 64)[1..] {
                assert!(fine.iter().any(|(b, _)| b == bound), "{bound} of schema {schema}");
            }
        }
    }

    #[test]
    fn float_counts_negative_values_and_the_hint_come_through() {
        let h = read(&proto::Histogram {
            count: Some(Count::Float(4.5)),
            schema: 0,
            negative_spans: vec![span(1, 2)],
            negative_counts: vec![1.0, 0.5],
            positive_spans: vec![span(1, 1)],
            positive_counts: vec![3.0],
            reset_hint: 3,
            ..Default::default()
        })
        .unwrap();
        assert_eq!(h.reset, ResetHint::Gauge);
        assert_eq!(h.buckets, [(-4.0, 0.0), (-2.0, 0.5), (-1.0, 1.0), (1.0, 0.0), (2.0, 3.0)]);
    }

    #[test]
    fn bounds_of_the_senders_own_are_taken_as_they_are() {
        let h = read(&proto::Histogram {
            count: Some(Count::Int(6)),
            schema: CUSTOM,
            positive_spans: vec![span(0, 1), span(1, 2)],
            positive_deltas: vec![1, 1, 1],
            custom_values: vec![0.1, 0.2, 0.5],
            ..Default::default()
        })
        .unwrap();
        assert_eq!(h.buckets, [(0.1, 1.0), (0.2, 0.0), (0.5, 2.0), (INF, 3.0)]);
    }

    #[test]
    fn a_stale_marker_has_no_buckets() {
        let h = read(&proto::Histogram {
            sum: f64::from_bits(STALE_NAN_BITS),
            schema: 99,
            ..Default::default()
        });
        assert!(h.is_ok_and(|h| h.is_stale_marker() && h.buckets.is_empty()));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let wide = BUCKETS_MAX + 1;
        let custom = |custom_values, positive_spans| proto::Histogram {
            schema: CUSTOM,
            custom_values,
            positive_spans,
            positive_deltas: vec![1],
            ..Default::default()
        };
        let cases = [
            (proto::Histogram { schema: -5, ..integers(0) }, "schema"),
            (proto::Histogram { positive_deltas: vec![1], ..integers(0) }, "spans"),
            (proto::Histogram { positive_deltas: vec![1, -2, 3], ..integers(0) }, "negative"),
            (proto::Histogram { positive_deltas: vec![i64::MAX, 1, 0], ..integers(0) }, "64 bits"),
            (
                proto::Histogram { positive_spans: vec![span(0, 2), span(-1, 1)], ..integers(0) },
                "overlap",
            ),
            (proto::Histogram { positive_deltas: vec![0; wide], ..integers(0) }, "too many"),
            (proto::Histogram { zero_count: Some(ZeroCount::Float(-1.0)), ..integers(0) }, "zeros"),
            (custom(vec![1.0, 1.0], vec![span(0, 1)]), "ascend"),
            (custom(vec![1.0], vec![span(2, 1)]), "beyond"),
            (custom(vec![1.0], vec![span(-1, 1)]), "before"),
        ];
        for (message, part) in cases {
            let fault = read(&message).unwrap_err();
            assert!(fault.contains(part), "{fault:?} lacks {part:?}");
        }
    }
}
