//! The replay: one application through its six updates, one after the other or from any of them on.

use std::sync::Arc;

use serde::Serialize;

use super::outcome::{Before, Followed, Point, PolicyName, Quiet, Training};
use super::policies::{Clock, Contest, scratch};
use super::probe::Probes;
use super::shelf::{Shelf, Shelved};
use super::stream::{Stream, target_of};
use super::versions::{Touched, Version, versions};
use crate::data::Frame;
use crate::model;

/// Intervals since an update at which accuracy is measured; the last of them ends it.
pub const MOMENTS: [usize; 6] = [1, 3, 5, 8, 12, 24];

/// Keeps the random numbers of the probes apart from those of the application.
const PROBES: u64 = 0xabc;

/// How much is simulated and learnt.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// Intervals before the first update.
    pub before: usize,
    /// Intervals between two updates.
    pub between: usize,
    /// Intervals simulated beside each version to find violations to judge by.
    pub probes: usize,
    /// Intervals without any update in which nothing should be taken for one.
    pub quiet: usize,
    /// Training steps.
    pub steps: [usize; 2],
}

/// The application and how far it has come.
pub struct Replay {
    seed: u64,
    size: Size,
    config: model::Config,
    versions: Vec<Version>,
    /// Made when it is first needed: the application after so many updates, and all the intervals so far.
    so_far: Option<(usize, Stream)>,
}

impl Replay {
    /// Nothing has happened yet.
    pub fn new(seed: u64, size: Size) -> Self {
        let config = model::Config { seed, steps: size.steps, ..model::Config::default() };
        Self { seed, size, config, versions: versions(), so_far: None }
    }

    /// Everyday traffic, a first model of it, and its accuracy. `progress` hears the share done.
    ///
    /// # Errors
    /// The words of what went wrong.
    pub fn before(&mut self, clock: Clock<'_>, progress: &dyn Fn(f64)) -> Result<Before, String> {
        let config = self.config.clone();
        let (seed, count) = (self.seed ^ PROBES, self.size.probes);
        let version = self.versions[0].clone();
        let stream = self.stream_after(0, &|share| progress(0.5 * share))?;
        let begun = clock();
        let first = Arc::new(from_all(stream, &config)?);
        let seconds = clock() - begun;
        progress(0.7);
        let target = stream.target.clone();
        let probes = Probes::new((&version, Touched::default()), &target, count, seed)?;
        let scores = probes.score(&stream.frames, Some(&first));
        Ok(Before { first: Shelved::of(&first)?, scores, seconds })
    }

    /// The application goes on without any update: whatever is found to have changed has not.
    ///
    /// # Errors
    /// The words of what went wrong.
    pub fn quiet(
        &mut self,
        first: &Shelved,
        clock: Clock<'_>,
        progress: &dyn Fn(f64),
    ) -> Result<Quiet, String> {
        let (config, intervals) = (self.config.clone(), self.size.quiet);
        self.stream_after(0, &|_| {})?;
        // What happens here is not history of the updates.
        let Some((_, mut stream)) = self.so_far.take() else { return Err("no traffic".into()) };
        let shelf = Shelf::all(first);
        let now = stream.now();
        let mut contest = Contest::new((first.open()?.model, &shelf), config, &stream.frames, now)?;
        let (mut found, mut trainings) = (Vec::new(), 0);
        let mut last = None;
        for n in 0..intervals {
            progress(n as f64 / intervals as f64);
            if stream.goes_on() {
                let seen = (&*stream.frames, &*stream.met);
                trainings += contest.advance(seen, false, clock).len();
            }
            let following = contest.following();
            if let Some((since, reason)) = &following
                && last != Some(*since)
            {
                found.push((n, reason.clone()));
            }
            last = following.map(|(since, _)| since).or(last);
        }
        Ok(Quiet { intervals, found, trainings })
    }

    /// Update number `n`, 1 to 6, and the intervals after it.
    ///
    /// # Errors
    /// The words of what went wrong.
    pub fn follow(
        &mut self,
        n: usize,
        (first, shelf): (&Shelved, &Shelf),
        clock: Clock<'_>,
        progress: &dyn Fn(f64),
    ) -> Result<Followed, String> {
        let (config, size) = (self.config.clone(), self.size);
        let seed = self.seed + n as u64;
        let versions = self.versions.clone();
        let (version, touched) = (&versions[n], versions[n].touched(&versions[n - 1]));
        self.stream_after(n - 1, &|share| progress(0.2 * share))?;
        let target = target_of(version, seed)?;
        let probes = Probes::new((version, touched), &target, size.probes, seed ^ PROBES)?;
        let stream = self.stream_after(n - 1, &|_| {})?;
        stream.update(version, target.clone(), seed)?;
        let models = (first.open()?.model, shelf);
        let mut contest = Contest::new(models, config.clone(), &stream.frames, stream.now())?;
        let (mut points, mut trainings) = (Vec::new(), Vec::new());
        for intervals in 1..=size.between {
            progress(0.3 + 0.6 * intervals as f64 / size.between as f64);
            if stream.goes_on() {
                let done = contest.advance((&stream.frames, &stream.met), true, clock);
                trainings.extend(done.into_iter().map(|t| Training { intervals, ..t }));
            }
            if MOMENTS.contains(&intervals) {
                points.extend(PolicyName::ALL.map(|policy| {
                    let scores = probes.score(&stream.frames, contest.model(policy));
                    Point { intervals, policy, scores }
                }));
            }
        }
        let begun = clock();
        from_all(stream, &config)?;
        let all_of_history = (stream.frames.len(), clock() - begun);
        let shelf = contest.shelf()?;
        if let Some((so_far, _)) = &mut self.so_far {
            *so_far = n;
        }
        Ok(Followed { points, trainings, all_of_history, shelf })
    }

    /// The application after `updates` updates, right before the next one.
    fn stream_after(
        &mut self,
        updates: usize,
        progress: &dyn Fn(f64),
    ) -> Result<&mut Stream, String> {
        let (seed, size) = (self.seed, self.size);
        let (mut done, mut stream) = match self.so_far.take() {
            Some((done, stream)) if done <= updates => (done, stream),
            _ => {
                let version = &self.versions[0];
                let mut stream = Stream::new(version, target_of(version, seed)?, seed)?;
                for n in 0..size.before {
                    progress(n as f64 / size.before as f64);
                    stream.step();
                }
                (0, stream)
            }
        };
        while done < updates {
            done += 1;
            let (version, seed) = (&self.versions[done], seed + done as u64);
            stream.update(version, target_of(version, seed)?, seed)?;
            (0..size.between).for_each(|_| drop(stream.step()));
        }
        Ok(&mut self.so_far.insert((done, stream)).1)
    }
}

/// A model of all that has been seen.
fn from_all(stream: &Stream, config: &model::Config) -> Result<model::Model, String> {
    let plain: Vec<&Frame> = stream.frames.iter().map(|f| &**f).collect();
    scratch(&plain, &stream.met, config).map_err(|e| e.to_string())
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("seed", &self.seed)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
