//! Event time: the time inside spans and samples, never the wall clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment of event time, in milliseconds since the Unix epoch. Prints as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EventTime(pub i64);

impl EventTime {
    /// From the nanoseconds of a span.
    pub fn from_nanos(ns: u64) -> Self {
        Self(i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX))
    }

    /// Parses RFC 3339 with any offset.
    ///
    /// # Errors
    /// The text of what is wrong with it.
    pub fn parse_rfc3339(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_millisecond())).map_err(|e| e.to_string())
    }

    /// Later by `d`, saturating.
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Earlier by `d`, saturating.
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse_rfc3339(&text).map_err(de::Error::custom)
    }
}

/// A half-open span of event time, `start <= t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    /// First moment inside.
    pub start: EventTime,
    /// First moment after.
    pub end: EventTime,
}

impl Interval {
    /// The interval of length `len_ms` on the epoch-aligned grid that holds `t`.
    pub fn containing(t: EventTime, len_ms: i64) -> Self {
        let start = t.0.div_euclid(len_ms) * len_ms;
        Self { start: EventTime(start), end: EventTime(start + len_ms) }
    }

    /// Whether the two share a moment.
    pub fn overlaps(&self, other: &Interval) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end.0 - self.start.0) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_lie_on_the_epoch_grid_before_and_after_1970() {
        let of = |t| Interval::containing(EventTime(t), 30_000).start.0;
        assert_eq!((of(0), of(29_999), of(30_000), of(-1)), (0, 0, 30_000, -30_000));
    }

    #[test]
    fn event_time_reads_offsets_and_prints_utc() {
        let t = EventTime::parse_rfc3339("2026-08-01T12:00:00.25+02:00").unwrap();
        assert_eq!(t.to_string(), "2026-08-01T10:00:00.250Z");
        assert_eq!(
            EventTime::parse_rfc3339("0001-01-01T00:00:00Z").unwrap().0,
            -62_135_596_800_000
        );
    }
}
