//! The queue between the listeners and the windows: bounded by items, refusing when full.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The queue stayed full, or its reader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("overloaded: the ingest queue is full")]
pub struct Full;

/// Batches that may wait, whatever their size.
const BATCHES_MAX: usize = 4096;

/// Sending side. Clones share the budget.
#[derive(Debug)]
pub struct Sender<T> {
    tx: mpsc::Sender<(T, OwnedSemaphorePermit)>,
    budget: Arc<Semaphore>,
    capacity: u32,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { tx: self.tx.clone(), budget: self.budget.clone(), capacity: self.capacity }
    }
}

/// Receiving side.
#[derive(Debug)]
pub struct Receiver<T> {
    rx: mpsc::Receiver<(T, OwnedSemaphorePermit)>,
}

/// A queue whose waiting batches weigh at most `capacity` items together.
pub fn weighted<T>(capacity: u32) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = mpsc::channel(BATCHES_MAX);
    let budget = Arc::new(Semaphore::new(capacity as usize));
    (Sender { tx, budget, capacity }, Receiver { rx })
}

impl<T> Sender<T> {
    /// Puts a batch of `weight` items in, waiting up to `patience` for room.
    ///
    /// # Errors
    /// [`Full`] when there was no room; the batch is dropped and the sender should be told to
    /// come again.
    pub async fn send(&self, batch: T, weight: usize, patience: Duration) -> Result<(), Full> {
        // A batch larger than the whole queue takes all of it rather than never getting in.
        let weight = u32::try_from(weight).unwrap_or(u32::MAX).clamp(1, self.capacity);
        let put = async {
            let permit = self.budget.clone().acquire_many_owned(weight).await.map_err(|_| Full)?;
            self.tx.send((batch, permit)).await.map_err(|_| Full)
        };
        tokio::time::timeout(patience, put).await.unwrap_or(Err(Full))
    }

    /// Items that wait now.
    pub fn waiting(&self) -> u64 {
        u64::from(self.capacity).saturating_sub(self.budget.available_permits() as u64)
    }
}

impl<T> Receiver<T> {
    /// The next batch; `None` once every sender is gone and the queue is empty.
    pub async fn recv(&mut self) -> Option<T> {
        self.rx.recv().await.map(|(batch, _permit)| batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_accepts_again_once_read() {
        let (tx, mut rx) = weighted(10);
        let patience = Duration::from_millis(1);
        assert_eq!(tx.send('a', 8, patience).await, Ok(()));
        assert_eq!(tx.send('b', 8, patience).await, Err(Full));
        assert_eq!(rx.recv().await, Some('a'));
        assert_eq!(tx.send('c', 8, patience).await, Ok(()));
        assert_eq!(tx.waiting(), 8);
    }

    #[tokio::test]
    async fn a_batch_beyond_the_capacity_gets_in_alone() {
        let (tx, mut rx) = weighted(10);
        assert_eq!(tx.send('a', 1_000_000, Duration::from_secs(1)).await, Ok(()));
        assert_eq!(rx.recv().await, Some('a'));
    }
}
