//! What became of requests.

use std::collections::BTreeMap;

use super::client::Answer;
use super::delays::Delays;

/// What became of the requests of one stream. Items are spans or samples.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests sent.
    pub requests: u64,
    /// Items in them: the sum of the next three.
    pub sent: u64,
    /// Items that the receiver says it has taken.
    pub acknowledged: u64,
    /// Items that the receiver says it has not taken.
    pub refused: u64,
    /// Items of requests without an answer.
    pub failed: u64,
    /// Items of requests that were due, but not sent before the end: the load was more than the
    /// connections could carry.
    pub unsent: u64,
    /// Bytes of bodies, as sent.
    pub bytes: u64,
    /// Requests by answer.
    pub by_status: BTreeMap<String, u64>,
    /// From when a request was due until it was acknowledged.
    pub delays: Delays,
}

impl Tally {
    pub(super) fn count(&mut self, items: u64, bytes: usize, answer: Answer, waited_us: u64) {
        self.requests += 1;
        self.sent += items;
        self.bytes += bytes as u64;
        let status = match answer {
            Answer::Acknowledged { status, rejected } => {
                let rejected = rejected.min(items);
                self.acknowledged += items - rejected;
                self.refused += rejected;
                self.delays.add(waited_us);
                status
            }
            Answer::Refused(status) => {
                self.refused += items;
                status
            }
            Answer::Failed(why) => {
                self.failed += items;
                why
            }
        };
        *self.by_status.entry(status).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.bytes += other.bytes;
        self.delays.merge(&other.delays);
        for (status, count) in &other.by_status {
            *self.by_status.entry(status.clone()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_counted_once_whatever_the_answer() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.count(10, 1, Answer::Acknowledged { status: "200".into(), rejected: 3 }, 5);
        one.count(10, 1, Answer::Refused("503".into()), 5);
        other.count(10, 1, Answer::Failed("no answer".into()), 5);
        other.count(10, 1, Answer::Acknowledged { status: "200".into(), rejected: 99 }, 5);
        one.merge(&other);
        assert_eq!((one.acknowledged, one.refused, one.failed, one.sent), (7, 23, 10, 40));
        assert_eq!((one.requests, one.by_status["200"], one.delays.count()), (4, 2, 2));
    }
}
