//! The closed intervals, newest last, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::metrics::gauge::Gauge;

use crate::data::{Frame, Interval};

/// Frames that stay however short memory is: alerts of the moment are still diagnosed.
const RELIEVED_MIN: usize = 10;

/// So many of the largest intervals fit. One that takes more is not what is usual, and does not push out others.
const LARGEST_MIN: i64 = 32;
/// The newest stay before older ones that are smaller.
const NEWEST: usize = 3;

/// A frame and what it takes, about.
#[derive(Debug)]
struct Kept {
    frame: Arc<Frame>,
    bytes: i64,
}

/// Shared by everything that looks back. Readers get cheap copies and never block the windows for
/// longer than a copy of pointers takes.
#[derive(Clone, Debug)]
pub struct History {
    frames: Arc<RwLock<VecDeque<Kept>>>,
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

    /// Appends the newest frame. When there are too many the oldest fall out; when they take too much, the oldest
    /// of those that are unusually large, such as a storm leaves behind, and after them the oldest. The newest stays.
    pub fn push(&self, frame: Arc<Frame>) {
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = i64::try_from(frame.held_bytes()).unwrap_or(i64::MAX);
        self.bytes.inc_by(bytes);
        frames.push_back(Kept { frame, bytes });
        let max = i64::try_from(self.bytes_max).unwrap_or(i64::MAX);
        while frames.len() > self.max || frames.len() > 1 && self.bytes.get() > max {
            let older = frames.len().saturating_sub(NEWEST);
            let is_large = |kept: &Kept| kept.bytes > max / LARGEST_MIN;
            let large = frames.iter().take(older).position(is_large);
            let at = large.filter(|_| frames.len() <= self.max).unwrap_or(0);
            if let Some(gone) = frames.remove(at) {
                self.bytes.dec_by(gone.bytes);
            }
        }
    }

    /// Gives memory back: the oldest eighth, but the newest few stay.
    pub fn relieve(&self) -> usize {
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        let gone = frames.len().div_ceil(8).min(frames.len().saturating_sub(RELIEVED_MIN));
        frames.drain(..gone).for_each(|kept| {
            self.bytes.dec_by(kept.bytes);
        });
        frames.shrink_to_fit();
        gone
    }

    /// All frames, oldest first.
    pub fn all(&self) -> Vec<Arc<Frame>> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.iter().map(|kept| kept.frame.clone()).collect()
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<Arc<Frame>> {
        self.frames
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .back()
            .map(|kept| kept.frame.clone())
    }

    /// Frames that overlap `range`, oldest first.
    pub fn overlapping(&self, range: &Interval) -> Vec<Arc<Frame>> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        let frames = frames.iter().map(|kept| &kept.frame);
        frames.filter(|f| f.interval.overlaps(range)).cloned().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, RpcKey, RpcKind, RpcWindow};

    fn held(frame: &Frame) -> i64 {
        i64::try_from(frame.held_bytes()).unwrap()
    }

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
        Arc::new(Frame {
            interval,
            rpcs: vec![rpc; rpcs],
            services: Vec::new(),
            completeness: 1.0,
            replicas: vec![],
        })
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
        // A small one, and the newest of those of which not many fit.
        assert_eq!(starts(), [6, 9, 10, 11]);
        assert_eq!(bytes.get(), held(&frame(0, 0)) + 3 * held(&frame(0, 10)));
        // One that is larger than all may be is still the newest.
        history.push(frame(12, 1000));
        assert_eq!(starts(), [12]);
    }

    #[test]
    fn what_a_storm_leaves_goes_before_what_was_there_and_what_comes() {
        let bytes = Gauge::default();
        // Forty of the usual size.
        let room = 40 * held(&frame(0, 10)) as u64;
        let history = History::new(100, room, bytes.clone());
        let starts = || history.all().iter().map(|f| f.interval.start.0).collect::<Vec<_>>();
        (0..20).for_each(|n| history.push(frame(n, 10)));
        (20..50).for_each(|n| history.push(frame(n, 60)));
        let kept = starts();
        assert!(kept.starts_with(&(0..20).collect::<Vec<_>>()), "{kept:?}");
        assert!(kept.len() >= 20 + NEWEST && kept.ends_with(&[47, 48, 49]), "{kept:?}");
        (50..75).for_each(|n| history.push(frame(n, 10)));
        let kept = starts();
        assert_eq!(kept, (5..20).chain(50..75).collect::<Vec<_>>());
        assert!(bytes.get() as u64 <= room);
        // An application that is always as large has what fits.
        (75..99).for_each(|n| history.push(frame(n, 120)));
        assert!(starts().ends_with(&[96, 97, 98]) && bytes.get() as u64 <= room);
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
