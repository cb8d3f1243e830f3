//! The run: stretch by stretch read, interval by interval sent.
//!
//! Spans and samples of one interval go together, so that the sidecar's watermark, which follows the newest
//! event, cannot pass the end of an interval before all of it has been sent.

use super::counts::Counts;
use super::error::Error;
use super::jaeger::Jaeger;
use super::pending::{PENDING_MAX, Pending};
use super::plan::{Options, Plan, Range};
use super::prometheus::{Prometheus, SAMPLES_MAX};
use super::state::State;
use super::target::Target;
use crate::data::{EventTime, Series};

/// Moves what `options` ask for; `counts` tells of it, also after a failure. `show` hears what is under
/// way and how much is done.
///
/// # Errors
/// When a source or the sidecar fails for good, or the state cannot be kept. What was finished stays so.
pub async fn run(
    options: &Options,
    counts: &mut Counts,
    show: &dyn Fn(&str, f64),
) -> Result<(), Error> {
    let plan = Plan::new(options)?;
    let mut state = State::new(options, &plan).resume(&options.state)?;
    let mut at = state.done();
    if at >= plan.range.end {
        return Ok(());
    }
    // Before anything is sent: there must be a way to remember it.
    state.advance(at, &options.state)?;
    let mut target = Target::new(options);
    target.check(at).await?;
    let mut prometheus = match &options.prometheus {
        Some(endpoint) => Some(Prometheus::new(endpoint, &options.selectors, plan).await?),
        None => None,
    };
    let jaeger = match &options.jaeger {
        Some(endpoint) => Some(Jaeger::new(endpoint, options.limit).await?),
        None => None,
    };
    let mut pending = Pending::new(at);
    // Traces that were under way when the first stretch begins.
    let mut before = plan.interval;
    let mut intervals = i64::MAX;
    while at < plan.range.end {
        let whole = plan.stretch(at);
        let end = whole.end.min(at.saturating_add(intervals.saturating_mul(plan.interval)));
        let stretch = Range { start: at, end };
        let text = format!("{:.16}", EventTime(at).to_string());
        show(&text, plan.share(at));
        let mut series: Vec<Series> = Vec::new();
        if let Some(prometheus) = &mut prometheus {
            series = prometheus.read(stretch, counts).await?;
        }
        if let Some(jaeger) = &jaeger {
            let range = Range { start: (at - before).max(0), end };
            pending.turn();
            jaeger.read(range, &mut pending, counts).await?;
        }
        before = 0;
        let samples: usize = series.iter().map(|s| s.samples.len()).sum();
        let is_large = pending.len() > PENDING_MAX / 4 || samples > SAMPLES_MAX / 4;
        for slice in plan.slices(stretch) {
            target.samples(&series, slice, counts).await?;
            target.spans(pending.take(slice.end), counts).await?;
            state.advance(slice.end, &options.state)?;
            show(&text, plan.share(slice.end));
        }
        at = end;
        // Large stretches become shorter before they are too large.
        if is_large {
            intervals = ((stretch.end - stretch.start) / plan.interval / 2).max(1);
        }
    }
    Ok(())
}
