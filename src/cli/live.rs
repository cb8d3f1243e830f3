//! `sage lab live`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use super::args::LiveArgs;
use super::progress::Progress;
use super::run::{FAILURE, GRACE, USAGE, answer, fail};
use crate::app::Signals;
use crate::lab::live::{
    self, App, Failure, Needs, Options, Outcome, Places, Stage, Watcher, app, clean, enter,
    find_all,
};
use crate::observe::{self, LogConfig};

/// Where the kernel has cgroups.
const CGROUP: &str = "/sys/fs/cgroup";

struct Terminal {
    progress: Progress,
    /// The last line, so that a line is said once.
    last: Mutex<String>,
}

impl Watcher for Terminal {
    fn progress(&self, what: &str, share: f64) {
        self.progress.show(what, share);
    }

    #[allow(clippy::print_stdout, reason = "the answer of the command")]
    fn say(&self, line: &str) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != line {
            *last = line.into();
            self.progress.aside(|| println!("{line}"));
        }
    }
}

pub(super) fn live(args: &LiveArgs) -> ExitCode {
    let work = std::env::temp_dir();
    if args.clean {
        return match clean(Path::new(CGROUP), &work) {
            Ok(true) => answer("What another run had left behind is gone.\n"),
            Ok(false) => answer("There was nothing to clean.\n"),
            Err(error) => fail(FAILURE, &error),
        };
    }
    let Some(app) = app(&args.app) else { return ExitCode::from(USAGE) };
    match needs(&app, &work) {
        Err(missing) => {
            let lines: String = missing.iter().map(|line| format!("  {line}\n")).collect();
            fail(
                FAILURE,
                &std::io::Error::other(format!(
                    "what is missing:\n{lines}nothing was started or installed"
                )),
            )
        }
        Ok(needs) if args.check => {
            let lines: String = needs.left_out().iter().map(|l| left_out(l) + "\n").collect();
            answer(&format!("Everything that must be there is.\n{lines}"))
        }
        Ok(needs) => match show(&app, needs, &work, args) {
            Ok(outcome) => last_words(&outcome),
            Err(error) => fail(FAILURE, &*error),
        },
    }
}

fn left_out(line: &str) -> String {
    format!("Left out: the fault of {line}.")
}

fn needs(app: &App, work: &Path) -> Result<Needs, Vec<String>> {
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian keeps some of them where users do not look.
    let path = format!("{path}:/usr/sbin:/sbin");
    let sage = std::env::current_exe().map_err(|e| vec![format!("this program: {e}")])?;
    let is_root = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN);
    find_all(
        app,
        &Places {
            path: &path,
            cgroup: Path::new(CGROUP),
            sage: &sage,
            work,
            is_root: is_root.unwrap_or(false),
        },
    )
}

fn show(app: &App, needs: Needs, work: &Path, args: &LiveArgs) -> Result<Outcome, Failure> {
    observe::init_log(&LogConfig { level: "warn".into(), ..LogConfig::default() });
    let left_out: Vec<String> = needs.left_out().iter().map(|line| left_out(line)).collect();
    // Threads and processes are where the one that starts them is.
    let door = enter(&needs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // From here on a signal is a request, so that everything is swept up.
    let mut signals = {
        let _context = runtime.enter();
        Signals::catch()?
    };
    let terminal = Terminal { progress: Progress::new(), last: Mutex::default() };
    terminal.say(&format!(
        "{} of {} services, in cgroups of their own.",
        app.name,
        app.services.len()
    ));
    left_out.iter().for_each(|line| terminal.say(line));
    let options = Options {
        seed: args.seed,
        intervals: args.intervals as usize,
        compare: args.compare,
        faults: args.faults.clone(),
    };
    let shown = runtime.block_on(async {
        let mut stage = Stage::start(app, needs, door, work)?;
        let shown = tokio::select! {
            shown = live::run(&mut stage, &options, &terminal) => shown,
            _ = signals.next() => Err("interrupted; everything is swept up".into()),
        };
        let kept = args.out.as_ref().map(|dir| stage.keep_logs(&dir.join("logs"))).transpose();
        stage.close()?;
        kept?;
        shown
    });
    terminal.progress.finish();
    runtime.shutdown_timeout(GRACE);
    let outcome = shown?;
    if let Some(dir) = &args.out {
        live::write(&outcome, &app.name, dir)?;
    }
    Ok(outcome)
}

fn last_words(outcome: &Outcome) -> ExitCode {
    let (words, is_well) = live::verdict(outcome);
    let said = answer(&format!("\n{}\n{words}\n", live::table(outcome).to_text()));
    if is_well { said } else { ExitCode::from(FAILURE) }
}

pub(super) fn live_service() -> ExitCode {
    match live::run_service() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &*error),
    }
}

pub(super) fn live_sweep(home: &Path) -> ExitCode {
    match live::watch(Path::new(CGROUP), home) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &error),
    }
}
