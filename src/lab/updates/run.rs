//! The replay: one application through its six updates.

use super::outcome::{Outcome, Point, PolicyName, Speed};
use super::policies::{Clock, Contest, scratch};
use super::probe::{Probe, probes, score};
use super::stream::{Stream, target_of};
use super::versions::{Version, versions};
use crate::data::{Frame, QosTarget};
use crate::model;

/// What is replayed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seed of everything.
    pub seed: u64,
    /// Intervals before the first update.
    pub before: usize,
    /// Intervals between two updates.
    pub between: usize,
    /// Intervals simulated beside each version to find violations to judge by.
    pub probes: usize,
    /// How many of the updates.
    pub updates: usize,
    /// Training.
    pub steps: [usize; 2],
    /// Policies that are compared.
    pub policies: &'static [PolicyName],
    /// Train a model from scratch on all of history after each update, to compare times.
    pub speed: bool,
}

impl Options {
    /// As in the paper.
    pub fn full(seed: u64) -> Self {
        let steps = model::Config::default().steps;
        Self {
            seed,
            before: 300,
            between: 24,
            probes: 160,
            updates: 6,
            steps,
            policies: &PolicyName::ALL,
            speed: true,
        }
    }

    /// Two updates and little of everything: for machines that only want to know that it works.
    pub fn quick(seed: u64) -> Self {
        Self { before: 80, between: 8, probes: 24, updates: 2, steps: [60, 30], ..Self::full(seed) }
    }
}

/// Intervals since an update at which accuracy is measured.
const MOMENTS: [usize; 6] = [1, 3, 5, 8, 12, 24];

/// Runs the replay. `clock` reads seconds of wall time; `progress` hears what is under way.
///
/// # Errors
/// The words of what went wrong.
pub fn run(
    options: &Options,
    clock: Clock<'_>,
    progress: &dyn Fn(&str, f64),
) -> Result<Outcome, String> {
    let all: Vec<Version> = versions().into_iter().take(options.updates + 1).collect();
    let config =
        model::Config { seed: options.seed, steps: options.steps, ..model::Config::default() };
    let mut outcome = Outcome::default();
    progress("everyday traffic", 0.0);
    let target = target_of(&all[0], options.seed)?;
    let mut stream = Stream::new(&all[0], target, options.seed)?;
    (0..options.before).for_each(|_| drop(stream.step()));
    progress("first training", 0.05);
    let plain: Vec<&Frame> = stream.frames.iter().map(|f| &**f).collect();
    let first = scratch(&plain, &stream.met, &config).map_err(|e| e.to_string())?;
    let mut contest = Contest::new(first, config.clone(), options.policies);
    let before = probes(&all[0], &stream.target, options.probes, options.seed ^ 0xabc)?;
    let version = Judged { version: &all[0], target: &stream.target, probes: &before };
    outcome.before = version.counts(&stream, contest.model(PolicyName::None));
    for (n, version) in all.iter().enumerate().skip(1) {
        progress(&format!("update {}", version.name), n as f64 / all.len() as f64);
        outcome.updates.push((version.name, version.what));
        let seed = options.seed + n as u64;
        let target = target_of(version, seed)?;
        let probes = probes(version, &target, options.probes, seed ^ 0xabc)?;
        stream.update(version, target.clone(), seed)?;
        contest.updated(stream.frames.last().map_or(0, |f| f.interval.end.0));
        let judged = Judged { version, target: &target, probes: &probes };
        follow(options, &mut stream, &mut contest, &judged, &mut outcome, clock);
        if options.speed {
            outcome.speed.extend(speed(&stream, version, &config, &outcome, clock));
        }
    }
    Ok(outcome)
}

/// The intervals after one update.
fn follow(
    options: &Options,
    stream: &mut Stream,
    contest: &mut Contest,
    judged: &Judged<'_>,
    outcome: &mut Outcome,
    clock: Clock<'_>,
) {
    let update = judged.version.name;
    for intervals in 1..=options.between {
        let closed = stream.frames.len();
        stream.step();
        if stream.frames.len() > closed {
            let done = contest.advance((&stream.frames, &stream.met), clock);
            let done = done.into_iter().map(|t| super::Training { update, intervals, ..t });
            outcome.trainings.extend(done);
        }
        if MOMENTS.contains(&intervals) {
            for &policy in options.policies {
                let (cases, service, both) = judged.counts(stream, contest.model(policy));
                outcome.points.push(Point { update, intervals, policy, cases, service, both });
            }
        }
    }
}

/// A version and the violations it is judged by.
struct Judged<'a> {
    version: &'a Version,
    target: &'a QosTarget,
    probes: &'a [Probe],
}

impl Judged<'_> {
    /// (cases, service right, resource right as well)
    fn counts(&self, stream: &Stream, model: Option<&model::Model>) -> (usize, usize, usize) {
        let score = score(self.probes, &stream.frames, self.target, model, self.version);
        (score.cases, score.service, score.both)
    }
}

fn speed(
    stream: &Stream,
    version: &Version,
    config: &model::Config,
    outcome: &Outcome,
    clock: Clock<'_>,
) -> Option<Speed> {
    let is_partial = |t: &&super::Training| {
        t.update == version.name && t.policy == PolicyName::Partial && t.refused.is_none()
    };
    let partial = outcome.trainings.iter().rev().find(is_partial)?;
    let plain: Vec<&Frame> = stream.frames.iter().map(|f| &**f).collect();
    let begun = clock();
    scratch(&plain, &stream.met, config).ok()?;
    Some(Speed {
        update: version.name,
        intervals: plain.len(),
        scratch_seconds: clock() - begun,
        partial_seconds: partial.seconds,
    })
}
