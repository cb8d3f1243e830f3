//! `sage backfill`

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::backfill_args::{BackfillArgs, endpoint};
use super::progress::Progress;
use super::run::{FAILURE, USAGE, answer, fail};
use crate::backfill::{self, Counts, Error, Options, selectors};
use crate::config::{self, Config};
use crate::data::EventTime;
use crate::observe::{self, LogConfig};

pub(super) fn backfill(args: &BackfillArgs) -> ExitCode {
    let config = match args.config.as_deref().map(config::load).transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(faults) => return fail(USAGE, &faults),
    };
    let options = match options(args, &config) {
        Ok(options) => options,
        Err(error) => return fail(USAGE, &error),
    };
    observe::init_log(&LogConfig { level: "warn".into(), ..LogConfig::default() });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILURE, &error),
    };
    let progress = Progress::new();
    let mut counts = Counts::default();
    let show = |what: &str, share: f64| progress.show(what, share);
    let result = runtime.block_on(backfill::run(&options, &mut counts, &show));
    progress.finish();
    match result {
        Ok(()) if counts == Counts::default() => answer(&format!(
            "nothing sent: there was nothing to read, or {} says that this backfill is done; delete it to \
             begin again\n",
            options.state.display()
        )),
        Ok(()) => answer(&counts.to_string()),
        Err(error) => {
            let code = if matches!(error, Error::Range { .. }) { USAGE } else { FAILURE };
            if counts != Counts::default() {
                answer(&counts.to_string());
            }
            fail(code, &error)
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "how long ago is by the wall clock")]
fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn options(
    args: &BackfillArgs,
    config: &Config,
) -> Result<Options, super::backfill_args::Unreadable> {
    let [prometheus, jaeger, target] = args.logins()?;
    let window = &config.window;
    let now = now();
    Ok(Options {
        prometheus: args.prometheus.as_ref().map(|url| endpoint(url, prometheus)),
        jaeger: args.jaeger.as_ref().map(|url| endpoint(url, jaeger)),
        target: endpoint(&args.target, target.clone()),
        otlp: endpoint(&args.otlp, target),
        from: args.from.when(now),
        to: args.to.when(now),
        interval: window.interval,
        step: args.step,
        limit: args.limit,
        rate: args.rate,
        selectors: selectors(&window.features, &window.wanted_metrics()),
        state: args.state.clone().unwrap_or_else(|| config.data.dir.join("sage-backfill.json")),
    })
}
