//! A sidecar in a process of its own, from the same program, on ports of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

use crate::config::Config;
use crate::lab::study::Failure;

/// Directory of a sidecar; removed when dropped.
pub type Purse = tempfile::TempDir;

/// A sidecar that serves; killed when dropped, and by the kernel when the thread that started it ends.
#[derive(Debug)]
pub struct Own {
    child: Child,
    /// Where it takes remote write and answers questions.
    pub http: SocketAddr,
    /// Where it takes OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
}

impl Own {
    /// Runs `program serve` with `config`, its file and its data in `dir`, and waits until it is ready. What it
    /// logs after that goes to `dir`, too.
    ///
    /// # Errors
    /// It does not start; what it said about it.
    pub fn start(program: &Path, config: &Config, dir: &Path) -> Result<Self, Failure> {
        let mut config = config.clone();
        for address in
            [&mut config.listen.http, &mut config.listen.otlp_grpc, &mut config.listen.otlp_http]
        {
            address.set_port(0);
        }
        config.data.dir = dir.join("data");
        config.log = serde_json::from_str(r#"{"level": "info", "format": "json"}"#)?;
        let file = dir.join("sage.toml");
        std::fs::write(&file, toml::to_string(&config)?)?;
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&file)
            // Nobody else would end it when we are killed.
            .args(["--parent", &std::process::id().to_string()])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().ok_or("the sidecar has no standard error")?;
        match ready(BufReader::new(log), &dir.join("sage.log")) {
            Ok((http, otlp_grpc)) => Ok(Self { child, http, otlp_grpc }),
            Err(failure) => {
                drop(child.kill());
                drop(child.wait());
                Err(failure)
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads the log up to the line that says where it listens, and lets a thread keep the rest.
fn ready(
    mut log: BufReader<ChildStderr>,
    file: &Path,
) -> Result<(SocketAddr, SocketAddr), Failure> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            return Err(format!("the sidecar does not start: {said}").into());
        }
        said.push_str(&line);
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        let fields = &event["fields"];
        if fields["message"] != "sage is ready" {
            continue;
        }
        let address = |name: &str| fields[name].as_str().unwrap_or("").parse();
        let found = (address("http")?, address("otlp_grpc")?);
        let mut rest = std::fs::File::create(file)?;
        // Ends with the sidecar: then there is nothing more to read.
        std::thread::spawn(move || std::io::copy(&mut log.by_ref(), &mut rest));
        return Ok(found);
    }
}
