//! The protobuf messages of remote write 1.0 and 2.0, to write them and to check the decoder by.
//!
//! The listener does not build them: it reads the body in place. Metadata is left out.

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
        /// Traces behind samples, unread.
        #[prost(bytes = "vec", repeated, tag = "3")]
        pub exemplars: Vec<Vec<u8>>,
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
        /// Traces behind samples, unread.
        #[prost(bytes = "vec", repeated, tag = "4")]
        pub exemplars: Vec<Vec<u8>>,
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

/// A native histogram, with integer or with float counts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Observations.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Their sum; a stale marker is a NaN.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Resolution of exponential buckets, -4 to 8; -53 for bounds of the sender's own.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Half the width of the bucket around zero.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in it.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Which buckets there are for negative values.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Their integer counts, each less the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Their float counts.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Which buckets there are for positive values.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Their integer counts, each less the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Their float counts.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// 0 unknown, 1 reset, 2 no reset, 3 gauge.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds of buckets of the sender's own.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
}

/// Observations of a histogram.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Count {
    /// As an integer.
    #[prost(uint64, tag = "1")]
    Int(u64),
    /// As a float.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// Observations around zero.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ZeroCount {
    /// As an integer.
    #[prost(uint64, tag = "6")]
    Int(u64),
    /// As a float.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// A run of buckets.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BucketSpan {
    /// Buckets left out since the run before; the index of the first bucket, for the first run.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Buckets in the run.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}
