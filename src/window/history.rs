//! The closed intervals, newest last, bounded in number.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use crate::data::{Frame, Interval};

/// Shared by everything that looks back. Readers get cheap copies and never block the windows for
/// longer than a copy of pointers takes.
#[derive(Clone, Debug)]
pub struct History {
    frames: Arc<RwLock<VecDeque<Arc<Frame>>>>,
    max: usize,
}

impl History {
    /// An empty history of at most `max` frames.
    pub fn new(max: usize) -> Self {
        Self { frames: Arc::default(), max }
    }

    /// Appends the newest frame; the oldest one falls out when the limit is reached.
    pub fn push(&self, frame: Arc<Frame>) {
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        frames.push_back(frame);
        while frames.len() > self.max {
            frames.pop_front();
        }
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
