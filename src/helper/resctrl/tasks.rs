//! Threads of a cgroup, those of the cgroups below it included: a pod has its processes in its containers.

use std::collections::BTreeSet;
use std::io;

use rustix::io::Errno;

use super::super::root::Dir;

/// Threads that one fix may hold. Each is a write.
const THREADS_MAX: usize = 32_768;
/// Cgroups below the target that are looked at.
const CGROUPS_MAX: usize = 4096;
/// More than a list of so many threads has.
const LIST_BYTES_MAX: u64 = 512 * 1024;

/// The threads of `cgroup`, by number.
///
/// # Errors
/// When they cannot be read, or are too many.
pub(super) fn threads(cgroup: &Dir) -> io::Result<BTreeSet<u32>> {
    let too_many = |what: &str, most: usize| {
        io::Error::other(format!("{:?} has more than {most} {what}", cgroup.shown()))
    };
    let (mut found, mut waiting, mut looked_at) = (BTreeSet::new(), vec![cgroup.again()?], 0);
    while let Some(dir) = waiting.pop() {
        looked_at += 1;
        if looked_at > CGROUPS_MAX {
            return Err(too_many("cgroups below it", CGROUPS_MAX));
        }
        // Version 2 and version 1.
        let file = if dir.has("cgroup.threads") { "cgroup.threads" } else { "tasks" };
        match dir.read_whole(file, LIST_BYTES_MAX) {
            Ok(text) => found.extend(numbers(&text)),
            // Cgroups go while we look.
            Err(e) if is_gone(&e) => continue,
            Err(e) => return Err(e),
        }
        if found.len() > THREADS_MAX {
            return Err(too_many("threads", THREADS_MAX));
        }
        match dir.directories(CGROUPS_MAX) {
            Ok(names) => waiting.extend(names.iter().filter_map(|name| dir.child(name).ok())),
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// What a cgroup that was removed says: it is not there, or its file belongs to nothing any more.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}

/// The numbers of a list, one a line. 0 is a thread that this namespace does not know, and for the kernel
/// "whoever writes": never that one.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.lines().filter_map(|line| line.trim().parse().ok()).filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::root::{RelPath, Root};
    use super::*;

    #[test]
    fn threads_of_all_cgroups_below_are_found_in_both_versions() {
        for file in ["tasks", "cgroup.threads"] {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir_all(home.path().join("a/b")).unwrap();
            fs::write(home.path().join(file), "").unwrap();
            fs::write(home.path().join("a").join(file), "7\n8\n0\n").unwrap();
            fs::write(home.path().join("a/b").join(file), "9\n7\n").unwrap();
            std::os::unix::fs::symlink("/", home.path().join("a/link")).unwrap();
            let dir = Root::open(home.path()).unwrap().dir(&RelPath::root()).unwrap();
            assert_eq!(threads(&dir).unwrap(), [7, 8, 9].into());
            fs::write(
                home.path().join(file),
                (1..=40_000).map(|n| format!("{n}\n")).collect::<String>(),
            )
            .unwrap();
            assert!(threads(&dir).unwrap_err().to_string().contains("more than 32768 threads"));
        }
    }
}
