//! Parameters of a URL or a form.

/// `name=value` pairs, percent-encoded.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| format!("{}={}", encode(name), encode(value));
    pairs.iter().map(one).collect::<Vec<_>>().join("&")
}

/// Everything but the unreserved characters of RFC 3986 is encoded.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Milliseconds as the seconds that Prometheus reads.
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_encoded() {
        assert_eq!(
            form(&[("match[]", "{a=\"ü b&c\"}")]),
            "match%5B%5D=%7Ba%3D%22%C3%BC%20b%26c%22%7D"
        );
        assert_eq!(
            (seconds(1_700_000_000_005), seconds(1500)),
            ("1700000000.005".into(), "1.500".into())
        );
    }
}
