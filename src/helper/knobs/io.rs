//! Block I/O: rates per device, and weight.

use super::super::amount::{Amount, MAX};
use super::super::knob::{Fault, Interface, Spot};
use super::file::{number, read_all, write};
use crate::data::Value;

fn rate(value: &Value) -> Result<String, String> {
    match Amount::limit(value)? {
        Amount::Of(rate) if rate >= 1.0 && rate < u64::MAX as f64 => {
            Ok(format!("{:.0}", rate.floor()))
        }
        Amount::Of(rate) => Err(format!("{rate} a second cannot be set")),
        _ => Ok(MAX.into()),
    }
}

fn amount(text: &str) -> Result<Amount, String> {
    if text == MAX { Ok(Amount::Unlimited) } else { Ok(Amount::Of(number(text)?)) }
}

/// What a line of `text` says about `device`.
fn line_of<'a>(text: &'a str, device: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(device)?.strip_prefix(' '))
}

/// `blkio.throttle.<name>` of version 1: `<device> <rate>`; no line is no limit, 0 takes it away.
pub(in super::super) struct Throttle(pub(in super::super) &'static str);

impl Throttle {
    fn file(&self) -> String {
        format!("blkio.throttle.{}", self.0)
    }
}

impl Interface for Throttle {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let text = read_all(spot, &self.file())?;
        let rate = line_of(&text, spot.device()).map(str::trim);
        Ok(rate.filter(|rate| *rate != "0").unwrap_or(MAX).into())
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        let rate = if text == MAX { "0" } else { text };
        write(spot, &self.file(), &format!("{} {rate}", spot.device()))
    }

    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        rate(value)
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        amount(text)
    }
}

/// One key of `io.max` of version 2: `<device> rbps=… wbps=… riops=… wiops=…`; other keys stay.
pub(in super::super) struct IoMax(pub(in super::super) &'static str);

impl Interface for IoMax {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let text = read_all(spot, "io.max")?;
        let words = line_of(&text, spot.device()).unwrap_or_default().split_whitespace();
        let mut values = words.filter_map(|w| w.strip_prefix(self.0)?.strip_prefix('='));
        Ok(values.next().unwrap_or(MAX).into())
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "io.max", &format!("{} {}={text}", spot.device(), self.0))
    }

    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        rate(value)
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        amount(text)
    }
}

/// The weight for all devices: the first of `files` that is there. Which one depends on the I/O
/// scheduler.
pub(in super::super) struct IoWeight {
    files: &'static [&'static str],
    most: f64,
}

pub(in super::super) static IO_WEIGHT_V1: IoWeight =
    IoWeight { files: &["blkio.bfq.weight", "blkio.weight"], most: 1000.0 };
pub(in super::super) static IO_WEIGHT_V2: IoWeight =
    IoWeight { files: &["io.weight", "io.bfq.weight"], most: 10_000.0 };

impl IoWeight {
    fn file(&self, spot: &Spot) -> Result<&'static str, Fault> {
        let there = self.files.iter().copied().find(|file| spot.dir.has(file));
        there.ok_or_else(|| Fault::Absent(format!("{} in {:?}", self.files[0], spot.dir.shown())))
    }
}

impl Interface for IoWeight {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let text = read_all(spot, self.file(spot)?)?;
        let first = text.lines().next().unwrap_or_default().trim();
        Ok(first.strip_prefix("default ").unwrap_or(first).trim().into())
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, self.file(spot)?, text)
    }

    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        match Amount::size(value)? {
            Amount::Of(weight) if (1.0..=self.most).contains(&weight) => Ok(format!("{weight:.0}")),
            _ => Err(format!("an I/O weight is 1 to {} here", self.most)),
        }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        Ok(Amount::Of(number(text)?))
    }
}
