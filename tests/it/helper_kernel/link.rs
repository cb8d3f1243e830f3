//! Interfaces and network namespaces of the tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::cgroup::{Cgroup, Process, is_root};
use crate::support::helper::until;
use crate::support::missing_peer;

/// A pair of interfaces; removed when dropped.
pub(super) struct Veth(pub(super) String);

impl Veth {
    pub(super) fn make() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("sgt{}", std::process::id());
        let peer = format!("{name}p");
        let made = Command::new("ip")
            .args(["link", "add", &name, "type", "veth", "peer", "name", &peer])
            .output();
        match made {
            Ok(output) if output.status.success() => Some(Self(name)),
            other => {
                missing_peer(&format!("iproute2 and veth: {other:?}"));
                None
            }
        }
    }

    pub(super) fn tc(&self, words: &[&str]) -> String {
        let [what, verb, rest @ ..] = words else { panic!("{words:?}") };
        let output =
            Command::new("tc").args([what, verb, "dev", &self.0]).args(rest).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["link", "del", &self.0]).output());
    }
}

/// A network namespace; goes when dropped, and its interfaces with it.
pub(super) struct Netns(String);

impl Netns {
    pub(super) fn make(purpose: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("sgt{}{purpose}", std::process::id());
        match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(output) if output.status.success() => Some(Self(name)),
            other => {
                missing_peer(&format!("iproute2 and network namespaces: {other:?}"));
                None
            }
        }
    }

    /// An interface of the node that leads here, where it is called `inside`.
    pub(super) fn link(&self, inside: &str) -> Veth {
        let name = format!("{}{inside}", self.0);
        let output = Command::new("ip")
            .args(["link", "add", &name, "type", "veth", "peer", "name", inside, "netns", &self.0])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Veth(name)
    }

    /// A process of `group` in here.
    pub(super) fn spawn(&self, group: &Cgroup) -> Process {
        let process = group.spawn(&["ip", "netns", "exec", &self.0, "sleep", "1000"]);
        let ours = netns_of("self");
        until("it is in its namespace", || netns_of(&process.0.id().to_string()) != ours);
        process
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.0]).output());
    }
}

fn netns_of(process: &str) -> PathBuf {
    fs::read_link(format!("/proc/{process}/ns/net")).unwrap()
}
