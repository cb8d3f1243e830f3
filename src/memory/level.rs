//! From what is resident to how short memory is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::config::Config;

/// A limit that was passed holds until this share of it is left free, so that senders are not asked to
/// come and go by the second.
const RELEASE_RATIO: f64 = 0.95;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is enough.
    #[default]
    Enough,
    /// The soft limit is passed: nothing new is taken in.
    Short,
    /// The hard limit is passed: whoever watches should send elsewhere.
    Spent,
}

impl Level {
    /// 0, 1 or 2.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The two limits, and which one is passed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes from which nothing new is taken in.
    pub soft: u64,
    /// Bytes from which Sage is not ready.
    pub hard: u64,
    level: Level,
}

impl Limits {
    /// Shares of `budget` bytes.
    pub fn new(budget: u64, config: &Config) -> Self {
        let share = |ratio: f64| (budget as f64 * ratio) as u64;
        Self {
            soft: share(config.soft_ratio),
            hard: share(config.hard_ratio),
            level: Level::Enough,
        }
    }

    /// How short memory is when so much is `resident`.
    pub fn see(&mut self, resident: u64) -> Level {
        let held = |limit: u64, level: Level| {
            let release = if self.level >= level { RELEASE_RATIO } else { 1.0 };
            resident as f64 >= limit as f64 * release
        };
        self.level = if held(self.hard, Level::Spent) {
            Level::Spent
        } else if held(self.soft, Level::Short) {
            Level::Short
        } else {
            Level::Enough
        };
        self.level
    }
}

/// What everybody can see of it; cheap to clone and to look at.
#[derive(Clone, Debug, Default)]
pub struct Pressure(Arc<AtomicU8>);

impl Pressure {
    /// Says how it is.
    pub fn set(&self, level: Level) {
        self.0.store(level.number(), Ordering::Relaxed);
    }

    /// Whether nothing new should be taken in.
    pub fn is_short(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Level::Short.number()
    }

    /// Whether even the hard limit is passed.
    pub fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Level::Spent.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_passed_upwards_at_once_and_downwards_with_a_margin() {
        let mut limits = Limits::new(1000, &Config::default());
        assert_eq!((limits.soft, limits.hard), (800, 950));
        for (resident, level) in [
            (799, Level::Enough),
            (800, Level::Short),
            (790, Level::Short),
            (950, Level::Spent),
            (940, Level::Spent),
            (900, Level::Short),
            (940, Level::Short),
            (761, Level::Short),
            (759, Level::Enough),
            (799, Level::Enough),
            (2000, Level::Spent),
            (0, Level::Enough),
        ] {
            assert_eq!(limits.see(resident), level, "{resident}");
        }
    }
}
