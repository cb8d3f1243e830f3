//! The compared systems on a record: they learn from what Sage learns from, are asked about the
//! same violations, and are scored alike.

use super::record::Record;
use super::rivals::{self, Rival};
use super::score::{Named, Score};

/// How a compared system did.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its score.
    pub score: Score,
    /// Whether it ever named a resource.
    pub names_resources: bool,
    /// Milliseconds per violation.
    pub diagnose_ms: f64,
}

/// Lets every compared system learn and answer. `clock` reads seconds of wall time.
pub fn contest(
    record: &Record,
    seed: u64,
    clock: &dyn Fn() -> f64,
    progress: &dyn Fn(f64),
) -> Vec<Standing> {
    let all = rivals::all(&record.past(seed));
    let mut standings = Vec::new();
    for rival in &all {
        progress(standings.len() as f64 / all.len() as f64);
        standings.push(stand(record, rival.as_ref(), clock));
    }
    standings
}

fn stand(record: &Record, rival: &dyn Rival, clock: &dyn Fn() -> f64) -> Standing {
    let (mut score, mut names_resources, mut seconds) = (Score::default(), false, 0.0);
    for violation in &record.violations {
        let begun = clock();
        let accused = rival.accuse(&record.frames[..=violation.frame]);
        seconds += clock() - begun;
        names_resources |= accused.iter().any(|(_, resource)| resource.is_some());
        let named: Named =
            accused.iter().filter_map(|(s, r)| Some((record.service(s)?, *r))).collect();
        score.add(&violation.blame, &named);
    }
    let diagnose_ms = seconds * 1000.0 / record.violations.len().max(1) as f64;
    Standing { name: rival.name().into(), score, names_resources, diagnose_ms }
}
