//! Which intervals an alert is about.

use std::sync::Arc;

use super::config::Config;
use crate::data::{Alert, EventTime, Frame, Interval, QosTarget};

/// The stretch of event time an alert may speak of: [startsAt - pending, min(watermark, endsAt,
/// startsAt + lookahead)].
pub fn range_of(alert: &Alert, watermark: Option<EventTime>, config: &Config) -> Interval {
    let starts = alert.key.starts_at;
    let mut end = starts.plus(config.lookahead);
    if let Some(ends) = alert.ends_at {
        end = end.min(ends);
    }
    if let Some(watermark) = watermark {
        end = end.min(watermark);
    }
    let start = starts.minus(config.pending);
    Interval { start, end: end.max(EventTime(start.0 + 1)) }
}

/// Closed frames of `range` with requests of the target's service, and those of them that violate
/// it: the newest `max`, oldest first.
pub fn violating<'a>(
    history: &'a [Arc<Frame>],
    range: &Interval,
    target: &QosTarget,
    max: usize,
) -> (usize, Vec<&'a Frame>) {
    let inside = history.iter().filter(|f| f.interval.overlaps(range));
    let mut seen = 0;
    let mut violating: Vec<&Frame> = Vec::new();
    for frame in inside {
        if let Some(is_violated) = target.is_violated(frame) {
            seen += 1;
            if is_violated {
                violating.push(frame);
            }
        }
    }
    let from = violating.len().saturating_sub(max);
    (seen, violating.split_off(from))
}
