//! Cgroups of the tests, and who is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::helper::first_line;
use crate::support::missing_peer;

/// Cgroups of version 1 under one name in several hierarchies; removed when dropped.
pub(super) struct Cgroup {
    pub(super) name: String,
    pub(super) dirs: Vec<PathBuf>,
}

pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// Whether this is root. Everybody else may go without these tests, whatever is required.
pub(super) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can make cgroups and interfaces");
    }
    is_root
}

impl Cgroup {
    pub(super) fn make(purpose: &str, controllers: &[&str]) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("sage-test-{purpose}-{}", std::process::id());
        let mut made = Self { name, dirs: Vec::new() };
        for controller in controllers {
            let dir = Path::new(ROOT).join(controller).join(&made.name);
            // Only a hierarchy of version 1 fills a new directory with its files.
            if let Err(error) = fs::create_dir(&dir) {
                missing_peer(&format!("a writable cgroup hierarchy {controller}: {error}"));
                return None;
            }
            made.dirs.push(dir);
        }
        Some(made)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        let path = self.dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists());
        path.unwrap_or_else(|| panic!("no {name} in {:?}", self.dirs))
    }

    pub(super) fn read(&self, name: &str) -> String {
        first_line(&self.file(name))
    }

    pub(super) fn target(&self) -> Value {
        json!({"cgroup": format!("/{}", self.name)})
    }

    /// A process of its own in here.
    pub(super) fn spawn(&self, words: &[&str]) -> Process {
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for dir in &self.dirs {
            fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        Process(child)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // Killed processes are gone in a moment.
            for _ in 0..500 {
                if fs::remove_dir(dir).is_ok() || !dir.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A process of a test; killed when dropped.
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
