//! `sage lab accuracy` and the other studies: clock, memory, files and terminal around
//! [`crate::lab::study`].

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::args::{Histograms, Study, StudyArgs};
use super::progress::Progress;
use super::run::{FAILURE, answer, fail};
use crate::lab::study::{
    Accuracy, Failure, Instrumentation, Notebook, Options, Report, Surroundings, accuracy,
    instrumentation, latency, robustness, sampling, scale, training_size, updates,
};

/// Makes the table and the figure that were asked for.
pub(super) fn study(study: &Study) -> ExitCode {
    match study {
        Study::Accuracy(args) => {
            let (usage_only, compare) = (args.usage_only, args.compare);
            let histograms = args.histograms.map(Histograms::buckets);
            let options = options(&args.study);
            let interval = args.interval.map(Duration::from_secs);
            let traced = args.traced;
            let all_alerts = args.all_alerts;
            let train_faults = args.train_faults;
            let what = Accuracy {
                options,
                usage_only,
                traced,
                interval,
                all_alerts,
                train_faults,
                histograms,
                compare,
            };
            run(&args.study, args.details, &|at| accuracy(&what, at))
        }
        Study::Instrumentation { cut, study } => {
            let what = Instrumentation { options: options(study), cut: *cut };
            run(study, false, &|at| instrumentation(&what, at))
        }
        Study::TrainingSize(args) => run(args, false, &|at| training_size(&options(args), at)),
        Study::Sampling(args) => run(args, false, &|at| sampling(&options(args), at)),
        Study::Latency(args) => run(args, false, &|at| latency(&options(args), at)),
        Study::Scale(args) => run(args, false, &|at| scale(&options(args), at)),
        Study::Robustness(args) => run(args, false, &|at| robustness(&options(args), at)),
        Study::Updates(args) => run(args, false, &|at| updates(&options(args), at)),
    }
}

fn options(args: &StudyArgs) -> Options {
    Options {
        apps: args.apps.clone(),
        seed: args.seed,
        train: args.train.map(|n| n as usize),
        test: args.test.map(|n| n as usize),
        quick: args.quick,
    }
}

type Work<'a> = dyn Fn(&Surroundings<'_>) -> Result<Report, Failure> + 'a;

fn run(args: &StudyArgs, details: bool, work: &Work<'_>) -> ExitCode {
    match report(args, work) {
        Ok(report) => {
            let mut text = report.table.to_text();
            for (title, table) in &report.more {
                text.push_str(&format!("\n{title}\n{}", table.to_text()));
            }
            if details {
                report.details.iter().for_each(|d| text.push_str(&format!("\n{d}\n")));
            }
            answer(&text)
        }
        Err(error) => fail(FAILURE, &*error),
    }
}

#[allow(clippy::print_stderr, reason = "what was not computed must not go unnoticed")]
fn report(args: &StudyArgs, work: &Work<'_>) -> Result<Report, Failure> {
    let (start, progress) = (clock(), Progress::new());
    let at = Surroundings {
        clock: &|| start.elapsed().as_secs_f64(),
        peak_bytes: &peak_bytes,
        show: &|what, share| progress.show(what, share),
        notebook: match &args.out {
            Some(dir) => Notebook::new(Some(dir), &build()?),
            None => Notebook::new(None, ""),
        },
    };
    let report = work(&at);
    progress.finish();
    let report = report?;
    if let Some(dir) = &args.out {
        report.write(dir)?;
        let remembered = at.notebook.remembered();
        if remembered > 0 {
            eprintln!("{remembered} parts were in {} already", dir.display());
        }
    }
    Ok(report)
}

/// Tells this program from others: a fingerprint of its file.
fn build() -> Result<String, Failure> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(std::env::current_exe()?)?);
    let mut hasher = DefaultHasher::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(format!("{:016x}", hasher.finish()));
        }
        hasher.write(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}

/// Most memory resident since the last call, bytes; zero where /proc does not tell.
fn peak_bytes() -> u64 {
    let status = procfs::process::Process::myself().and_then(|p| p.status());
    let peak_kb = status.ok().and_then(|s| s.vmhwm).unwrap_or(0);
    // Resets the peak. Without the right to do so the peak is that of the whole life so far.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    peak_kb * 1024
}

#[allow(clippy::disallowed_methods, reason = "how long it takes is wall-clock time")]
fn clock() -> Instant {
    Instant::now()
}
