//! Progress on a terminal; silence where there is none.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that says what is under way.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    what: Mutex<String>,
}

impl Progress {
    /// A bar on standard error. Without a terminal, each new activity is one line.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(1000);
        let style = ProgressStyle::with_template("{msg:<28} {bar:40} {percent:>3} %  {elapsed}");
        // The template is fixed, so it always parses.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, what: Mutex::new(String::new()) }
    }

    /// `share` of `what` is done.
    #[allow(clippy::print_stderr, reason = "progress for people without a terminal")]
    pub(super) fn show(&self, what: &str, share: f64) {
        let mut last = self.what.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != what {
            *last = what.to_string();
            self.bar.set_message(what.to_string());
            if !std::io::stderr().is_terminal() {
                eprintln!("{what} ...");
            }
        }
        self.bar.set_position((share * 1000.0) as u64);
    }

    /// Says something while the bar is out of the way.
    pub(super) fn aside(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
