//! The protobuf messages of remote write 1.0 and 2.0, only the fields that are used.
//!
//! Exemplars and the buckets of native histograms are skipped unread: prost ignores unknown fields.

/// Remote write 1.0 (`prometheus.WriteRequest`).
pub mod v1 {
    /// A batch of series.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        /// The series.
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// One series.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Labels, `__name__` among them.
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        /// Samples, oldest first.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::Sample>,
        /// Native histograms.
        #[prost(message, repeated, tag = "4")]
        pub histograms: Vec<super::Histogram>,
    }

    /// One label.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        /// Its name.
        #[prost(string, tag = "1")]
        pub name: String,
        /// Its value.
        #[prost(string, tag = "2")]
        pub value: String,
    }
}

/// Remote write 2.0 (`io.prometheus.write.v2.Request`).
pub mod v2 {
    /// A batch of series whose strings stand in one table.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        /// The table of strings; the first is empty.
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        /// The series.
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// One series.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Name, value, name, value … as places in `symbols`.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// Samples, oldest first.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::Sample>,
        /// Native histograms.
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<super::Histogram>,
    }
}

/// One sample of a series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    /// The value; a stale marker is a NaN.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A native histogram; only that it is there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Milliseconds since 1970.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
}
