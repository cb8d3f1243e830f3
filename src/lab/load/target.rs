//! Where load goes, and in which language.

use axum::http::Uri;

/// The language of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP, protobuf.
    OtlpHttp,
    /// Remote write 1.0, snappy.
    RemoteWrite1,
    /// Remote write 2.0, snappy.
    RemoteWrite2,
}

impl Protocol {
    /// Whether it carries spans; else samples.
    pub fn is_spans(self) -> bool {
        matches!(self, Self::OtlpGrpc | Self::OtlpHttp)
    }

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::RemoteWrite1 => "remote_write_1",
            Self::RemoteWrite2 => "remote_write_2",
        }
    }
}

/// A receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its endpoint.
    pub uri: Uri,
    /// What is sent there.
    pub protocol: Protocol,
}

impl Target {
    /// Reads a URL: without a path OTLP/gRPC, with one that ends in `/v1/traces` OTLP/HTTP, else remote
    /// write, 2.0 if `is_v2`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str, is_v2: bool) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url:?} is no URL: {e}"))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(format!("{url:?}: must begin with http:// and name a host and a port"));
        }
        let protocol = match uri.path() {
            "" | "/" => Protocol::OtlpGrpc,
            path if path.ends_with("/v1/traces") => Protocol::OtlpHttp,
            _ if is_v2 => Protocol::RemoteWrite2,
            _ => Protocol::RemoteWrite1,
        };
        Ok(Self { uri, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_which_language_is_spoken() {
        let protocol = |url: &str, is_v2| Target::parse(url, is_v2).map(|t| t.protocol);
        assert_eq!(protocol("http://[::1]:4317", false), Ok(Protocol::OtlpGrpc));
        assert_eq!(protocol("http://a:4318/v1/traces", true), Ok(Protocol::OtlpHttp));
        assert_eq!(protocol("http://a:1/api/v1/write", false), Ok(Protocol::RemoteWrite1));
        assert_eq!(protocol("http://a:1/insert/0/api/v1/write", true), Ok(Protocol::RemoteWrite2));
        for wrong in ["a:4317", "https://a/api/v1/write", "http://", "/api/v1/write"] {
            assert!(protocol(wrong, false).is_err(), "{wrong}");
        }
    }
}
