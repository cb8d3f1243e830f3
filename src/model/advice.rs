//! How many requests should be traced.
//!
//! In: the newest frames, what QoS targets are about, what the policy says about changes. Out:
//! [`SamplingAdvice`]: the share that tells the targets' quantiles as exactly as is asked for, and no more than
//! that; all of them while there is something to learn. Sage sets no sampler.

use std::collections::BTreeSet;

use crate::data::{EventTime, Frame, QosTarget, RpcWindow, SamplingAdvice};
use crate::stats::{median, requests_for};

/// Newest intervals that tell how many requests there are: the advice follows the load of minutes.
const NEWEST: usize = 10;
/// Advice is for so many times as many as are needed: the load may halve before there is new advice.
const MARGIN: f64 = 2.0;
/// And it stays until fewer than needed are traced, or so many times as many: the load may double.
const PLENTY: f64 = MARGIN * 2.0;
/// A sampler keeps what it is told to within chance.
const CHANCE: f64 = 0.9;
/// What is wanted to be known where nothing is configured.
const ASSUMED_QUANTILE: f64 = 0.99;

/// What is known when advice is due.
pub(super) struct Known<'a> {
    /// The newest frames, oldest first.
    pub frames: &'a [&'a Frame],
    /// The configured targets.
    pub targets: &'a [QosTarget],
    /// The change the model has not converged on yet, and until when more traces help.
    pub converging: Option<(String, EventTime)>,
    pub has_model: bool,
}

impl Known<'_> {
    /// Whether there is something to learn.
    fn is_learning(&self) -> bool {
        self.converging.is_some() || !self.has_model
    }

    /// Whether more should be traced than are; always while there is something to learn.
    pub(super) fn wants_more(&self, advice: &SamplingAdvice) -> bool {
        let seen = advice.seen_ratio.unwrap_or(1.0);
        let is_short = advice.trace_ratio.is_some_and(|advised| seen < CHANCE * advised);
        is_short || self.is_learning()
    }
}

/// Gives advice, the same as before as long as that will do.
#[derive(Clone, Debug)]
pub(super) struct Adviser {
    /// Relative standard error that a quantile may have.
    error: f64,
    /// The share that is advised while nothing has to be learnt.
    share: Option<f64>,
}

/// How many requests to a service there are, and how many tell what is to be known about it.
#[derive(Clone, Debug)]
struct Demand {
    target: QosTarget,
    /// Requests in an interval.
    requests: f64,
    needed: f64,
}

impl Demand {
    /// Share of the requests that is needed, more than 1 where all of them are too few.
    fn share(&self) -> f64 {
        self.needed / self.requests
    }
}

impl Adviser {
    /// Has not said anything yet.
    pub(super) fn new(error: f64) -> Self {
        Self { error, share: None }
    }

    /// The advice, best reason first: a change is followed until a moment, there is no model, the targets need
    /// so many.
    pub(super) fn advise(&mut self, known: &Known<'_>) -> SamplingAdvice {
        let frames = &known.frames[known.frames.len().saturating_sub(NEWEST)..];
        let seen_ratio = frames.last().and_then(|f| seen_ratio(f));
        let demand = self.demand(frames, known.targets);
        self.share = demand.as_ref().map(|d| self.kept_or_new(d.share()));
        let all =
            |reason, until| SamplingAdvice { trace_ratio: Some(1.0), reason, until, seen_ratio };
        if let Some((reason, until)) = &known.converging {
            return all(reason.clone(), Some(*until));
        }
        if !known.has_model {
            return all("there is no model yet".into(), None);
        }
        let reason = match demand {
            Some(demand) => self.reason(&demand),
            None => "no requests from outside to tell a quantile of".into(),
        };
        SamplingAdvice { trace_ratio: self.share, reason, until: None, seen_ratio }
    }

    /// What was said before while that is neither too little nor far too much.
    fn kept_or_new(&self, needed: f64) -> f64 {
        let needed = needed.min(1.0);
        let will_do = |said: &f64| *said >= needed && *said <= PLENTY * needed;
        self.share.filter(will_do).unwrap_or_else(|| (MARGIN * needed).min(1.0))
    }

    /// The one that needs the largest share. Callees need no more than those they are called for: a call that one
    /// request in `k` makes bears on the quantile `q` of all requests by its own quantile 1 - k (1 - q), which is
    /// that much less deep in the tail.
    fn demand(&self, frames: &[&Frame], targets: &[QosTarget]) -> Option<Demand> {
        let of = |target: &QosTarget| self.of(target, frames);
        let most = |demands: Vec<Demand>| {
            demands.into_iter().max_by(|a, b| a.share().total_cmp(&b.share()))
        };
        if let Some(demand) = most(targets.iter().filter_map(of).collect()) {
            return Some(demand);
        }
        let entries: BTreeSet<&str> = frames.iter().flat_map(|f| f.entry_services()).collect();
        let assumed = |service: &&str| QosTarget {
            service: (*service).to_string(),
            quantile: ASSUMED_QUANTILE,
            target_ms: f64::INFINITY,
        };
        let entries: Vec<Demand> = entries.iter().map(assumed).filter_map(|t| of(&t)).collect();
        // Nobody has said that a service which is hardly asked for matters.
        let busy: Vec<Demand> = entries.iter().filter(|d| d.share() <= 1.0).cloned().collect();
        let busiest = || entries.into_iter().max_by(|a, b| a.requests.total_cmp(&b.requests));
        most(busy).or_else(busiest)
    }

    fn of(&self, target: &QosTarget, frames: &[&Frame]) -> Option<Demand> {
        let all = |frame: &&Frame| -> f64 {
            frame.entry_rpcs(&target.service).iter().map(|w| w.count as f64).sum()
        };
        let requests = median(frames.iter().map(all).filter(|count| *count > 0.0))?;
        let slope = median(frames.iter().filter_map(|f| slope(target, f))).unwrap_or(0.0);
        let needed = requests_for(target.quantile, slope, self.error);
        Some(Demand { target: target.clone(), requests, needed })
    }

    fn reason(&self, Demand { target, requests, needed }: &Demand) -> String {
        let QosTarget { service, quantile, .. } = target;
        let percent = 100.0 * self.error;
        let what = format!(
            "{needed:.0} requests tell the {quantile} quantile of {service} to within {percent:.0} %; there are \
             about {requests:.0} in an interval"
        );
        if needed > requests { format!("{what}, fewer than that") } else { what }
    }
}

/// Slope of ln(latency) over -ln(1 - q) at the quantile of `target`, towards twice as many requests beyond it.
fn slope(target: &QosTarget, frame: &Frame) -> Option<f64> {
    let beyond = 1.0 - target.quantile;
    let more = (2.0 * beyond).min(1.0);
    let nearer = QosTarget { quantile: 1.0 - more, ..target.clone() };
    let (far, near) = (target.observed_ms(frame)?, nearer.observed_ms(frame)?);
    let slope = (far / near).ln() / (more / beyond).ln();
    slope.is_finite().then_some(slope)
}

fn seen(rpc: &RpcWindow) -> f64 {
    rpc.count as f64 * f64::from(rpc.seen_ratio)
}

/// Share of all requests that was seen; `None` when there were none.
fn seen_ratio(frame: &Frame) -> Option<f64> {
    let all: u64 = frame.rpcs.iter().map(|r| r.count).sum();
    (all > 0).then(|| frame.rpcs.iter().map(seen).sum::<f64>() / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Interval, Percentiles, RpcKey, RpcKind};

    /// An exponential tail, of which 177 requests tell the 99th percentile to within 20 %, by the slope from the
    /// 95th on.
    const EXPONENTIAL: Percentiles = Percentiles([6.93, 13.86, 23.03, 29.96, 46.05]);
    const NEEDED: f64 = 177.0;

    fn frame_of(rpcs: &[(&str, u64, f32)], client: Percentiles) -> Frame {
        let rpc = |(service, count, seen_ratio): &(&str, u64, f32)| RpcWindow {
            key: RpcKey::new("user", "", service, "op"),
            kind: RpcKind::ServerOnly,
            count: *count,
            failed: 0,
            seen_ratio: *seen_ratio,
            client,
            server: client,
            request: Default::default(),
            response: Default::default(),
        };
        let interval = Interval { start: EventTime(0), end: EventTime(1) };
        let rpcs = rpcs.iter().map(rpc).collect();
        Frame { interval, rpcs, services: Vec::new(), completeness: 1.0, replicas: vec![] }
    }

    fn frame(count: u64) -> Frame {
        frame_of(&[("front", count, 1.0)], EXPONENTIAL)
    }

    fn target(service: &str, quantile: f64) -> QosTarget {
        QosTarget { service: service.into(), quantile, target_ms: 100.0 }
    }

    fn said(adviser: &mut Adviser, frames: &[&Frame], targets: &[QosTarget]) -> SamplingAdvice {
        adviser.advise(&Known { frames, targets, converging: None, has_model: true })
    }

    fn ratio(frames: &[&Frame], targets: &[QosTarget]) -> f64 {
        said(&mut Adviser::new(0.2), frames, targets).trace_ratio.unwrap()
    }

    fn is(got: f64, wanted: f64) -> bool {
        (got / wanted - 1.0).abs() < 0.01
    }

    #[test]
    fn the_more_requests_there_are_the_smaller_a_share_will_do() {
        for (count, wanted) in [
            (1_000_000, 2.0 * NEEDED / 1e6),
            (5000, 2.0 * NEEDED / 5000.0),
            (1000, 2.0 * NEEDED / 1000.0),
            (300, 1.0),
            // All of them are too few; more there are not.
            (20, 1.0),
        ] {
            let got = ratio(&[&frame(count)], &[]);
            assert!(is(got, wanted), "{count}: {got} instead of {wanted}");
        }
        let scarce = said(&mut Adviser::new(0.2), &[&frame(20)], &[]);
        assert!(scarce.reason.contains("about 20 in an interval, fewer"), "{}", scarce.reason);
    }

    #[test]
    fn deeper_quantiles_heavier_tails_and_smaller_errors_need_more() {
        let busy = frame(100_000);
        let usual = ratio(&[&busy], &[target("front", 0.99)]);
        assert!(ratio(&[&busy], &[target("front", 0.9)]) < usual / 2.0);
        let exact = said(&mut Adviser::new(0.1), &[&busy], &[]).trace_ratio.unwrap();
        assert!(is(exact, 4.0 * usual), "{exact}");
        // ln(latency) grows by 1.6 from the 95th to the 99th percentile, where it grew by 0.43.
        let heavy = Percentiles([10.0, 12.0, 20.0, 30.0, 30.0 * 1.6_f32.exp()]);
        let heavy = ratio(&[&frame_of(&[("front", 100_000, 1.0)], heavy)], &[]);
        assert!(heavy > 10.0 * usual, "{heavy}");
    }

    #[test]
    fn the_rarest_that_a_target_is_about_decides_and_no_other() {
        let frame = frame_of(
            &[("admin", 500, 1.0), ("front", 50_000, 1.0), ("health", 3, 1.0)],
            EXPONENTIAL,
        );
        let of = |targets: &[QosTarget]| ratio(&[&frame], targets);
        assert!(is(of(&[target("front", 0.99)]), 2.0 * NEEDED / 50_000.0));
        assert!(is(of(&[target("front", 0.99), target("admin", 0.99)]), 2.0 * NEEDED / 500.0));
        assert!(is(of(&[target("front", 0.99), target("health", 0.99)]), 1.0));
        // Without targets: of those that are asked for often enough.
        assert!(is(of(&[]), 2.0 * NEEDED / 500.0));
    }

    #[test]
    fn advice_stays_while_the_load_neither_halves_nor_doubles_for_minutes() {
        let mut adviser = Adviser::new(0.2);
        let mut at = |count: u64| {
            let frame = frame(count);
            said(&mut adviser, &[&frame], &[]).trace_ratio.unwrap()
        };
        let first = at(10_000);
        for count in [9000, 5100, 14_000, 19_900, 10_000] {
            assert_eq!(at(count), first, "{count}");
        }
        let lower = at(20_100);
        assert!(is(lower, first / 2.01), "{lower}");
        // What has made it fall has to go twice as far back.
        assert_eq!([at(19_900), at(10_500)], [lower; 2]);
        assert!(is(at(10_000), first));
        let mut adviser = Adviser::new(0.2);
        let (usual, odd) = (frame(10_000), frame(100));
        let mut frames = vec![&usual; 10];
        let before = said(&mut adviser, &frames, &[]).trace_ratio;
        frames.extend([&odd; 4]);
        assert_eq!(said(&mut adviser, &frames, &[]).trace_ratio, before, "four of ten are odd");
        frames.extend([&odd; 3]);
        assert_eq!(said(&mut adviser, &frames, &[]).trace_ratio, Some(1.0));
    }

    #[test]
    fn changes_and_the_first_model_want_all_of_them_and_then_it_is_as_before() {
        let frame = frame_of(&[("cart", 100, 0.2), ("front", 30_000, 1.0)], EXPONENTIAL);
        let mut adviser = Adviser::new(0.2);
        let mut at = |converging, has_model| {
            let known = Known { frames: &[&frame], targets: &[], converging, has_model };
            adviser.advise(&known)
        };
        let usual = at(None, true).trace_ratio;
        assert!(usual < Some(0.1));
        let change = at(Some(("cart is new".into(), EventTime(7))), true);
        assert_eq!((change.trace_ratio, change.until), (Some(1.0), Some(EventTime(7))));
        assert!((change.seen_ratio.unwrap() - (20.0 + 30_000.0) / 30_100.0).abs() < 1e-6);
        assert_eq!(at(None, false).trace_ratio, Some(1.0));
        assert_eq!(at(None, true).trace_ratio, usual);
    }

    #[test]
    fn more_are_wanted_while_fewer_are_traced_and_while_something_is_learnt() {
        for (seen_ratio, converging, has_model, wanted) in [
            (1.0, None, true, false),
            (0.5, None, true, false),
            (0.34, None, true, false),
            (0.3, None, true, true),
            (1.0, None, false, true),
            (1.0, Some(("cart is new".to_string(), EventTime(7))), true, true),
        ] {
            // Of 1000 requests 177 are needed, and 354 are advised.
            let frame = frame_of(&[("front", 1000, seen_ratio)], EXPONENTIAL);
            let known = Known { frames: &[&frame], targets: &[], converging, has_model };
            let advice = Adviser::new(0.2).advise(&known);
            assert_eq!(known.wants_more(&advice), wanted, "{seen_ratio} {advice:?}");
        }
    }

    #[test]
    fn without_requests_there_is_nothing_to_tell_it_from() {
        let empty = frame_of(&[], EXPONENTIAL);
        for frames in [&[][..], &[&empty]] {
            let advice = said(&mut Adviser::new(0.2), frames, &[target("front", 0.99)]);
            assert_eq!((advice.trace_ratio, advice.seen_ratio), (None, None));
        }
    }
}
