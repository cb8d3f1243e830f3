//! What knobs that are one file share.

use super::super::knob::{Fault, Spot};

/// The first line of `file`.
pub(super) fn read(spot: &Spot, file: &str) -> Result<String, Fault> {
    present(spot, file)?;
    Ok(spot.dir.read_line(file)?)
}

/// Every line of `file`.
pub(super) fn read_all(spot: &Spot, file: &str) -> Result<String, Fault> {
    present(spot, file)?;
    Ok(spot.dir.read(file)?)
}

/// Sets `file` to `text`.
pub(super) fn write(spot: &Spot, file: &str, text: &str) -> Result<(), Fault> {
    Ok(spot.dir.write(file, text)?)
}

fn present(spot: &Spot, file: &str) -> Result<(), Fault> {
    if spot.dir.has(file) {
        Ok(())
    } else {
        // A directory that is gone is told apart by whoever asks again.
        Err(Fault::Absent(spot.dir.shown().join(file).display().to_string()))
    }
}

/// A whole number, as the kernel prints it.
pub(super) fn number(text: &str) -> Result<f64, String> {
    text.trim().parse::<u64>().map(|n| n as f64).map_err(|_| format!("{text:?} is not a number"))
}
