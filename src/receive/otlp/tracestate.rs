//! `tracestate` -> how many requests a traced one stands for.
//!
//! OpenTelemetry's consistent probability sampling leaves a rejection threshold behind: `ot=th:c` means
//! that a trace was kept if its random number, of 56 bits, reached `c0000000000000`, so three in four were
//! not. What cannot be read says nothing.

/// Random numbers are below two to this power.
const BITS: u32 = 56;
/// Hexadecimal digits of a threshold in full; zeros at its end are left out.
const DIGITS: usize = BITS as usize / 4;

/// How many requests one with this `tracestate` stands for, at least 1, if it says so.
pub(super) fn weight(tracestate: &str) -> Option<f32> {
    if tracestate.is_empty() {
        return None;
    }
    let (all, threshold) = (1_u64 << BITS, threshold(tracestate)?);
    // The difference is exact, and at least 1.
    Some((all as f64 / (all - threshold) as f64) as f32)
}

/// `a=b,ot=rv:…;th:c`: the threshold in full.
fn threshold(tracestate: &str) -> Option<u64> {
    let mut members =
        tracestate.split(',').filter_map(|m| m.trim_matches([' ', '\t']).split_once('='));
    let (_, ours) = members.find(|(key, _)| *key == "ot")?;
    let mut parts = ours.split(';').filter_map(|part| part.split_once(':'));
    let (_, digits) = parts.find(|(key, _)| *key == "th")?;
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(is_digit) {
        return None;
    }
    let number = u64::from_str_radix(digits, 16).ok()?;
    Some(number << (4 * (DIGITS - digits.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thresholds_are_read_wherever_they_stand_and_nothing_else_is() {
        for (tracestate, expected) in [
            ("ot=th:0", 1.0),
            ("ot=th:8", 2.0),
            ("ot=th:c", 4.0),
            // One in ten, as the specification rounds it.
            ("ot=th:e6666666666668", 10.0),
            ("ot=th:ffffffffffffff", 2_f32.powi(56)),
            ("rojo=00f067aa0ba902b7,ot=rv:abcdef01234567;th:8", 2.0),
            ("congo=t61,\t ot=th:8 ,other=th:c", 2.0),
        ] {
            let got = weight(tracestate).unwrap();
            assert!((got / expected - 1.0).abs() < 1e-6, "{tracestate:?}: {got}, not {expected}");
        }
        for tracestate in [
            "",
            "ot=th:",
            "ot=th:C",
            "ot=th:+8",
            "ot=th:000000000000000",
            "ot=p:2;r:3",
            "other=th:8",
            "ot:th=8",
            "ot=rv:8",
            "ot",
            "ot=th",
        ] {
            assert_eq!(weight(tracestate), None, "{tracestate:?}");
        }
    }

    proptest! {
        /// Against the share of random numbers that are kept, digit by digit.
        #[test]
        fn property_a_request_stands_for_as_many_as_the_share_that_was_kept_says(
            digits in "[0-9a-f]{1,14}", before in "(a=b;th:1,)?", after in "(;rv:[0-9a-f]{14})?",
        ) {
            let rejected: f64 = digits
                .chars()
                .enumerate()
                .map(|(i, d)| f64::from(d.to_digit(16).unwrap()) / 16_f64.powi(i as i32 + 1))
                .sum();
            let got = f64::from(weight(&format!("{before}ot=th:{digits}{after}")).unwrap());
            // Close to certain rejection the sum is no longer exact enough.
            prop_assume!(rejected < 0.999_999);
            prop_assert!((got * (1.0 - rejected) - 1.0).abs() < 1e-6);
        }

        #[test]
        fn property_whatever_is_sent_the_weight_is_one_or_more(tracestate in "\\PC{0,40}|ot=th:[0-9a-z]{0,20}") {
            let got = weight(&tracestate);
            prop_assert!(got.is_none_or(|w| (1.0..=2_f32.powi(56)).contains(&w)));
        }
    }
}
