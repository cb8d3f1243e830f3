//! CPU time: quota, weight, and which CPUs.

use super::super::amount::{Amount, MAX};
use super::super::cpus::Cpus;
use super::super::knob::{Fault, Interface, Spot};
use super::file::{number, read, write};
use crate::data::Value;

/// `cpu.cfs_quota_us`: microseconds of CPU time per period, -1 for no limit.
pub(in super::super) struct QuotaV1;

/// The kernel takes no less than a millisecond.
const QUOTA_US_MIN: f64 = 1000.0;

fn quota(cores: f64, period: f64) -> Result<String, String> {
    let quota = (cores * period).round();
    if quota < QUOTA_US_MIN {
        return Err(format!("{cores} cores are less than 1 ms in a period of {period} us"));
    }
    Ok(format!("{quota:.0}"))
}

fn cores(quota: &str, period: f64) -> Result<Amount, String> {
    if period <= 0.0 {
        return Err("the period is 0".into());
    }
    Ok(Amount::Of(number(quota)? / period))
}

fn period_v1(spot: &Spot) -> Result<f64, String> {
    number(&read(spot, "cpu.cfs_period_us").map_err(|e| e.to_string())?)
}

impl Interface for QuotaV1 {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        read(spot, "cpu.cfs_quota_us")
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "cpu.cfs_quota_us", text)
    }

    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String> {
        match Amount::limit(value)? {
            Amount::Of(cores) => quota(cores, period_v1(spot)?),
            _ => Ok("-1".into()),
        }
    }

    fn amount(&self, spot: &Spot, text: &str) -> Result<Amount, String> {
        if text == "-1" { Ok(Amount::Unlimited) } else { cores(text, period_v1(spot)?) }
    }
}

/// `cpu.max`: `<quota or "max"> <period>`. The period stays as it is.
pub(in super::super) struct QuotaV2;

fn split(text: &str) -> Result<(&str, f64), String> {
    let (quota, period) =
        text.split_once(' ').ok_or_else(|| format!("cpu.max is {text:?}, not two words"))?;
    Ok((quota, number(period)?))
}

impl Interface for QuotaV2 {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        read(spot, "cpu.max")
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "cpu.max", text)
    }

    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String> {
        let now = self.read(spot).map_err(|e| e.to_string())?;
        let (_, period) = split(&now)?;
        let quota = match Amount::limit(value)? {
            Amount::Of(cores) => quota(cores, period)?,
            _ => MAX.into(),
        };
        Ok(format!("{quota} {period:.0}"))
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        match split(text)? {
            (MAX, _) => Ok(Amount::Unlimited),
            (quota, period) => cores(quota, period),
        }
    }
}

/// `cpu.shares`: 1024 of version 1 is weight 100 of version 2.
pub(in super::super) struct Shares;

const SHARES_PER_WEIGHT: f64 = 10.24;

fn weight(value: &Value) -> Result<f64, String> {
    match Amount::size(value)? {
        Amount::Of(weight) if (1.0..=10_000.0).contains(&weight) => Ok(weight.round()),
        _ => Err("a weight is 1 to 10000".into()),
    }
}

impl Interface for Shares {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        read(spot, "cpu.shares")
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "cpu.shares", text)
    }

    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        Ok(format!("{:.0}", (weight(value)? * SHARES_PER_WEIGHT).round()))
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        Ok(Amount::Of(number(text)? / SHARES_PER_WEIGHT))
    }
}

/// `cpu.weight`.
pub(in super::super) struct CpuWeight;

impl Interface for CpuWeight {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        read(spot, "cpu.weight")
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "cpu.weight", text)
    }

    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        Ok(format!("{:.0}", weight(value)?))
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        Ok(Amount::Of(number(text)?))
    }
}

/// `cpuset.cpus`, the same in both versions. Empty in version 2: those of the parent.
pub(in super::super) struct Cpuset;

impl Interface for Cpuset {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let text = read(spot, "cpuset.cpus")?;
        Ok(text.parse::<Cpus>().map_err(Fault::Strange)?.to_string())
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "cpuset.cpus", text)
    }

    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String> {
        // Version 2 has this file. What cannot be taken back is not begun.
        if spot.dir.has("cgroup.events") && self.read(spot).is_ok_and(|text| text.is_empty()) {
            return Err(
                "none are set there, and the kernel does not take that back while there are \
                        processes; write the CPUs it has into cpuset.cpus first"
                    .into(),
            );
        }
        let Value::Text(text) = value else {
            return Err(format!("{value} is not a list of CPUs like \"0-3,8\""));
        };
        let cpus: Cpus = text.parse()?;
        if cpus.count() == 0 { Err("no CPU at all".into()) } else { Ok(cpus.to_string()) }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        Ok(Amount::Cpus(text.parse()?))
    }
}
