//! W3C Trace Context: the header `traceparent`.

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    /// The span of the caller; zero for none.
    pub(super) span: u64,
}

impl Context {
    /// Reads a header; `None` when it is none.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = parts.next()?;
        let (trace, span) = (parts.next()?, parts.next()?);
        let is_hex = |t: &str| t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if version.len() != 2 || version == "ff" || !is_hex(version) {
            return None;
        }
        if trace.len() != 32 || span.len() != 16 || !is_hex(trace) || !is_hex(span) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|t| *t != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|s| *s != 0)?;
        Some(Self { trace, span })
    }

    /// As a header; sampled.
    pub(super) fn header(self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_went() {
        let context = Context { trace: 0x4bf9_2f35_77b3_4da6, span: 7 };
        assert_eq!(Context::parse(&context.header()), Some(context));
    }

    #[test]
    fn what_is_no_header_is_none() {
        for header in [
            "",
            "00-00000000000000000000000000000000-0000000000000001-01",
            "00-00000000000000000000000000000001-0000000000000000-01",
            "ff-00000000000000000000000000000001-0000000000000001-01",
            "00-0000000000000000000000000000000G-0000000000000001-01",
            "00-1-1-01",
        ] {
            assert_eq!(Context::parse(header), None, "{header}");
        }
    }
}
