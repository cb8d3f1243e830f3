//! Memory: hard limit, and where reclaim begins.

use super::super::amount::{Amount, MAX};
use super::super::knob::{Fault, Interface, Spot};
use super::file::{number, read, read_all, write};
use crate::data::Value;

/// One file with a size in bytes.
pub(in super::super) struct Memory {
    file: &'static str,
    /// What "no limit" is, as we write it.
    unlimited: &'static str,
    /// Where the use stands that a hard limit must not undercut; `None` where reclaim copes.
    usage: Option<&'static str>,
    /// Whether the kernel kills rather than refuse a limit below use: only version 2 does.
    kills: bool,
}

pub(in super::super) static MEMORY_LIMIT_V1: Memory = Memory {
    file: "memory.limit_in_bytes",
    unlimited: "-1",
    usage: Some("memory.usage_in_bytes"),
    kills: false,
};
pub(in super::super) static MEMORY_SOFT_V1: Memory =
    Memory { file: "memory.soft_limit_in_bytes", unlimited: "-1", usage: None, kills: false };
pub(in super::super) static MEMORY_MAX: Memory =
    Memory { file: "memory.max", unlimited: MAX, usage: Some("memory.current"), kills: true };
pub(in super::super) static MEMORY_HIGH: Memory =
    Memory { file: "memory.high", unlimited: MAX, usage: None, kills: false };

/// Version 1 says "no limit" with the greatest number of pages it can count.
const UNLIMITED_BYTES: f64 = (1_u64 << 62) as f64;

impl Interface for Memory {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let text = read(spot, self.file)?;
        let is_unlimited = number(&text).is_ok_and(|bytes| bytes >= UNLIMITED_BYTES);
        Ok(if is_unlimited { self.unlimited.into() } else { text })
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, self.file, text)
    }

    /// Whole pages: the kernel would round anyway.
    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        match Amount::limit(value)? {
            Amount::Of(bytes) if bytes < UNLIMITED_BYTES => {
                let page = rustix::param::page_size() as f64;
                Ok(format!("{:.0}", (bytes / page).floor().max(1.0) * page))
            }
            Amount::Of(bytes) => Err(format!("{bytes} bytes are more than a kernel can count")),
            _ => Ok(self.unlimited.into()),
        }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        if text == self.unlimited { Ok(Amount::Unlimited) } else { Ok(Amount::Of(number(text)?)) }
    }

    /// A hard limit below use calls the OOM killer (v2) or fails (v1).
    fn danger(&self, spot: &Spot, text: &str) -> Option<String> {
        let used = number(&read(spot, self.usage?).ok()?).ok()?;
        let wanted = number(text).ok()?;
        (wanted < used).then(|| format!("{wanted} bytes are less than the {used} in use"))
    }

    /// What grew under a raised limit would be killed by the old one. Files in the page cache do not count:
    /// the kernel drops those first, and there are always some.
    fn obstacle(&self, spot: &Spot, text: &str) -> Result<Option<String>, Fault> {
        let (true, Some(usage)) = (self.kills, self.usage) else { return Ok(None) };
        let limit = |text: &str| number(text).unwrap_or(f64::INFINITY);
        let old = limit(text);
        if old >= limit(&self.read(spot)?) {
            return Ok(None);
        }
        let used = number(&read(spot, usage)?).map_err(Fault::Strange)?;
        let kept = used - reclaimable(&read_all(spot, "memory.stat")?);
        Ok((kept > old).then(|| {
            format!("{kept:.0} bytes are in use that the kernel cannot drop, so {old} would kill")
        }))
    }
}

/// Bytes of files that the kernel drops when it needs room. Those of tmpfs and shared memory are not among
/// them: they could only go to swap.
fn reclaimable(stat: &str) -> f64 {
    let fields = stat.lines().filter_map(|line| line.split_once(' '));
    let files = fields.filter(|(key, _)| matches!(*key, "inactive_file" | "active_file"));
    files.filter_map(|(_, bytes)| number(bytes).ok()).sum()
}
