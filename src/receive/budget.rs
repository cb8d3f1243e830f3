//! How many bytes all requests together may hold while they are read.
//!
//! Each request takes for what arrives and for what that inflates to, and gives back when it is decoded.
//! What is decoded waits in the queue, which has a limit of its own.

use prometheus_client::metrics::gauge::Gauge;

use super::error::Rejection;

/// Shared by all endpoints; cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    max: usize,
    /// Also what `/metrics` shows.
    taken: Gauge,
}

impl Budget {
    /// At most `max` bytes at a time; `taken` shows how many are.
    pub fn new(max: usize, taken: Gauge) -> Self {
        Self { max, taken }
    }

    /// The share of one request, nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

/// What one request has taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: i64,
}

impl Share {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`Rejection::TooLarge`] when even alone it would be too much, [`Rejection::Crowded`] when others hold
    /// the rest.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Rejection> {
        let max = self.budget.max;
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        if more > limit - self.bytes {
            let (what, key) = ("what it takes to read the body", "receive.bytes_in_flight_max");
            return Err(Rejection::TooLarge { what, key, max });
        }
        let before = self.budget.taken.inc_by(more);
        if before > limit - more {
            self.budget.taken.dec_by(more);
            return Err(Rejection::Crowded { max });
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.dec_by(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_request_holds_another_cannot_have_until_it_is_given_back() {
        let taken = Gauge::default();
        let budget = Budget::new(100, taken.clone());
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.take(60).is_ok());
        assert!(matches!(other.take(41), Err(Rejection::Crowded { max: 100 })));
        assert!(other.take(40).is_ok());
        for never in [41, usize::MAX] {
            assert!(matches!(one.take(never), Err(Rejection::TooLarge { max: 100, .. })));
        }
        assert_eq!(taken.get(), 100);
        drop(one);
        assert_eq!(taken.get(), 40);
        assert!(other.take(60).is_ok());
        drop(other);
        assert_eq!(taken.get(), 0);
    }
}
