//! Faults in the code of a service, which it is told about while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Everything that can be wrong; nothing is at first.
#[derive(Debug, Default)]
pub(super) struct Wrongs {
    /// A lock that is held for too long.
    pub(super) hold: Hold,
    /// Too few threads.
    pub(super) few: Few,
}

impl Wrongs {
    /// `lock/MICROSECONDS`, or `pool/THREADS/MICROSECONDS`; zero ends it. Whether it was understood.
    pub(super) fn obey(&self, order: &str) -> bool {
        let mut words = order.split('/');
        let what = words.next();
        let numbers: Option<Vec<u32>> = words.map(|w| w.parse().ok()).collect();
        match (what, numbers.as_deref()) {
            (Some("lock"), Some([us])) => {
                self.hold.microseconds.store(u64::from(*us), Ordering::Relaxed);
            }
            (Some("pool"), Some([threads, us])) => {
                self.few.set(*threads as usize, Duration::from_micros(u64::from(*us)));
            }
            _ => return false,
        }
        true
    }
}

/// A lock that every request takes, for as long as a fault wants.
#[derive(Debug, Default)]
pub(super) struct Hold {
    lock: Mutex<()>,
    microseconds: AtomicU64,
}

impl Hold {
    pub(super) fn pass(&self) {
        let us = self.microseconds.load(Ordering::Relaxed);
        if us > 0 {
            let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            std::thread::sleep(Duration::from_micros(us));
        }
    }
}

/// How many threads may work. As a server that blocks does, each stays with its connection after an answer and
/// waits for the next request on it: nobody else is served by it meanwhile.
#[derive(Debug, Default)]
pub(super) struct Few {
    state: Mutex<Threads>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Threads {
    /// At most; zero: as many as there are.
    most: usize,
    /// How long each stays.
    kept: Duration,
    taken: usize,
}

impl Few {
    fn set(&self, most: usize, kept: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.most, state.kept) = (most, kept);
        self.changed.notify_all();
    }

    /// Waits until one is free.
    pub(super) fn take(&self) -> Taken<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |s: &mut Threads| s.most > 0 && s.taken >= s.most;
        let waited = self.changed.wait_while(state, is_full);
        waited.unwrap_or_else(PoisonError::into_inner).taken += 1;
        Taken(self)
    }
}

/// One of the threads; dropped, it stays for a while, and is free.
#[derive(Debug)]
pub(super) struct Taken<'a>(&'a Few);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let few = self.0;
        let kept = few.state.lock().unwrap_or_else(PoisonError::into_inner).kept;
        if !kept.is_zero() {
            std::thread::sleep(kept);
        }
        few.state.lock().unwrap_or_else(PoisonError::into_inner).taken -= 1;
        few.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn orders_are_obeyed_or_refused() {
        let wrongs = Wrongs::default();
        for order in ["lock/10", "lock/0", "pool/2/50000", "pool/0/0"] {
            assert!(wrongs.obey(order), "{order}");
        }
        for order in ["", "lock", "lock/x", "lock/1/2", "pool/2", "pool/2/-1", "disk/1"] {
            assert!(!wrongs.obey(order), "{order}");
        }
    }

    /// Two are at work when a third comes: it waits for one of them, or until there are more.
    #[test]
    fn who_finds_no_thread_waits_for_one() {
        let few = Arc::new(Few::default());
        few.set(2, Duration::ZERO);
        let held = [few.take(), few.take()];
        let (tell, told) = channel();
        let third = std::thread::spawn({
            let few = few.clone();
            move || {
                let taken = few.take();
                tell.send(()).unwrap();
                drop(taken);
            }
        });
        assert!(told.try_recv().is_err());
        let [first, second] = held;
        drop(first);
        told.recv().unwrap();
        third.join().unwrap();
        let others = few.take();
        few.set(0, Duration::ZERO);
        let many: Vec<Taken<'_>> = (0..8).map(|_| few.take()).collect();
        drop((second, others, many));
        assert_eq!(few.state.lock().unwrap().taken, 0);
    }
}
