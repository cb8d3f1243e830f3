//! Whether the processes of a cgroup stand still.

use super::super::amount::Amount;
use super::super::knob::{Fault, Interface, Spot};
use super::file::{read, write};
use crate::data::Value;

/// One file with two words.
pub(in super::super) struct Freeze {
    file: &'static str,
    frozen: &'static str,
    thawed: &'static str,
}

pub(in super::super) static FREEZER: Freeze =
    Freeze { file: "freezer.state", frozen: "FROZEN", thawed: "THAWED" };
pub(in super::super) static FREEZE: Freeze =
    Freeze { file: "cgroup.freeze", frozen: "1", thawed: "0" };

impl Interface for Freeze {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        let text = read(spot, self.file)?;
        // On its way there: what was asked for is known.
        Ok(if text == "FREEZING" { self.frozen.into() } else { text })
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, self.file, text)
    }

    fn encode(&self, _spot: &Spot, value: &Value) -> Result<String, String> {
        match value {
            Value::Flag(true) => Ok(self.frozen.into()),
            Value::Flag(false) => Ok(self.thawed.into()),
            other => Err(format!("{other} is neither true nor false")),
        }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        match text {
            _ if text == self.frozen => Ok(Amount::Flag(true)),
            _ if text == self.thawed => Ok(Amount::Flag(false)),
            other => Err(format!("{} is {other:?}", self.file)),
        }
    }
}
