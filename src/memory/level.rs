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

/// What is to be given back while memory is short, the next step when the one before was not enough. Each
/// step is what costs least of what is left: nobody can tell who holds too much, but whoever holds anything
/// gives it back in the end, so a shortage ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relief {
    /// Nothing.
    #[default]
    None,
    /// What can be had again: tables that only make things faster, room that nobody uses.
    Caches,
    /// What belongs to open intervals.
    Open,
    /// Closed intervals, too, the oldest first.
    Closed,
}

impl Relief {
    /// The step for a shortage that has lasted for so many looks, of which there are `per_s` a second.
    pub fn after(looks: u32, per_s: u32) -> Self {
        match looks / per_s.max(1) {
            _ if looks == 0 => Self::None,
            seconds if seconds < CACHES_S => Self::Caches,
            seconds if seconds < OPEN_S => Self::Open,
            _ => Self::Closed,
        }
    }
}

/// Seconds of a shortage in which caches alone are given up, and until when closed intervals are kept.
const CACHES_S: u32 = 1;
const OPEN_S: u32 = 20;

/// What everybody can see of it; cheap to clone and to look at.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    level: Arc<AtomicU8>,
    relief: Arc<AtomicU8>,
}

impl Pressure {
    /// Says how it is, and what is to be given back.
    pub fn set(&self, level: Level, relief: Relief) {
        self.level.store(level.number(), Ordering::Relaxed);
        self.relief.store(relief as u8, Ordering::Relaxed);
    }

    /// Whether nothing new should be taken in.
    pub fn is_short(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Level::Short.number()
    }

    /// Whether even the hard limit is passed.
    pub fn is_spent(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Level::Spent.number()
    }

    /// What is to be given back.
    pub fn relief(&self) -> Relief {
        match self.relief.load(Ordering::Relaxed) {
            0 => Relief::None,
            1 => Relief::Caches,
            2 => Relief::Open,
            _ => Relief::Closed,
        }
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

    #[test]
    fn the_longer_memory_is_short_the_more_is_given_back_and_closed_intervals_come_last() {
        let pressure = Pressure::default();
        assert_eq!(pressure.relief(), Relief::None);
        for (looks, relief) in [
            (0, Relief::None),
            (1, Relief::Caches),
            (4, Relief::Caches),
            (5, Relief::Open),
            (99, Relief::Open),
            (100, Relief::Closed),
            (u32::MAX, Relief::Closed),
        ] {
            assert_eq!(Relief::after(looks, 5), relief, "{looks}");
            pressure.set(Level::Short, relief);
            assert_eq!(pressure.relief(), relief);
        }
    }
}
