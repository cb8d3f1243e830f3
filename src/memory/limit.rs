//! What the process may take: configured, or as the kernel enforces it.

use std::path::{Path, PathBuf};

use super::config::Config;

/// Where cgroups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Version 1 says "no limit" with a number near 2^63.
const UNLIMITED: u64 = 1 << 60;

/// A number of bytes and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What the process may take.
    pub bytes: u64,
    /// `configuration`, `cgroup` or `host`.
    pub source: &'static str,
}

/// The budget: configured, else the limit of the cgroup, else half of the host's memory. Without /proc, and
/// nothing configured, there is none.
pub fn find(config: &Config) -> Option<Budget> {
    if config.budget_bytes > 0 {
        return Some(Budget { bytes: config.budget_bytes, source: "configuration" });
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some(bytes) = cgroup_limit(&groups, Path::new(ROOT)) {
        return Some(Budget { bytes, source: "cgroup" });
    }
    use procfs::Current as _;
    let host = procfs::Meminfo::current().ok()?;
    Some(Budget { bytes: host.mem_total / 2, source: "host" })
}

/// The lowest limit on the way from the groups named in `groups` (the text of `/proc/self/cgroup`) up to
/// `root`, in either version. In a container the path is often the host's and cannot be seen: then what is
/// mounted at `root` is our own group.
pub fn cgroup_limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (base, file) = if controllers.is_empty() {
            (root.to_path_buf(), "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        lowest(&base, path, file)
    });
    limits.min()
}

fn lowest(base: &Path, path: &str, file: &str) -> Option<u64> {
    let below = Path::new(path.trim_start_matches('/'));
    let groups = below.ancestors().map(|group| base.join(group));
    groups.filter_map(|group| limit(&group.join(file))).min()
}

fn limit(file: &PathBuf) -> Option<u64> {
    let bytes: u64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < UNLIMITED).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_counts_in_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let unified = "0::/pods/sage\n";
        assert_eq!(cgroup_limit(unified, root), None);
        put(root, "pods/sage/memory.max", "max\n");
        assert_eq!(cgroup_limit(unified, root), None);
        put(root, "pods/memory.max", "1000000\n");
        assert_eq!(cgroup_limit(unified, root), Some(1_000_000));
        put(root, "pods/sage/memory.max", "500000\n");
        assert_eq!(cgroup_limit(unified, root), Some(500_000));
        let split = "5:cpu,cpuacct:/a\n4:memory:/docker/1f\n";
        put(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(cgroup_limit(split, root), None);
        // The path of the host, seen from inside a container.
        put(root, "memory/memory.limit_in_bytes", "700000\n");
        assert_eq!(cgroup_limit(split, root), Some(700_000));
        assert_eq!(cgroup_limit("nonsense\n5:cpu:/\n", root), None);
    }
}
