//! The few things that are done with the files of resctrl. Plain files cannot play them: a new directory fills
//! itself, and a task that is written into one file goes from another. So tests put something else here.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::super::root::{Dir, RelPath, Root};

/// A group may list every thread of a node: 4 MiB are half a million.
const TASKS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A tree of resource groups.
pub(crate) trait Tree: fmt::Debug + Send + Sync {
    /// Names of the directories at `at`.
    fn directories(&self, at: &RelPath) -> io::Result<Vec<String>>;

    /// All of a file.
    fn read(&self, at: &RelPath, file: &str) -> io::Result<String>;

    /// Writes `text` and a line end, in one call.
    fn write(&self, at: &RelPath, file: &str, text: &str) -> io::Result<()>;

    /// Makes a group; the kernel takes a class of service for it.
    fn make(&self, name: &str) -> io::Result<()>;

    /// Removes a group; the kernel gives its tasks to the root group.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Where resctrl is mounted, or not. Opened anew each time: an opened directory would keep the operator from
/// unmounting it, and it may be mounted later than we start.
#[derive(Debug)]
pub(crate) struct Mounted(PathBuf);

/// More groups than any processor has classes of service, and monitoring groups beside them.
const DIRECTORIES_MAX: usize = 4096;

impl Mounted {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn dir(&self, at: &RelPath) -> io::Result<Dir> {
        Root::open(&self.0)?.dir(at)
    }
}

impl Tree for Mounted {
    fn directories(&self, at: &RelPath) -> io::Result<Vec<String>> {
        self.dir(at)?.directories(DIRECTORIES_MAX)
    }

    fn read(&self, at: &RelPath, file: &str) -> io::Result<String> {
        self.dir(at)?.read_whole(file, TASKS_BYTES_MAX)
    }

    fn write(&self, at: &RelPath, file: &str, text: &str) -> io::Result<()> {
        self.dir(at)?.write(file, text)
    }

    fn make(&self, name: &str) -> io::Result<()> {
        self.dir(&RelPath::root())?.make(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.dir(&RelPath::root())?.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_are_reached_and_links_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("schemata"), "MB:0=100\n").unwrap();
        let tree = Mounted::new(home.path().into());
        let (root, group) = (RelPath::root(), RelPath::root().child("g"));
        tree.make("g").unwrap();
        assert_eq!(tree.make("g").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(tree.directories(&root).unwrap(), ["g"]);
        assert_eq!(tree.read(&root, "schemata").unwrap(), "MB:0=100\n");
        std::fs::write(home.path().join("g/tasks"), "").unwrap();
        tree.write(&group, "tasks", "17").unwrap();
        assert_eq!(tree.read(&group, "tasks").unwrap(), "17\n");
        std::fs::remove_file(home.path().join("g/tasks")).unwrap();
        tree.remove("g").unwrap();
        assert_eq!(tree.remove("g").unwrap_err().kind(), io::ErrorKind::NotFound);
        std::os::unix::fs::symlink("/etc", home.path().join("link")).unwrap();
        assert!(tree.read(&root.child("link"), "passwd").is_err());
        assert!(tree.directories(&root).unwrap().is_empty());
    }

    #[test]
    fn a_list_that_is_too_long_is_a_fault_and_not_cut_short() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("tasks"), "1234567\n").unwrap();
        let dir = Root::open(home.path()).unwrap().dir(&RelPath::root()).unwrap();
        assert_eq!(dir.read_whole("tasks", 8).unwrap(), "1234567\n");
        assert!(dir.read_whole("tasks", 7).is_err());
    }
}
