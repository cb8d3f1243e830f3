//! The closed intervals, newest last, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::metrics::gauge::Gauge;

use crate::data::{Frame, Interval};

/// Frames that stay however short memory is: alerts of the moment are still diagnosed.
const RELIEVED_MIN: usize = 10;

/// Shared by everything that looks back. Readers get cheap copies and never block the windows for
/// longer than a copy of pointers takes.
#[derive(Clone, Debug)]
pub struct History {
    frames: Arc<RwLock<VecDeque<Arc<Frame>>>>,
    max: usize,
    bytes_max: u64,
    /// What the frames take, about; also what `/metrics` shows.
    bytes: Gauge,
}

impl History {
    /// An empty history of at most `max` frames that take at most `bytes_max`; `bytes` shows how many.
    pub fn new(max: usize, bytes_max: u64, bytes: Gauge) -> Self {
        Self { frames: Arc::default(), max, bytes_max, bytes }
    }

    /// Appends the newest frame; the oldest ones fall out when a limit is reached. The newest stays.
    pub fn push(&self, frame: Arc<Frame>) {
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        self.bytes.inc_by(held(&frame));
        frames.push_back(frame);
        let max = i64::try_from(self.bytes_max).unwrap_or(i64::MAX);
        while frames.len() > self.max || frames.len() > 1 && self.bytes.get() > max {
            if let Some(oldest) = frames.pop_front() {
                self.bytes.dec_by(held(&oldest));
            }
        }
    }

    /// Gives memory back: the oldest eighth, but the newest few stay.
    pub fn relieve(&self) -> usize {
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        let gone = frames.len().div_ceil(8).min(frames.len().saturating_sub(RELIEVED_MIN));
        frames.drain(..gone).for_each(|frame| {
            self.bytes.dec_by(held(&frame));
        });
        frames.shrink_to_fit();
        gone
    }

    /// All frames, oldest first.
    pub fn all(&self) -> Vec<Arc<Frame>> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.iter().cloned().collect()
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<Arc<Frame>> {
        self.frames.read().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    /// Frames that overlap `range`, oldest first.
    pub fn overlapping(&self, range: &Interval) -> Vec<Arc<Frame>> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.iter().filter(|f| f.interval.overlaps(range)).cloned().collect()
    }

    /// Frames kept.
    pub fn len(&self) -> usize {
        self.frames.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn held(frame: &Frame) -> i64 {
    i64::try_from(frame.held_bytes()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, RpcKey, RpcKind, RpcWindow};

    fn frame(n: i64, rpcs: usize) -> Arc<Frame> {
        let rpc = RpcWindow {
            key: RpcKey::new("a", "", "b", "c"),
            kind: RpcKind::Paired,
            count: 1,
            failed: 0,
            seen_ratio: 1.0,
            client: Default::default(),
            server: Default::default(),
            request: Default::default(),
            response: Default::default(),
        };
        let interval = Interval { start: EventTime(n), end: EventTime(n + 1) };
        Arc::new(Frame { interval, rpcs: vec![rpc; rpcs], services: Vec::new(), completeness: 1.0 })
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
        let bytes = Gauge::default();
        let room = 4 * held(&frame(0, 10)) as u64;
        let history = History::new(5, room, bytes.clone());
        let starts = || history.all().iter().map(|f| f.interval.start.0).collect::<Vec<_>>();
        (0..7).for_each(|n| history.push(frame(n, 0)));
        assert_eq!(starts(), [2, 3, 4, 5, 6]);
        (7..12).for_each(|n| history.push(frame(n, 10)));
        assert_eq!(starts(), [8, 9, 10, 11]);
        assert_eq!(bytes.get() as u64, room);
        // One that is larger than all may be is still the newest.
        history.push(frame(12, 1000));
        assert_eq!(starts(), [12]);
    }

    #[test]
    fn the_oldest_go_when_memory_is_short_and_a_few_stay() {
        let bytes = Gauge::default();
        let history = History::new(100, u64::MAX, bytes.clone());
        (0..24).for_each(|n| history.push(frame(n, 3)));
        assert_eq!(history.relieve(), 3);
        assert_eq!(history.all()[0].interval.start.0, 3);
        while history.relieve() > 0 {}
        assert_eq!(history.len(), RELIEVED_MIN);
        assert_eq!(history.newest().unwrap().interval.start.0, 23);
        assert_eq!(bytes.get(), RELIEVED_MIN as i64 * held(&frame(0, 3)));
    }
}
