//! Things requests queue for: servers that take work in order of arrival, and permits.

use std::collections::VecDeque;

/// Equal servers with one queue, first come first served: cores, a block device, a critical
/// section. Since work is known when it arrives, so is its end, and no queue need be kept.
#[derive(Clone, Debug)]
pub(super) struct Station {
    free_at_ns: Vec<u64>,
    waited_until_ns: u64,
}

/// How a piece of work fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) done_ns: u64,
    /// Time that somebody waits and that no earlier work has already been credited with: summed up,
    /// the "some" line of pressure stall information.
    pub(super) waiting_ns: u64,
}

impl Station {
    pub(super) fn new(servers: usize) -> Self {
        Self { free_at_ns: vec![0; servers.max(1)], waited_until_ns: 0 }
    }

    /// Takes work that arrives now; `now_ns` must never go back.
    pub(super) fn serve(&mut self, now_ns: u64, work_ns: u64) -> Served {
        let mut first = 0;
        for (i, free_at) in self.free_at_ns.iter().enumerate() {
            if *free_at < self.free_at_ns[first] {
                first = i;
            }
        }
        let start = self.free_at_ns[first].max(now_ns);
        self.free_at_ns[first] = start + work_ns;
        let waiting_ns = start.saturating_sub(now_ns.max(self.waited_until_ns));
        self.waited_until_ns = self.waited_until_ns.max(start);
        Served { done_ns: start + work_ns, waiting_ns }
    }
}

/// A bounded number of permits with a queue: worker threads, connections.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    limit: usize,
    held: usize,
    waiting: VecDeque<u32>,
}

impl Permits {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, held: 0, waiting: VecDeque::new() }
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes a permit for `frame`, or queues it: [`Permits::grant`] will name it then.
    pub(super) fn acquire(&mut self, frame: u32) -> bool {
        let granted = self.held < self.limit;
        if granted {
            self.held += 1;
        } else {
            self.waiting.push_back(frame);
        }
        granted
    }

    pub(super) fn release(&mut self) {
        self.held -= 1;
    }

    /// Gives a free permit to the frame that has waited longest.
    pub(super) fn grant(&mut self) -> Option<u32> {
        if self.held >= self.limit {
            return None;
        }
        let frame = self.waiting.pop_front()?;
        self.held += 1;
        Some(frame)
    }

    /// Holders above a lowered limit keep what they have.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_take_three_pieces_of_work_in_order_of_arrival() {
        let mut cores = Station::new(2);
        assert_eq!(cores.serve(0, 10), Served { done_ns: 10, waiting_ns: 0 });
        assert_eq!(cores.serve(1, 4), Served { done_ns: 5, waiting_ns: 0 });
        assert_eq!(cores.serve(2, 1), Served { done_ns: 6, waiting_ns: 3 });
        // Waits from 3 to 6, of which 3 to 5 is counted already.
        assert_eq!(cores.serve(3, 1), Served { done_ns: 7, waiting_ns: 1 });
        assert_eq!(cores.serve(20, 1), Served { done_ns: 21, waiting_ns: 0 });
    }

    #[test]
    fn permits_go_to_whoever_waited_longest_and_never_beyond_the_limit() {
        let mut permits = Permits::new(1);
        assert!(permits.acquire(7) && !permits.acquire(8) && !permits.acquire(9));
        assert_eq!(permits.grant(), None);
        permits.release();
        assert_eq!((permits.grant(), permits.grant()), (Some(8), None));
        permits.set_limit(3);
        assert_eq!((permits.grant(), permits.grant(), permits.held()), (Some(9), None, 2));
        permits.set_limit(1);
        permits.release();
        assert!(!permits.acquire(10));
    }
}
