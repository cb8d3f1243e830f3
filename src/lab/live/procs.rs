//! Processes that end with us: children in process groups of their own, so that Ctrl-C reaches us alone and
//! we end them in order.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::groups::Groups;

/// Pause between looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A child; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program in a group. What it says goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started, or not be put there.
    pub(super) fn start(
        command: &Command,
        log: &Path,
        (groups, group): (&Groups, &str),
    ) -> io::Result<Self> {
        let mut command = within(command, &groups.entries(group));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        Self::spawn(&mut command, groups, group)
    }

    fn spawn(command: &mut Command, groups: &Groups, group: &str) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{name}: {e}"));
        let child = command.process_group(0).spawn().map_err(named)?;
        let process = Self { name: name.clone(), child };
        groups.add(group, process.child.id()).map_err(named)?;
        Ok(process)
    }

    /// Starts a program that reads `orders` once it is in its group and `prepare` has seen its number, and says a
    /// line when it is ready.
    ///
    /// # Errors
    /// The same; those of `prepare`; and when it ends without a word.
    pub(super) fn start_told(
        command: &mut Command,
        (orders, prepare): (&[u8], impl FnOnce(u32) -> io::Result<()>),
        log: &Path,
        place: (&Groups, &str),
    ) -> io::Result<(Self, String)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut process = Self::spawn(command, place.0, place.1)?;
        prepare(process.id())?;
        if let Some(mut stdin) = process.child.stdin.take() {
            stdin.write_all(orders)?;
        }
        let mut line = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim().is_empty() {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            return Err(io::Error::other(format!("{} did not start: {said}", place.1)));
        }
        Ok((process, line.trim().to_string()))
    }

    /// Starts a program outside of all groups that lives as long as it likes; the pipe is for telling it by
    /// closing it that we are gone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn watchman(command: &mut Command) -> io::Result<ChildStdin> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn()?;
        child.stdin.take().ok_or_else(|| io::Error::other("no pipe"))
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and kills it when it has not after so long.
    pub(super) fn stop(&mut self, patience: Duration) {
        // Nobody is there any more to be told.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        for _ in 0..patience.as_millis() / LOOK.as_millis() {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        tracing::warn!(name = self.name, "did not end when asked, so it is killed");
    }
}

/// The same program, which enters its group before it begins: what it starts is there, too, however soon.
fn within(command: &Command, entries: &[PathBuf]) -> Command {
    let enter =
        r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@""#;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", enter, "sh"]).args(entries).arg("--");
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
