//! Random numbers that depend on who draws them, never on when.
//!
//! A draw is a hash of the seed, the request, the position in its call tree and the purpose. Two
//! runs that differ in a fault alone therefore see the same arrivals, demands and branches, which
//! is what makes one the counterfactual of the other. Absent on purpose: any state that is shared.

use std::convert::Infallible;

use rand::TryRng;
use rand_distr::{Distribution, Exp1, StandardNormal};

/// Longest time that is ever drawn: sums of a great many of these still fit.
const TIME_MAX_NS: f64 = 3.6e12;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Finaliser of `SplitMix64`: every bit of the input moves every bit of the output.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a draw is for. Each purpose has numbers of its own, so that a fault that draws more than
/// usual shifts nobody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Time to the next arrival.
    Arrival,
    /// Operation a user asks for.
    Entry,
    /// Whether a request is traced.
    Tracing,
    /// Replica that takes a call.
    Replica,
    /// Message to the callee.
    Request,
    /// Message back.
    Response,
    /// What a fault of the network does to the message to the callee.
    RequestFault,
    /// What it does to the message back.
    ResponseFault,
    /// Time in a critical section.
    Lock,
    /// Identity of the caller's half of a call.
    ClientSpan,
    /// Identity of the callee's half.
    ServerSpan,
    /// Identity of a trace, one half.
    TraceHigh,
    /// The other half.
    TraceLow,
    /// What a scrape or probe reads.
    Sample,
    /// Whether it is lost.
    Loss,
    /// Where in the scrape interval something is scraped.
    Phase,
    /// How wrong a host's clock is.
    Clock,
    /// Shape of a generated application.
    Shape,
    /// Work of this step.
    Step(u32),
    /// What faults add to this step.
    StepFault(u32),
    /// Whether this call is made.
    Branch(u32),
}

impl For {
    fn code(self) -> u64 {
        let class = |class: u64, index: u32| class << 32 | u64::from(index);
        match self {
            Self::Arrival => 1,
            Self::Entry => 2,
            Self::Tracing => 3,
            Self::Replica => 4,
            Self::Request => 5,
            Self::Response => 6,
            Self::RequestFault => 7,
            Self::ResponseFault => 8,
            Self::Lock => 9,
            Self::ClientSpan => 10,
            Self::ServerSpan => 11,
            Self::TraceHigh => 12,
            Self::TraceLow => 13,
            Self::Sample => 14,
            Self::Loss => 15,
            Self::Phase => 16,
            Self::Clock => 17,
            Self::Shape => 18,
            Self::Step(i) => class(1, i),
            Self::StepFault(i) => class(2, i),
            Self::Branch(i) => class(3, i),
        }
    }
}

/// Whoever draws: the simulation, a request, a call, a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The `index`-th part of this.
    pub(super) fn child(self, index: u64) -> Self {
        Self(mix(self.0.rotate_left(17) ^ index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// The numbers drawn for one purpose.
    pub(super) fn stream(self, purpose: For) -> Stream {
        // The top bit keeps purposes apart from parts.
        Stream(self.child(purpose.code() | 1 << 63).0)
    }

    /// A number that is not zero and that no other key has, for all practical purposes.
    pub(super) fn id(self, purpose: For) -> u64 {
        self.stream(purpose).0.max(1)
    }
}

/// Who draws what, of one simulation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// User requests and everything they cause.
    pub(super) requests: Key,
    /// Scrapes of replicas.
    pub(super) scrapes: Key,
    /// Probes of services.
    pub(super) probes: Key,
    /// Hosts.
    pub(super) hosts: Key,
}

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        let part = |index| Key::new(seed).child(index);
        Self { requests: part(0), scrapes: part(1), probes: part(2), hosts: part(3) }
    }
}

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(super) struct Stream(u64);

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|x| (x >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(GOLDEN);
        Ok(mix(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl Stream {
    /// In [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        let Ok(word) = self.try_next_u64();
        (word >> 11) as f64 * 2f64.powi(-53)
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// One of `count` equally likely indices; 0 of none.
    pub(super) fn index(&mut self, count: usize) -> usize {
        (self.uniform() * count as f64) as usize
    }

    /// Exponential with mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        Exp1.sample(self)
    }

    /// Lognormal with median 1.
    pub(super) fn noise(&mut self, sigma: f64) -> f64 {
        let z: f64 = StandardNormal.sample(self);
        (sigma * z).exp()
    }
}

/// A lognormal time. Not `rand_distr`'s, because that one computes `exp` by whichever library
/// cargo's feature unification happens to choose, and spec and seed alone must decide the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time {
    mu: f64,
    sigma: f64,
}

impl Time {
    /// From the mean in microseconds and the standard deviation by mean.
    pub(super) fn of(mean_us: f64, cv: f64) -> Self {
        let variance = (cv * cv).ln_1p();
        Self { mu: (mean_us * 1e3).ln() - variance / 2.0, sigma: variance.sqrt() }
    }

    /// Nanoseconds, an hour at most.
    pub(super) fn draw_ns(self, mut stream: Stream) -> f64 {
        let z: f64 = StandardNormal.sample(&mut stream);
        (self.mu + self.sigma * z).exp().min(TIME_MAX_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(draw: impl Fn(Key) -> f64) -> f64 {
        (0..40_000).map(|i| draw(Key::new(7).child(i))).sum::<f64>() / 40_000.0
    }

    #[test]
    fn times_have_the_mean_they_were_asked_for() {
        let time = Time::of(250.0, 0.8);
        let ns = mean(|key| time.draw_ns(key.stream(For::Lock)));
        assert!((ns / 250_000.0 - 1.0).abs() < 0.02, "{ns}");
        assert_eq!(Time::of(0.0, 1.0).draw_ns(Key::new(1).stream(For::Entry)), 0.0);
        assert!((Time::of(5.0, 0.0).draw_ns(Key::new(1).stream(For::Entry)) - 5000.0).abs() < 1e-6);
    }

    #[test]
    fn streams_of_different_purposes_and_parts_are_unrelated() {
        let product = |a: fn(Key) -> f64, b: fn(Key) -> f64| {
            mean(|key| (a(key) - 0.5) * (b(key) - 0.5)) * 12.0
        };
        let of = |key: Key, purpose| key.stream(purpose).uniform();
        assert!(
            product(|k| k.stream(For::Entry).uniform(), |k| k.stream(For::Replica).uniform()).abs()
                < 0.02
        );
        assert!(
            product(
                |k| k.stream(For::Entry).uniform(),
                |k| k.child(0).stream(For::Entry).uniform()
            )
            .abs()
                < 0.02
        );
        assert_eq!(of(Key::new(1), For::Step(5)), of(Key::new(1), For::Step(5)));
    }

    #[test]
    fn things_happen_as_often_as_their_probability_says() {
        let share = mean(|key| f64::from(u8::from(key.stream(For::Entry).happens(0.3))));
        assert!((share - 0.3).abs() < 0.01, "{share}");
        assert!(
            !Key::new(1).stream(For::Entry).happens(0.0)
                && Key::new(1).stream(For::Entry).happens(1.0)
        );
        assert!((mean(|key| key.stream(For::Entry).exponential()) - 1.0).abs() < 0.02);
    }
}
