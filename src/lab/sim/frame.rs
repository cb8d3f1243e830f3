//! Requests under way: one frame per invocation of an operation, reused without allocation.

use std::ops::{Index, IndexMut};

use super::random::Key;

/// Why an operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A user asked, by this entry.
    User { entry: u32 },
    /// The frame of this number called it, by this call of the program, for the n-th time.
    Call { parent: u32, call: u32, nth: u32 },
    /// Somebody published a message.
    Message,
    /// Nothing runs: the slot is free.
    Nothing,
}

/// One invocation of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) key: Key,
    pub(super) cause: Cause,
    /// Number of the user request it belongs to.
    pub(super) request: u64,
    pub(super) op: u32,
    pub(super) replica: u32,
    /// Next step in the program's table.
    pub(super) step: u32,
    /// Calls of the current step that have not come back.
    pub(super) pending: u32,
    /// When the request was sent; for requests of users, when it arrived.
    pub(super) sent_ns: u64,
    pub(super) arrived_ns: u64,
    /// When a worker thread took it.
    pub(super) started_ns: u64,
    pub(super) is_traced: bool,
}

/// All frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    slots: Vec<Frame>,
    free: Vec<u32>,
}

impl Frames {
    pub(super) fn insert(&mut self, frame: Frame) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = frame;
            return slot;
        }
        self.slots.push(frame);
        (self.slots.len() - 1) as u32
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.slots[slot as usize].cause = Cause::Nothing;
        self.free.push(slot);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Index<u32> for Frames {
    type Output = Frame;

    fn index(&self, slot: u32) -> &Frame {
        &self.slots[slot as usize]
    }
}

impl IndexMut<u32> for Frames {
    fn index_mut(&mut self, slot: u32) -> &mut Frame {
        &mut self.slots[slot as usize]
    }
}
