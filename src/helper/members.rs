//! Who is in a cgroup, those in the cgroups below it included: a pod has its processes in its containers.

use std::collections::BTreeSet;
use std::io;

use rustix::io::Errno;

use super::root::Dir;

/// Threads or processes of one target. For a resource group, each is a write.
const MEMBERS_MAX: usize = 32_768;
/// Cgroups below the target that are looked at.
const CGROUPS_MAX: usize = 4096;
/// More than a list of so many members has.
const LIST_BYTES_MAX: u64 = 512 * 1024;

/// The threads of `cgroup`, by number.
///
/// # Errors
/// When they cannot be read, or are too many.
pub(crate) fn threads(cgroup: &Dir) -> io::Result<BTreeSet<u32>> {
    // Version 2 and version 1.
    members(cgroup, |dir| if dir.has("cgroup.threads") { "cgroup.threads" } else { "tasks" })
}

/// The processes of `cgroup`, by number.
///
/// # Errors
/// When they cannot be read, or are too many.
pub(crate) fn processes(cgroup: &Dir) -> io::Result<BTreeSet<u32>> {
    members(cgroup, |_| "cgroup.procs")
}

fn members(cgroup: &Dir, list: fn(&Dir) -> &'static str) -> io::Result<BTreeSet<u32>> {
    let too_many = |most: usize, what: &str| {
        io::Error::other(format!("{:?} has more than {most} {what}", cgroup.shown()))
    };
    let (mut found, mut waiting, mut looked_at) = (BTreeSet::new(), vec![cgroup.again()?], 0);
    while let Some(dir) = waiting.pop() {
        looked_at += 1;
        if looked_at > CGROUPS_MAX {
            return Err(too_many(CGROUPS_MAX, "cgroups below it"));
        }
        match dir.read_whole(list(&dir), LIST_BYTES_MAX) {
            Ok(text) => found.extend(numbers(&text)),
            // Cgroups go while we look.
            Err(e) if is_gone(&e) => continue,
            Err(e) => return Err(e),
        }
        if found.len() > MEMBERS_MAX {
            return Err(too_many(MEMBERS_MAX, "members"));
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

    use super::super::root::{RelPath, Root};
    use super::*;

    #[test]
    fn members_of_all_cgroups_below_are_found_in_both_versions() {
        for file in ["tasks", "cgroup.threads", "cgroup.procs"] {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir_all(home.path().join("a/b")).unwrap();
            fs::write(home.path().join(file), "").unwrap();
            fs::write(home.path().join("a").join(file), "7\n8\n0\n").unwrap();
            fs::write(home.path().join("a/b").join(file), "9\n7\n").unwrap();
            std::os::unix::fs::symlink("/", home.path().join("a/link")).unwrap();
            let dir = Root::open(home.path()).unwrap().dir(&RelPath::root()).unwrap();
            let members = if file == "cgroup.procs" { processes } else { threads };
            assert_eq!(members(&dir).unwrap(), [7, 8, 9].into());
            let many: String = (1..=40_000).map(|n| format!("{n}\n")).collect();
            fs::write(home.path().join(file), many).unwrap();
            assert!(members(&dir).unwrap_err().to_string().contains("more than 32768 members"));
        }
    }
}
