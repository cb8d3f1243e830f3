//! Change detection by cumulative sums (Page's test), for changes upwards.

/// Deviations up to this many sigma are tolerated: half of the smallest change worth finding.
const SLACK: f64 = 0.5;
/// A change is reported when so many sigma have added up.
const ALARM: f64 = 5.0;

/// Whether each of `deviations` (in sigma) is in a change: the sum reached the alarm there. The test
/// starts over after an alarm, so that a change that is over is not reported again.
pub(super) fn changes(deviations: &[f64]) -> Vec<bool> {
    let mut sum = 0.0_f64;
    deviations
        .iter()
        .map(|deviation| {
            sum = (sum + deviation - SLACK).max(0.0);
            let alarm = sum > ALARM;
            if alarm {
                sum = 0.0;
            }
            alarm
        })
        .collect()
}
