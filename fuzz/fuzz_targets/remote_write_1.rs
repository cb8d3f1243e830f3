//! Remote write 1.0, uncompressed: nothing beyond the limits comes out, labels are sorted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage::receive::{WriteLimits, decode_write_request};

fuzz_target!(|bytes: &[u8]| {
    let limits = WriteLimits { labels: 8, name_bytes: 100, series_samples: 5, request_series: 100 };
    let Ok(request) = decode_write_request(bytes, false, |m| m.len() % 2 == 1, &limits) else { return };
    assert!(request.series.len() <= limits.request_series);
    for s in &request.series {
        assert!(s.labels.len() <= limits.labels);
        assert!(s.samples.len() + s.histograms.len() <= limits.series_samples);
        assert!(s.labels.iter().is_sorted_by(|a, b| a.0 < b.0));
        for h in &s.histograms {
            assert!(h.buckets.windows(2).all(|w| w[0].0 < w[1].0));
        }
    }
});
