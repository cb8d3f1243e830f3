//! CPU frequency: one cpufreq policy.

use super::super::amount::Amount;
use super::super::knob::{Fault, Interface, Spot};
use super::file::{number, read, write};
use crate::data::Value;

/// `scaling_max_freq` or `scaling_min_freq`, in kHz.
pub(in super::super) struct Khz(pub(in super::super) &'static str);

impl Interface for Khz {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        read(spot, self.0)
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, self.0, text)
    }

    /// Within what the hardware can do: the kernel would clamp, and then it would not be ours.
    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String> {
        let Amount::Of(khz) = Amount::size(value)? else {
            return Err(format!("{value} is not a frequency"));
        };
        let limit = |file| number(&read(spot, file).map_err(|e| e.to_string())?);
        let (least, most) = (limit("cpuinfo_min_freq")?, limit("cpuinfo_max_freq")?);
        if (least..=most).contains(&khz) {
            Ok(format!("{khz:.0}"))
        } else {
            Err(format!("{khz} kHz is not within the {least} to {most} of this CPU"))
        }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        Ok(Amount::Of(number(text)?))
    }
}

/// `scaling_governor`.
pub(in super::super) struct Governor;

impl Interface for Governor {
    fn read(&self, spot: &Spot) -> Result<String, Fault> {
        read(spot, "scaling_governor")
    }

    fn write(&self, spot: &Spot, text: &str) -> Result<(), Fault> {
        write(spot, "scaling_governor", text)
    }

    fn encode(&self, spot: &Spot, value: &Value) -> Result<String, String> {
        let Value::Text(name) = value else { return Err(format!("{value} is not a governor")) };
        let there = read(spot, "scaling_available_governors").map_err(|e| e.to_string())?;
        if there.split_whitespace().any(|word| word == name) {
            Ok(name.clone())
        } else {
            Err(format!("there is no governor {name:?}, but {there}"))
        }
    }

    fn amount(&self, _spot: &Spot, text: &str) -> Result<Amount, String> {
        Ok(Amount::Choice(text.into()))
    }
}
