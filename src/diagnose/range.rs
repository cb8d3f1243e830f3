//! Which intervals an alert is about.

use std::sync::Arc;

use super::config::Config;
use crate::data::{Alert, EventTime, Frame, Interval};

/// The stretch of event time an alert may speak of: [max(startsAt - pending, end of the last one like it),
/// min(watermark, endsAt, startsAt + lookahead)].
pub(super) fn range_of(
    alert: &Alert,
    last_ended: Option<EventTime>,
    watermark: Option<EventTime>,
    config: &Config,
) -> Interval {
    let starts = alert.key.starts_at;
    let mut end = starts.plus(config.lookahead);
    if let Some(ends) = alert.ends_at {
        end = end.min(ends);
    }
    if let Some(watermark) = watermark {
        end = end.min(watermark);
    }
    let start = starts.minus(config.pending).max(last_ended.unwrap_or_default()).min(starts);
    Interval { start, end: end.max(EventTime(start.0 + 1)) }
}

/// Intervals without violation that do not yet end an episode.
const GAP: usize = 1;

/// The frames an alert is about.
#[derive(Debug, Default)]
pub(super) struct Episode<'a> {
    /// Closed frames in the range with requests of the target's service.
    pub seen: usize,
    /// Violating frames, oldest first.
    pub violating: Vec<&'a Frame>,
}

/// The violating frames of `range` that belong to one episode: the one that was going on when the
/// alert began to fire, else the first one after. What happened minutes before, to somebody else,
/// is another story, and what an earlier alert was about, `last_ended` says, is that one's. At most the newest `max`.
/// Whether a frame violates is `None` where it has no requests of the target's service.
pub(super) fn episode<'a>(
    history: &'a [Arc<Frame>],
    range: &Interval,
    (fires_at, last_ended): (EventTime, Option<EventTime>),
    is_violated: impl Fn(&Frame) -> Option<bool>,
    max: usize,
) -> Episode<'a> {
    let is_told = |f: &Frame| {
        f.interval.end <= fires_at && last_ended.is_some_and(|ended| f.interval.start < ended)
    };
    let inside: Vec<(&Frame, bool)> = history
        .iter()
        .filter(|f| f.interval.overlaps(range) && !is_told(f))
        .filter_map(|f| Some((&**f, is_violated(f)?)))
        .collect();
    let is_violating = |n: &usize| inside[*n].1;
    let before = (0..inside.len())
        .rev()
        .filter(|n| inside[*n].0.interval.start <= fires_at)
        .find(is_violating);
    let Some(anchor) = before.or_else(|| (0..inside.len()).find(is_violating)) else {
        return Episode { seen: inside.len(), violating: Vec::new() };
    };
    let first = last_reached((0..anchor).rev(), anchor, is_violating);
    let last = last_reached(anchor + 1..inside.len(), anchor, is_violating);
    let mut violating: Vec<&Frame> =
        inside[first..=last].iter().filter(|(_, v)| *v).map(|(f, _)| *f).collect();
    violating.drain(..violating.len().saturating_sub(max));
    Episode { seen: inside.len(), violating }
}

/// The last violating place on the way that is reached without crossing a gap.
fn last_reached(
    way: impl Iterator<Item = usize>,
    from: usize,
    is_violating: impl Fn(&usize) -> bool,
) -> usize {
    let (mut reached, mut calm) = (from, 0);
    for n in way {
        if is_violating(&n) {
            (reached, calm) = (n, 0);
        } else {
            calm += 1;
            if calm > GAP {
                break;
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Percentiles, QosTarget, RpcKey, RpcKind, RpcWindow};

    /// One frame a second; 'x' violates, '.' does not, ' ' has no requests.
    fn history(pattern: &str) -> Vec<Arc<Frame>> {
        let frame = |(n, c): (usize, char)| {
            let start = EventTime(n as i64 * 1000);
            let latency = Percentiles::flat(if c == 'x' { 100.0 } else { 1.0 });
            let rpc = RpcWindow {
                key: RpcKey::new("user", "", "a", "op"),
                kind: RpcKind::ServerOnly,
                count: 1,
                failed: 0,
                seen_ratio: 1.0,
                client: latency,
                server: latency,
                request: latency,
                response: latency,
            };
            Arc::new(Frame {
                interval: Interval { start, end: EventTime(start.0 + 1000) },
                rpcs: if c == ' ' { vec![] } else { vec![rpc] },
                services: vec![],
                completeness: 1.0,
                replicas: vec![],
            })
        };
        pattern.chars().enumerate().map(frame).collect()
    }

    fn found(pattern: &str, fires_at: i64, max: usize) -> Vec<i64> {
        found_after(pattern, fires_at, None, max)
    }

    fn found_after(pattern: &str, fires_at: i64, ended: Option<i64>, max: usize) -> Vec<i64> {
        let target = QosTarget { service: "a".into(), quantile: 0.9, target_ms: 10.0 };
        let range = Interval { start: EventTime(0), end: EventTime(1_000_000) };
        let history = history(pattern);
        let when = (EventTime(fires_at * 1000), ended.map(|s: i64| EventTime(s * 1000)));
        let episode = episode(&history, &range, when, |f| target.is_violated(f), max);
        episode.violating.iter().map(|f| f.interval.start.0 / 1000).collect()
    }

    #[test]
    fn the_episode_under_way_when_the_alert_fired_is_the_one() {
        assert_eq!(found("xx...xx....xx", 6, 8), [5, 6]);
        assert_eq!(found("xx...xx....xx", 9, 8), [5, 6]);
        assert_eq!(found("....xx", 0, 8), [4, 5]);
        assert_eq!(found("......", 3, 8), [] as [i64; 0]);
    }

    #[test]
    fn a_short_breath_or_missing_data_does_not_end_an_episode() {
        assert_eq!(found(".x.x   x..", 3, 8), [1, 3, 7]);
    }

    /// The interval in which it begins to fire may just meet the target, as far as traces tell.
    #[test]
    fn what_an_earlier_alert_was_about_is_left_to_it() {
        assert_eq!(found_after("..xx.....x..", 8, None, 8), [2, 3]);
        assert_eq!(found_after("..xx.....x..", 8, Some(4), 8), [9]);
        assert_eq!(found_after("..xx.....x..", 9, Some(4), 8), [9]);
        // It ended and began again within one interval.
        assert_eq!(found_after("..xxxx......", 4, Some(4), 8), [4, 5]);
    }

    #[test]
    fn of_a_long_episode_the_newest_intervals_count() {
        assert_eq!(found("xxxxxxxxxx", 5, 3), [7, 8, 9]);
    }
}
