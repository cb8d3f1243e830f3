//! The same for many things, on several processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread;

/// Threads at most, however many processors there are: what is shared out is small.
const THREADS_MAX: usize = 8;

/// Processors that may be used, within reason. Asked for once: the answer is in files of the kernel.
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS
        .get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX))
}

/// `f` of every item, in their order, whoever computes it: each of so many `threads` takes neighbours. A panic of `f`
/// goes on here.
pub fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    f: impl Fn(&T) -> R + Sync + Send,
) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    if items.len() <= share {
        return items.iter().map(f).collect();
    }
    let f = &f;
    let mut chunks = items.chunks(share);
    let own = chunks.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || chunk.iter().map(f).collect::<Vec<R>>()))
            .collect();
        let mut all: Vec<R> = own.iter().map(f).collect();
        for other in others {
            all.extend(other.join().unwrap_or_else(|e| resume_unwind(e)));
        }
        all
    })
}

/// Both, at the same time where there are processors for it.
pub fn join<A, B: Send>(a: impl FnOnce() -> A, b: impl FnOnce() -> B + Send) -> (A, B) {
    if processors() < 2 {
        return (a(), b());
    }
    thread::scope(|scope| {
        let other = scope.spawn(b);
        (a(), other.join().unwrap_or_else(|e| resume_unwind(e)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items_whatever_the_number_of_threads() {
        let items: Vec<usize> = (0..10).collect();
        let expected: Vec<usize> = items.iter().map(|n| n * n).collect();
        for threads in 0..12 {
            assert_eq!(map(&items, threads, |n| n * n), expected);
        }
        assert!(map(&[] as &[usize], 4, |n| *n).is_empty());
    }

    #[test]
    fn all_of_the_threads_work() {
        let items: Vec<usize> = (0..8).collect();
        let ids = map(&items, 4, |_| thread::current().id());
        let mut different = ids.clone();
        different.dedup();
        assert_eq!(different.len(), 4);
        assert_eq!(ids[0], thread::current().id());
    }

    #[test]
    #[should_panic(expected = "three")]
    fn a_panic_comes_through() {
        map(&[1, 2, 3, 4], 2, |n| assert_ne!(*n, 3, "three"));
    }

    #[test]
    fn both_are_done() {
        assert_eq!(join(|| 1, || "two"), (1, "two"));
    }
}
