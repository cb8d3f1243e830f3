//! Which frames a training step sees.

use rand::RngExt;

/// Share of a batch drawn from frames that violated QoS: they are rare and matter most (paper 4.2).
const VIOLATING: f64 = 0.3;
/// Share of a batch drawn from the newest frames, when they are told from older ones: without older
/// ones among them a network forgets what it knew (paper 4.2).
const RECENT: f64 = 0.5;

/// Draws batches in which violating frames are not drowned by calm ones, nor few new ones by many old
/// ones.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    /// Everything, or what is older than `recent`.
    older: Pool,
    /// The newest frames.
    recent: Pool,
    batch: usize,
}

#[derive(Clone, Debug, Default)]
struct Pool {
    met: Vec<usize>,
    violating: Vec<usize>,
}

impl Sampler {
    /// Draws from `frames`, of which `met` says whether each met QoS, at most `batch` at a time.
    pub(super) fn new(frames: &[usize], met: &[bool], batch: usize) -> Self {
        Self { older: Pool::new(frames, met), recent: Pool::default(), batch }
    }

    /// The same, with frames from `since` on making up half of each batch.
    pub(super) fn interleaved(frames: &[usize], met: &[bool], since: usize, batch: usize) -> Self {
        let (recent, older): (Vec<usize>, Vec<usize>) = frames.iter().partition(|t| **t >= since);
        Self { older: Pool::new(&older, met), recent: Pool::new(&recent, met), batch }
    }

    /// Indices of the frames of one step.
    pub(super) fn draw(&self, rng: &mut impl RngExt) -> Vec<i32> {
        let size = self.batch.min(self.older.len() + self.recent.len());
        (0..size)
            .map(|_| {
                let is_recent =
                    self.older.len() == 0 || self.recent.len() > 0 && rng.random_bool(RECENT);
                let pool = if is_recent { &self.recent } else { &self.older };
                i32::try_from(pool.pick(rng)).unwrap_or(i32::MAX)
            })
            .collect()
    }
}

impl Pool {
    fn new(frames: &[usize], met: &[bool]) -> Self {
        let (met, violating) = frames.iter().partition(|t| met[**t]);
        Self { met, violating }
    }

    fn len(&self) -> usize {
        self.met.len() + self.violating.len()
    }

    fn pick(&self, rng: &mut impl RngExt) -> usize {
        let is_violating =
            self.met.is_empty() || !self.violating.is_empty() && rng.random_bool(VIOLATING);
        let from = if is_violating { &self.violating } else { &self.met };
        from[rng.random_range(0..from.len())]
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    /// Shares of the batch that are (violating, recent), over many draws.
    fn shares(sampler: &Sampler, met: &[bool], since: usize) -> (f64, f64) {
        let mut rng = SmallRng::seed_from_u64(1);
        let drawn: Vec<usize> = (0..200)
            .flat_map(|_| sampler.draw(&mut rng))
            .map(|t| usize::try_from(t).unwrap())
            .collect();
        let share = |count: usize| count as f64 / drawn.len() as f64;
        (
            share(drawn.iter().filter(|t| !met[**t]).count()),
            share(drawn.iter().filter(|t| **t >= since).count()),
        )
    }

    #[test]
    fn rare_violations_and_few_new_frames_have_their_share_of_every_batch() {
        let met: Vec<bool> = (0..400).map(|t| t % 40 != 0).collect();
        let all: Vec<usize> = (0..400).collect();
        let (violating, _) = shares(&Sampler::new(&all, &met, 64), &met, 390);
        assert!((violating - VIOLATING).abs() < 0.03, "{violating}");
        let (_, recent) = shares(&Sampler::interleaved(&all, &met, 390, 64), &met, 390);
        assert!((recent - RECENT).abs() < 0.03, "{recent}");
    }

    #[test]
    fn with_only_one_sort_of_frames_batches_consist_of_it() {
        let all: Vec<usize> = (0..10).collect();
        for met in [[true; 10], [false; 10]] {
            for since in [0, 10] {
                let sampler = Sampler::interleaved(&all, &met, since, 64);
                let mut rng = SmallRng::seed_from_u64(2);
                assert_eq!(sampler.draw(&mut rng).len(), 10);
            }
        }
    }
}
