//! The real binary in a process of its own, to be signalled and killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// A running `sage serve`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) otlp_grpc: SocketAddr,
    log: Option<JoinHandle<String>>,
}

/// The `sage` command.
pub(crate) fn sage() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sage"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

impl Process {
    /// A configuration with free ports and data below `home`; `extra` is more TOML.
    pub(crate) fn configure(home: &Path, extra: &str) -> PathBuf {
        let file = home.join("sage.toml");
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\notlp_grpc = \"127.0.0.1:0\"\n\
             otlp_http = \"127.0.0.1:0\"\n[data]\ndir = {:?}\n{extra}\n",
            home.join("data")
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Runs until it says that it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = sage()
            .args(["serve", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut so_far = String::new();
        let ready = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended early:\n{so_far}");
            so_far.push_str(&line);
            if line.contains("sage is ready") {
                break line;
            }
        };
        let address = |name: &str| {
            let (_, rest) = ready.split_once(&format!(" {name}=")).unwrap();
            rest.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (http, otlp_grpc) = (address("http"), address("otlp_grpc"));
        let reader = std::thread::spawn(move || {
            drop(log.read_to_string(&mut so_far));
            so_far
        });
        Self { child, http, otlp_grpc, log: Some(reader) }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end: exit code and everything it logged.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
