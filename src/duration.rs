//! Durations in configuration files: `"30s"`, `"5m"`, `"1h30m"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Prints a duration the way it is written in the file.
pub fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds, duration.subsec_millis()) {
        (0, ms) if ms > 0 => format!("{ms}ms"),
        (s, ms) if ms > 0 => format!("{s}s {ms}ms"),
        (s, _) if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        (s, _) if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        (s, _) => format!("{s}s"),
    }
}

/// # Errors
/// Never by itself.
pub fn serialize<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&text(*duration))
}

/// # Errors
/// When the text is not a non-negative duration with a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(d)?).map_err(de::Error::custom)
}

/// Reads what [`text`] prints, and any other non-negative duration with a unit.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .map_err(|e| e.to_string())
        .and_then(|d| Duration::try_from(d).map_err(|_| "must not be negative".into()))
        .map_err(|e| format!("{text:?} is not a duration like \"30s\": {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for ms in [0, 1, 999, 1000, 1500, 30_000, 60_000, 300_000, 5_400_000, 7_200_000] {
            let d = Duration::from_millis(ms);
            let back: jiff::SignedDuration = text(d).parse().unwrap();
            assert_eq!(Duration::try_from(back).unwrap(), d);
        }
    }
}
