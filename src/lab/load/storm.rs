//! The storm: ten times what is rated, nothing but halves, more RPCs and series than there is room for,
//! on top of calm traffic that goes on. Then: did the process keep to its budget, are the intervals from
//! before as they were, is service normal again?

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::drive::{Clock, Stream, drive};
use super::own::Own;
use super::plan::{Plan, settled};
use super::process::{Watch, peak_bytes, reading};
use super::report::{Outcome, drops, report};
use super::samples::sample_bodies;
use super::spans::{Shape, TRACE_CALLS, TRACE_SPANS, span_bodies};
use super::tally::Tally;
use super::target::Target;
use crate::config::Config;
use crate::data::{EventTime, Frame};
use crate::lab::study::{Entry, Failure, Report, Table};
use crate::lab::wire::Api;

/// Times the rated load.
const TIMES: f64 = 10.0;
/// Series and RPCs of the storm.
const SERIES: usize = 1_000_000;
const RPCS: usize = 100_000;
/// Intervals of calm before it, and again once it has had one to calm down.
const CALM: u32 = 3;
/// What may be under way when a load ends, and so is not sent any more.
const UNSENT: f64 = 0.01;
/// Later than anything that is sent.
const FAR_MS: i64 = 4_000_000_000_000;
/// What of the calm requests must be found in an interval.
const FOUND: f64 = 0.95;

/// What is asked of a storm.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The calm traffic, at the rated load.
    pub calm: Plan,
    /// How long it storms.
    pub duration: Duration,
    /// What the process may take.
    pub budget_bytes: u64,
    /// How long intervals are.
    pub interval: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// Tables: the streams, the checks.
    pub report: Report,
    /// Whether every check holds.
    pub holds: bool,
}

/// The checks so far.
struct Checks(Table, bool);

impl Checks {
    fn check(&mut self, what: &str, holds: bool, seen: String) {
        let word = if holds { "ok" } else { "FAILED" };
        self.0.row(vec![word.into(), what.into(), Entry::Text(seen)]);
        self.1 &= holds;
    }
}

impl Storm {
    /// The configuration of the sidecar.
    pub fn configure(&self, config: &mut Config) {
        config.memory.budget_bytes = self.budget_bytes;
        config.window.interval = self.interval;
        config.window.lateness = self.interval / 3;
    }

    fn length_ms(&self) -> i64 {
        i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX)
    }

    fn streams(&self, spans: &Target, samples: &Target) -> [Vec<Stream>; 2] {
        let stream = |target: &Target, bodies, items_per_s: f64| Stream {
            target: target.clone(),
            bodies: Arc::new(bodies),
            items_per_s,
            connections: self.calm.connections,
        };
        let plan = &self.calm;
        let calm = vec![
            stream(spans, plan.bodies(spans), plan.spans_per_s),
            stream(samples, plan.bodies(samples), plan.samples_per_s),
        ];
        let halves = span_bodies(Shape::Halves, RPCS, plan.request_spans, 2);
        let many = sample_bodies(samples.protocol, "storm", SERIES, plan.request_samples);
        let storm = vec![
            stream(spans, halves, TIMES * plan.spans_per_s),
            stream(samples, many, TIMES * plan.samples_per_s),
        ];
        [calm, storm]
    }
}

/// Lets it storm over `own`.
///
/// # Errors
/// The sidecar does not answer: that is worse than a check that fails.
pub async fn storm(
    what: &Storm,
    own: &mut Own,
    clock: Clock,
    show: &(dyn Fn(&str, f64) + Sync),
) -> Result<Verdict, Failure> {
    let api = Api::new(own.http);
    let spans = Target::parse(&format!("http://{}", own.otlp_grpc), false)?;
    let samples = Target::parse(&format!("http://{}/api/v1/write", own.http), true)?;
    let [calm, storm] = what.streams(&spans, &samples);
    let both: Vec<Stream> = calm.iter().chain(&storm).cloned().collect();
    let length = what.interval;
    let at = |phase| (phase, &calm[..]);
    let mut outcomes = Vec::new();
    let watch = Watch::start(own.pid());

    show("calm", 0.0);
    let lateness = length / 3;
    let time = length * CALM + 2 * lateness;
    outcomes.extend(phase(at("calm before"), time, own, &api, clock).await?);
    let before = frames(&api, 0, FAR_MS).await?;
    show("storm", 0.2);
    outcomes.extend(phase(("storm", &both[..]), what.duration, own, &api, clock).await?);
    let end_ms = i64::try_from(clock() / 1_000_000)?;
    show("calm again", 0.8);
    outcomes.extend(phase(at("first interval"), length, own, &api, clock).await?);
    let again_ms = i64::try_from(clock() / 1_000_000)?;
    let normal = phase(at("calm after"), time, own, &api, clock).await?;
    outcomes.extend(normal.clone());

    let mut checks = Checks(Table::new(&["", "check", "seen"]), true);
    let peak = watch.stop().max(peak_bytes(own.pid()).unwrap_or(0));
    let budget = what.budget_bytes;
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let seen = format!("{} of {}", mb(peak), mb(budget));
    checks.check("the process stays inside its budget", own.is_alive() && peak <= budget, seen);
    intact(&mut checks, &before, &api).await?;
    // Frames of the storm are large, and nobody needs them here.
    let after = frames(&api, again_ms, again_ms + 3 * what.length_ms()).await?;
    normal_again(&mut checks, what, &after, again_ms, &normal);
    let (ready, _) = api.call(axum::http::Method::GET, "/-/ready", &[], Bytes::new()).await?;
    checks.check("it is ready", ready.is_success(), ready.to_string());

    let mut report = report("storm", options(what, end_ms), &outcomes);
    report.more.insert(0, ("Checks", checks.0));
    Ok(Verdict { report, holds: checks.1 })
}

fn options(what: &Storm, end_ms: i64) -> Value {
    json!({
        "calm": what.calm.to_json(), "storm_s": what.duration.as_secs_f64(), "times": TIMES,
        "series": SERIES, "rpcs": RPCS, "budget_bytes": what.budget_bytes,
        "interval_s": what.interval.as_secs_f64(), "ended": EventTime(end_ms),
    })
}

/// Drives streams for a while; a row each.
async fn phase(
    (name, streams): (&str, &[Stream]),
    duration: Duration,
    own: &Own,
    api: &Api,
    clock: Clock,
) -> Result<Vec<Outcome>, Failure> {
    let before = api.get("/api/v1/status").await?;
    let cpu = reading(own.pid());
    let watch = Watch::start(own.pid());
    let tallies = drive(streams, duration, clock).await;
    // What was acknowledged last is worked off while the next phase runs: it goes on like that.
    let after = api.get("/api/v1/status").await?;
    let (peak, end) = (watch.stop(), reading(own.pid()));
    let outcome = |(i, (tally, stream)): (usize, (Tally, &Stream))| Outcome {
        receiver: if i < 2 { name.into() } else { format!("{name}: on top") },
        protocol: stream.target.protocol.name(),
        offered_per_s: stream.items_per_s,
        seconds: duration.as_secs_f64(),
        tally,
        // Of all streams together, so told once.
        drops: (i == 0).then(|| drops(&before, &after)),
        peak_bytes: (i == 0).then_some(peak),
        resident_bytes: end.filter(|_| i == 0).map(|r| r.resident_bytes),
        cpu_s: cpu.zip(end).filter(|_| i == 0).map(|(b, a)| a.cpu_s - b.cpu_s),
    };
    Ok(tallies.into_iter().zip(streams).enumerate().map(outcome).collect())
}

async fn frames(api: &Api, from_ms: i64, to_ms: i64) -> Result<Vec<Frame>, Failure> {
    settled(api).await?;
    let path = format!("/api/v1/frames?from={from_ms}&to={to_ms}");
    Ok(serde_json::from_value(api.get(&path).await?)?)
}

/// The intervals that were closed before the storm are in history as they were.
async fn intact(checks: &mut Checks, before: &[Frame], api: &Api) -> Result<(), Failure> {
    let from = before.first().map_or(0, |f| f.interval.start.0);
    let to = before.last().map_or(1, |f| f.interval.end.0);
    let after = frames(api, from, to).await?;
    let same = before.iter().filter(|frame| after.contains(frame)).count();
    let rpcs: usize = before.iter().map(|f| f.rpcs.len()).sum();
    let holds = !before.is_empty() && rpcs > 0 && same == before.len();
    let seen = format!("{same} of {} intervals, {rpcs} RPCs", before.len());
    checks.check("earlier windows are intact", holds, seen);
    Ok(())
}

/// The first whole interval that begins after `again_ms` shows the calm traffic and nothing is refused.
fn normal_again(
    checks: &mut Checks,
    what: &Storm,
    after: &[Frame],
    again_ms: i64,
    normal: &[Outcome],
) {
    let tallies = || normal.iter().map(|o| &o.tally);
    let sent: u64 = tallies().map(|t| t.sent).sum();
    let lost: u64 = tallies().map(|t| t.refused + t.failed).sum();
    let unsent: u64 = tallies().map(|t| t.unsent).sum();
    let holds = lost == 0 && sent > 0 && unsent as f64 <= UNSENT * sent as f64;
    let seen = format!("{lost} of {sent} items, {unsent} could not be sent in time");
    checks.check("nothing is refused one interval later", holds, seen);
    let found = after.iter().find(|f| f.interval.start.0 >= again_ms);
    let calls_of = |f: &Frame| {
        let calm = f.rpcs.iter().filter(|r| r.key.callee.starts_with("svc-"));
        calm.fold((0, 0), |(rpcs, calls), r| (rpcs + 1, calls + r.count))
    };
    let (rpcs, calls) = found.map_or((0, 0), calls_of);
    let traces = what.calm.spans_per_s * what.interval.as_secs_f64() / TRACE_SPANS as f64;
    let wanted = traces * TRACE_CALLS as f64;
    let share = calls as f64 / wanted;
    let holds = rpcs == what.calm.rpcs && (FOUND..=1.0 / FOUND).contains(&share);
    let seen = format!("{rpcs} of {} RPCs, {calls} of about {wanted:.0} calls", what.calm.rpcs);
    checks.check("the interval after that shows every RPC and its calls", holds, seen);
    let completeness = found.map_or(0.0, |f| f.completeness);
    let seen = format!("{completeness:.4}");
    checks.check("its halves find each other", completeness >= FOUND, seen);
    let services = found.map_or(0, |f| {
        f.services
            .iter()
            .filter(|s| s.service.starts_with("svc-") && !s.features.is_empty())
            .count()
    });
    let wanted = what.calm.series.div_ceil(super::samples::SERVICE_SERIES);
    let seen = format!("{services} of {wanted} services");
    checks.check("it shows the resources of every service", services == wanted, seen);
}
