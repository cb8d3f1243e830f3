//! What an interface may send: one token bucket (tbf) at its root, under a handle of our own.
//!
//! Through `tc`, whose netlink messages need `CAP_NET_ADMIN` only. Somebody else's queueing discipline is
//! never replaced: `add` fails if there is any but the kernel's default, `change` and `del` name our
//! handle.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::super::amount::{Amount, MAX};
use super::super::clock;
use super::super::crash;
use super::super::knob::{Fault, Interface, Spot};
use super::file::number;
use crate::data::Value;

/// Our handle; an operator recognises it in `tc qdisc show`.
const HANDLE: &str = "5a9e:";
/// How the kernel's default shows up.
const DEFAULT_HANDLE: &str = "0:";
/// Longest wait in the bucket; what would wait longer is dropped, and TCP slows down.
const LATENCY: &str = "50ms";
/// `tc` answers in milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than `tc` says about one interface.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// `tc qdisc … tbf`, in bits per second.
pub(in super::super) struct Tbf;

#[derive(Deserialize)]
struct Qdisc {
    kind: String,
    handle: String,
    #[serde(default)]
    root: bool,
    #[serde(default)]
    options: Options,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    /// Bytes per second.
    rate: Option<u64>,
}

/// What `tc -j qdisc show` says: "max", or our rate in bits per second.
fn rate_of(json: &str) -> Result<String, Fault> {
    let qdiscs: Vec<Qdisc> =
        serde_json::from_str(json).map_err(|e| Fault::Strange(format!("tc says {json:?}: {e}")))?;
    let Some(root) = qdiscs.into_iter().find(|q| q.root) else { return Ok(MAX.into()) };
    match (root.handle.as_str(), root.kind.as_str(), root.options.rate) {
        (DEFAULT_HANDLE, _, _) => Ok(MAX.into()),
        (HANDLE, "tbf", Some(rate)) => Ok((rate * 8).to_string()),
        (handle, kind, _) => {
            Err(Fault::Foreign(format!("{kind} with handle {handle} is at the root already")))
        }
    }
}

impl Interface for Tbf {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        rate_of(&tc(spot, &["-j", "qdisc", "show", "dev", spot.device()])?)
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        let at = ["dev", spot.device(), "root", "handle", HANDLE];
        let is_there = self.read(spot)? != MAX;
        let mut words = vec!["qdisc"];
        let (rate, burst);
        match (text, is_there) {
            (MAX, false) => return Ok(()),
            (MAX, true) => {
                words.push("del");
                words.extend(at);
            }
            (bits, _) => {
                words.push(if is_there { "change" } else { "add" });
                words.extend(at);
                let bytes = number(bits).map_err(Fault::Strange)? / 8.0;
                rate = format!("{bits}bit");
                // Ten milliseconds' worth, and room for one offloaded packet of 64 KiB.
                burst = format!("{:.0}b", (bytes / 100.0).max(65_536.0));
                words.extend(["tbf", "rate", &rate, "burst", &burst, "latency", LATENCY]);
            }
        }
        crash::point();
        tc(spot, &words)?;
        crash::point();
        Ok(())
    }

    /// Whole bytes: that is what the kernel counts.
    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        match Amount::limit(value)? {
            Amount::Of(bits) if (8000.0..=1e12).contains(&bits) => {
                Ok(format!("{:.0}", (bits / 8.0).floor() * 8.0))
            }
            Amount::Of(bits) => Err(format!("{bits} bit/s is not within 8000 and 10^12")),
            _ => Ok(MAX.into()),
        }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        if text == MAX { Ok(Amount::Unlimited) } else { Ok(Amount::Of(number(text)?)) }
    }
}

/// Runs `tc`, with nothing of our environment, for a limited time. Returns what it prints.
fn tc(spot: &Spot, words: &[&str]) -> Result<String, Fault> {
    let failed = |what: &str| Fault::Io(io::Error::other(format!("{:?}: {what}", spot.tc)));
    let mut child = Command::new(&spot.tc)
        .args(words)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e.to_string()))?;
    let end = clock::since_boot() + TIMEOUT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if clock::since_boot() > end => {
                drop(child.kill());
                drop(child.wait());
                return Err(failed("does not end"));
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let mut said = String::new();
    if status.success() {
        let out = child.stdout.take().ok_or_else(|| failed("has no output"))?;
        out.take(OUTPUT_BYTES_MAX).read_to_string(&mut said)?;
        Ok(said)
    } else {
        let out = child.stderr.take().ok_or_else(|| failed("has no output"))?;
        out.take(OUTPUT_BYTES_MAX).read_to_string(&mut said)?;
        Err(failed(said.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_handle_and_the_kernels_default_are_taken() {
        let default = r#"[{"kind":"mq","handle":"0:","root":true,"options":{}},
            {"kind":"fq_codel","handle":"0:","parent":":1","options":{"limit":10240}}]"#;
        assert_eq!(rate_of(default).unwrap(), MAX);
        let ours = r#"[{"kind":"tbf","handle":"5a9e:","root":true,"refcnt":3,
            "options":{"rate":2500000,"burst":65535,"lat":50000}}]"#;
        assert_eq!(rate_of(ours).unwrap(), "20000000");
        for foreign in [
            r#"[{"kind":"htb","handle":"1:","root":true,"options":{}}]"#,
            r#"[{"kind":"tbf","handle":"8001:","root":true,"options":{"rate":1}}]"#,
            r#"[{"kind":"htb","handle":"5a9e:","root":true,"options":{}}]"#,
        ] {
            assert!(matches!(rate_of(foreign), Err(Fault::Foreign(_))), "{foreign}");
        }
        assert!(matches!(rate_of("Cannot find device"), Err(Fault::Strange(_))));
    }
}
