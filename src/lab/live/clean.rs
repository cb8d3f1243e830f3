//! Sweeps up what a run has left behind.

use std::io::{self, Read as _};
use std::path::Path;

use super::groups::Groups;

/// What the directory of a run is called.
pub(super) const PREFIX: &str = "sage-live-";

/// Kills everyone in the cgroups of a run, removes these, and the directories of runs in `work`. Whether there
/// was anything.
///
/// # Errors
/// What cannot be removed.
pub fn clean(cgroup: &Path, work: &Path) -> io::Result<bool> {
    let groups = Groups::find(cgroup, "0:0").map_err(io::Error::other)?;
    let mut was_there = groups.exist();
    groups.sweep()?;
    for entry in std::fs::read_dir(work)?.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
            was_there = true;
        }
    }
    Ok(was_there)
}

/// Waits until whoever holds the other end of standard input is gone, and sweeps what is still there of that run.
///
/// # Errors
/// What cannot be removed; and a directory that is not a run's, which is left alone.
pub fn watch(cgroup: &Path, home: &Path) -> io::Result<()> {
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with(PREFIX) || home.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
        let text =
            format!("{}: not the directory of a run, {PREFIX}…; not touched", home.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut nothing = Vec::new();
    io::stdin().lock().read_to_end(&mut nothing)?;
    if home.exists() {
        Groups::find(cgroup, "0:0").map_err(io::Error::other)?.sweep()?;
        std::fs::remove_dir_all(home)?;
    }
    Ok(())
}
