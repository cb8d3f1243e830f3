//! Last-level cache and memory bandwidth (CAT and MBA), by resource groups of the kernel.
//!
//! A target has a group of its own, which both knobs share, as long as one of them is turned. What it has is
//! set for all domains alike. Undone is a fix by the group's end, or, while the other knob needs it, by what the
//! root group has.

use super::super::amount::Amount;
use super::super::knob::{Fault, Interface, Spot};
use super::super::resctrl::{Domains, Partition, contiguous_run, is_contiguous};
use crate::data::Value;

/// What a target without a share of its own has: that of the root group, whatever it is.
const ROOT: &str = "root";
/// All of the memory bandwidth.
const PERCENT_MAX: u64 = 100;

/// One resource of `schemata`.
pub(in super::super) struct Share {
    resource: &'static str,
    base: u32,
    /// Why the kernel's numbers are none that requests have, if so.
    unfit: fn(&Partition, &Domains) -> Result<Option<String>, Fault>,
    encode: fn(&Partition, &Domains, &Value) -> Result<u64, String>,
    amount: fn(&Domains) -> f64,
}

/// Ways of the last-level cache: how many, or which ones as a mask.
pub(in super::super) static LLC_WAYS: Share = Share {
    resource: "L3",
    base: 16,
    unfit: |_, _| Ok(None),
    encode: mask,
    amount: |domains| f64::from(domains.common_bits().count_ones()),
};

/// Percent of the memory bandwidth.
pub(in super::super) static MEMORY_BANDWIDTH: Share = Share {
    resource: "MB",
    base: 10,
    unfit: not_percent,
    encode: percent,
    amount: |domains| domains.least() as f64,
};

impl Interface for Share {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let partition = &spot.partition;
        let root = self.root(partition)?;
        partition.check_unclaimed(&spot.dir)?;
        Ok(match partition.line(self.resource, self.base)? {
            Some(own) if own != root => own.print(self.base),
            _ => ROOT.into(),
        })
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        let partition = &spot.partition;
        if text == ROOT {
            return partition.set(self.resource, &self.root(partition)?.print(self.base));
        }
        partition.make()?;
        partition.set(self.resource, text)?;
        partition.gather(&spot.dir)
    }

    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String> {
        let root = self.root(&spot.partition).map_err(|e| e.to_string())?;
        let domains = root.all((self.encode)(&spot.partition, &root, value)?);
        Ok(if domains == root { ROOT.into() } else { domains.print(self.base) })
    }

    fn amount(&self, spot: &Spot, text: &str) -> Result<Amount, String> {
        let domains = match text {
            ROOT => self.root(&spot.partition).map_err(|e| e.to_string())?,
            text => Domains::parse(text, self.base)?,
        };
        Ok(Amount::Of((self.amount)(&domains)))
    }

    fn refresh(&self, spot: &Spot) -> Result<(), Fault> {
        if self.read(spot)? == ROOT { Ok(()) } else { spot.partition.gather(&spot.dir) }
    }
}

impl Share {
    fn root(&self, partition: &Partition) -> Result<Domains, Fault> {
        let root = partition.groups.root_line(self.resource, self.base)?;
        match (self.unfit)(partition, &root)? {
            Some(why) => Err(Fault::Absent(why)),
            None => Ok(root),
        }
    }
}

fn mask(partition: &Partition, root: &Domains, value: &Value) -> Result<u64, String> {
    let least = partition.groups.info("L3", "min_cbm_bits").map_err(|e| e.to_string())?.max(1);
    let there = root.common_bits();
    let mask = match value {
        Value::Text(text) => {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let mask = u64::from_str_radix(digits, 16);
            let mask = mask.map_err(|_| format!("{text:?} is no mask like \"0xf0\""))?;
            if !is_contiguous(mask) {
                return Err(format!("the ways of {mask:x} do not lie side by side"));
            }
            if mask & there != mask {
                return Err(format!("{mask:x} is not within {there:x}, which the root group has"));
            }
            mask
        }
        other => {
            let ways = whole(other, "ways")?;
            let run = u32::try_from(ways).ok().and_then(|ways| contiguous_run(there, ways));
            run.ok_or_else(|| {
                format!(
                    "{ways} ways side by side are not within {there:x}, which the root group has"
                )
            })?
        }
    };
    if u64::from(mask.count_ones()) < least {
        return Err(format!("{mask:x} has fewer ways than the {least} this processor needs"));
    }
    Ok(mask)
}

fn whole(value: &Value, unit: &str) -> Result<u64, String> {
    match Amount::size(value)? {
        Amount::Of(size) if size.fract() == 0.0 && size < f64::from(u32::MAX) => Ok(size as u64),
        _ => Err(format!("{value} {unit} are not a whole number")),
    }
}

/// AMD counts in eighths of GB/s, and `mba_MBps` in MB/s.
fn not_percent(partition: &Partition, root: &Domains) -> Result<Option<String>, Fault> {
    let is_linear = partition.groups.info("MB", "delay_linear")? == 1;
    let is_percent = is_linear && root.greatest() <= PERCENT_MAX;
    Ok((!is_percent).then(|| "memory bandwidth in percent (delay_linear, without mba_MBps)".into()))
}

fn percent(partition: &Partition, _root: &Domains, value: &Value) -> Result<u64, String> {
    let percent = whole(value, "percent")?;
    let info = |file| partition.groups.info("MB", file).map_err(|e| e.to_string());
    let (least, step) = (info("min_bandwidth")?, info("bandwidth_gran")?.max(1));
    if !(least..=PERCENT_MAX).contains(&percent) {
        return Err(format!("{percent} % is not within {least} to {PERCENT_MAX}"));
    }
    // The kernel would round up to the next step.
    if percent % step != 0 {
        return Err(format!("{percent} % is between the steps of {step} that this processor has"));
    }
    Ok(percent)
}
