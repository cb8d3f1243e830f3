//! Points at which tests let the helper die. Empty in the program.

/// Dies here if a test asked for it.
#[cfg(not(test))]
pub(crate) fn point() {}

#[cfg(test)]
pub(crate) use armed::{arm, point, points};

#[cfg(test)]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static AT: Cell<u64> = const { Cell::new(u64::MAX) };
        static SEEN: Cell<u64> = const { Cell::new(0) };
    }

    /// Dies (unwinds) at the `at`-th point from now on.
    pub(crate) fn arm(at: u64) {
        AT.set(at);
        SEEN.set(0);
    }

    /// Points passed since it was armed.
    pub(crate) fn points() -> u64 {
        SEEN.get()
    }

    pub(crate) fn point() {
        let seen = SEEN.get();
        SEEN.set(seen + 1);
        // A dead process does nothing more, whoever catches this.
        assert!(seen < AT.get(), "killed");
    }
}
