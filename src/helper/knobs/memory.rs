//! Memory: hard limit, and where reclaim begins.

use super::super::amount::{Amount, MAX};
use super::super::knob::{Fault, Interface, Spot};
use super::file::{number, read, write};
use crate::data::Value;

/// One file with a size in bytes.
pub(in super::super) struct Memory {
    file: &'static str,
    /// What "no limit" is, as we write it.
    unlimited: &'static str,
    /// Where the use stands that a hard limit must not undercut; `None` where reclaim copes.
    usage: Option<&'static str>,
}

pub(in super::super) static MEMORY_LIMIT_V1: Memory =
    Memory { file: "memory.limit_in_bytes", unlimited: "-1", usage: Some("memory.usage_in_bytes") };
pub(in super::super) static MEMORY_SOFT_V1: Memory =
    Memory { file: "memory.soft_limit_in_bytes", unlimited: "-1", usage: None };
pub(in super::super) static MEMORY_MAX: Memory =
    Memory { file: "memory.max", unlimited: MAX, usage: Some("memory.current") };
pub(in super::super) static MEMORY_HIGH: Memory =
    Memory { file: "memory.high", unlimited: MAX, usage: None };

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
}
