//! What must not be believed: the right status, a clear text, and nothing else disturbed.

use std::io::Write as _;

use prost::Message as _;
use sage::data::{EventTime, Name, Sample, Series};
use sage::lab::wire::{SpanSender, encode_export, encode_write};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Sidecar, grpc, send, span};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LIMIT: usize = 1 << 16;
/// A moment before any clock this runs under.
const NOW: EventTime = EventTime(1_700_000_000_000);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn some_spans() -> Vec<u8> {
    encode_export(&[span("cart", 1, 1, NOW, 5)]).encode_to_vec()
}

/// (what, headers, body, status, part of the text)
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, u16, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn otlp_over_http() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        c.receive.body_bytes_max = LIMIT;
        c.receive.queue_items_max = 1000;
    })
    .await;
    let proto = ("content-type", "application/x-protobuf");
    let json = ("content-type", "application/json");
    let gz = ("content-encoding", "gzip");
    let good = some_spans();
    let cut = good[..good.len() - 3].to_vec();
    let bomb = gzip(&vec![0; 100 * LIMIT]);
    let half = gzip(&good)[..20].to_vec();
    let cases: Vec<Case<'_>> = vec![
        ("cut short", vec![proto], cut, 400, "protobuf"),
        ("not JSON", vec![json], b"{\"resourceSpans\": [".to_vec(), 400, "JSON"),
        ("of wrong type", vec![json], b"{\"resourceSpans\": 7}".to_vec(), 400, "JSON"),
        ("of unknown type", vec![("content-type", "text/plain")], good.clone(), 415, "text/plain"),
        ("without a type", vec![], good.clone(), 415, "Content-Type"),
        ("brotli", vec![proto, ("content-encoding", "br")], good.clone(), 415, "br"),
        ("a gzip bomb", vec![proto, gz], bomb, 413, "65536"),
        ("half a gzip", vec![proto, gz], half, 400, "gzip"),
        ("gzip that is none", vec![proto, gz], good.clone(), 400, "gzip"),
        ("beyond the limit", vec![proto], vec![0; 2 * LIMIT], 413, "65536"),
        ("nothing, many times", vec![proto], [0x0a, 0].repeat(LIMIT / 2), 413, "queue_items_max"),
    ];
    for (what, headers, body, status, hint) in cases {
        let answer = send(sage.running.otlp_http, "POST", "/v1/traces", &headers, &body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(answer.text().contains(hint), "{what}: {}", answer.text());
    }
    let get = send(sage.running.otlp_http, "GET", "/v1/traces", &[], b"").await;
    assert_eq!(get.status, 405);
    let other = send(sage.running.otlp_http, "POST", "/v1/metrics", &[proto], b"").await;
    assert_eq!(other.status, 404);
    assert_eq!(sage.count("sage_receive_spans_total").await, 0.0);
    let answer = send(sage.running.otlp_http, "POST", "/v1/traces", &[proto], &good).await;
    assert_eq!(answer.status, 200);
    assert_eq!(sage.count("sage_receive_spans_total").await, 1.0);
    assert_eq!(sage.count("sage_receive_requests_rejected_total").await, 11.0);
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_over_grpc() {
    const INVALID_ARGUMENT: i32 = 3;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const UNIMPLEMENTED: i32 = 12;
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        c.receive.body_bytes_max = LIMIT;
        c.receive.queue_items_max = 1000;
    })
    .await;
    let address = sage.running.otlp_grpc;
    let good = some_spans();
    let (code, text) = grpc(address, EXPORT, &good[..good.len() - 3]).await;
    assert!(code != 0 && code != RESOURCE_EXHAUSTED, "{code} {text}");
    assert_ne!(code, INVALID_ARGUMENT + 11, "UNAVAILABLE would be repeated for ever: {text}");
    let (code, text) = grpc(address, EXPORT, &vec![0; 2 * LIMIT]).await;
    assert_eq!(code, RESOURCE_EXHAUSTED, "anything else would be repeated: {text}");
    let (code, text) = grpc(address, EXPORT, &[0x0a, 0].repeat(LIMIT / 2)).await;
    assert_eq!(code, RESOURCE_EXHAUSTED, "nothing, many times: {text}");
    assert!(text.contains("queue_items_max"), "{text}");
    let rejected = |reason| {
        format!(
            "sage_receive_requests_rejected_total{{protocol=\"otlp_grpc\",reason=\"{reason}\"}}"
        )
    };
    assert_eq!(sage.sample(&rejected("too_large")).await, 2.0);
    assert_eq!(sage.sample(&rejected("malformed")).await, 1.0);
    let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    assert_eq!(grpc(address, logs, b"").await.0, UNIMPLEMENTED);
    assert_eq!(grpc(address, EXPORT, &good).await, (0, String::new()));
    assert_eq!(sage.count("sage_receive_spans_total").await, 1.0);
    sage.running.stop().await;
}

/// While one sender holds most of what all may hold, the others are told to come again, whatever they
/// speak; when it is gone, they are served.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_together_meet_a_limit() {
    const UNAVAILABLE: i32 = 14;
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        c.receive.body_bytes_max = LIMIT;
        c.receive.bytes_in_flight_max = 100_000;
    })
    .await;
    let mut slow = TcpStream::connect(sage.running.otlp_http).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n\
                Content-Length: 60000\r\n\r\n";
    slow.write_all(&[head.as_bytes(), &[0; 50_000]].concat()).await.unwrap();
    sage.until("sage_receive_in_flight_bytes", |n| n >= 50_000.0).await;

    let proto = ("content-type", "application/x-protobuf");
    let snappy = ("content-encoding", "snappy");
    let large = vec![0; 60_000];
    let (otlp, write) = (sage.running.otlp_http, sage.running.http);
    for answer in [
        send(otlp, "POST", "/v1/traces", &[proto], &large).await,
        send(write, "POST", "/api/v1/write", &[proto, snappy], &large).await,
        send(write, "POST", "/webhook/alertmanager", &[], &large).await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("bytes_in_flight_max"), "{}", answer.text());
    }
    let (code, text) = grpc(sage.running.otlp_grpc, EXPORT, &large).await;
    assert_eq!(code, UNAVAILABLE, "{text}");
    assert!(text.contains("bytes_in_flight_max"), "{text}");
    // Small ones still find room.
    let good = some_spans();
    assert_eq!(grpc(sage.running.otlp_grpc, EXPORT, &good).await, (0, String::new()));

    drop(slow);
    sage.until("sage_receive_in_flight_bytes", |n| n == 0.0).await;
    let (code, text) = grpc(sage.running.otlp_grpc, EXPORT, &large).await;
    assert_eq!(code, 3, "garbage, but read to its end: {text}");
    sage.running.stop().await;
}

fn series(name: &str, service: &str, instance: &str, time_ms: i64, value: f64) -> Series {
    let labels = [("__name__", name), ("service", service), ("instance", instance)];
    Series {
        labels: labels.iter().map(|(n, v)| (Name::from(*n), Name::from(*v))).collect(),
        samples: vec![Sample { time_ms, value }].into(),
        ..Series::default()
    }
}

const CPU: &str = "container_cpu_usage_seconds_total";

#[tokio::test(flavor = "multi_thread")]
async fn remote_write() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| c.receive.body_bytes_max = LIMIT).await;
    let proto = ("content-type", "application/x-protobuf");
    let v2 = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    let unknown = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v9.Request");
    let snappy = ("content-encoding", "snappy");
    let zstd = ("content-encoding", "zstd");
    let good = encode_write(&[series(CPU, "cart", "a", NOW.0, 1.0)]);
    let squeeze = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    // A few bytes that claim to be four gigabytes.
    let bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x00];
    // A frame that asks for a window of two terabytes.
    let zstd_bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00];
    // One symbol, and a label that refers to the thousandth.
    let bad_reference = squeeze(&[0x22, 0x00, 0x2a, 0x05, 0x0a, 0x03, 0xe8, 0x07, 0x00]);
    let odd_references = squeeze(&[0x22, 0x00, 0x2a, 0x03, 0x0a, 0x01, 0x00]);
    let cases: Vec<Case<'_>> = vec![
        ("cut short", vec![proto, snappy], good[..good.len() - 2].to_vec(), 400, "snappy"),
        ("not protobuf", vec![proto, snappy], squeeze(b"\xff\xff\xff"), 400, "protobuf"),
        ("a snappy bomb", vec![proto, snappy], bomb, 400, "65536"),
        ("beyond the limit", vec![proto, snappy], vec![0; 2 * LIMIT], 400, "65536"),
        ("a zstd bomb", vec![proto, zstd], zstd_bomb, 400, "zstd window"),
        ("zstd that is none", vec![proto, zstd], good.clone(), 400, "zstd"),
        ("JSON", vec![("content-type", "application/json"), snappy], good.clone(), 415, "json"),
        ("gzip", vec![proto, ("content-encoding", "gzip")], good.clone(), 415, "gzip"),
        ("of unknown version", vec![unknown, snappy], good.clone(), 415, "v9"),
        ("a reference to nothing", vec![v2, snappy], bad_reference, 400, "symbol"),
        ("half a label", vec![v2, snappy], odd_references, 400, "label"),
    ];
    for (what, headers, body, status, hint) in cases {
        let answer = send(sage.running.http, "POST", "/api/v1/write", &headers, &body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(answer.text().contains(hint), "{what}: {}", answer.text());
    }
    assert_eq!(send(sage.running.http, "GET", "/api/v1/write", &[], b"").await.status, 405);
    let answer = send(sage.running.http, "POST", "/api/v1/write", &[proto, snappy], &good).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(sage.count("sage_receive_samples_total").await, 1.0);
    sage.running.stop().await;
}

/// A hundred thousand values of a label: followed up to the limit, counted beyond it, and the
/// services that were there go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_label_values_meets_a_limit() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        c.window.series_max = 1000;
        c.window.rpcs_max = 100;
    })
    .await;
    sage.api.write(&[series(CPU, "cart", "a", NOW.0, 1.0)]).await.unwrap();
    let flood: Vec<Series> = (0..100_000)
        .map(|i| series(CPU, &format!("s{i}"), &format!("i{i}"), NOW.0 + 1000, 1.0))
        .collect();
    sage.api.write(&flood).await.unwrap();
    sage.until("sage_window_series_dropped_total", |n| n >= 99_000.0).await;
    assert_eq!(sage.count("sage_window_series").await, 1000.0);
    let mut sender = SpanSender::connect(sage.running.otlp_grpc).await.unwrap();
    let spans: Vec<_> =
        (1..=2000).map(|i| span(&format!("s{i}"), u128::from(i), i, NOW, 5)).collect();
    sender.send(&spans).await.unwrap();
    // One clock ahead of two thousand is not believed; when all go on, time does.
    let later = NOW.plus(std::time::Duration::from_secs(90));
    let again = (1..=2000).map(|i| span(&format!("s{i}"), 1 << 64 | u128::from(i), i, later, 5));
    sender.send(&again.collect::<Vec<_>>()).await.unwrap();
    sage.until("sage_window_frames_total", |n| n >= 1.0).await;
    assert!(sage.count("sage_window_rpcs_overflowed_total").await >= 1800.0);
    let frames = sage.api.get("/api/v1/frames").await.unwrap();
    assert!(frames[0]["rpcs"].as_array().unwrap().len() <= 101);
    sage.running.stop().await;
}

/// Spans and samples of 1970 and 2100 change nothing about the interval that is open today.
#[tokio::test(flavor = "multi_thread")]
async fn other_centuries_are_dropped() {
    const Y1970: EventTime = EventTime(5_000);
    const Y2100: EventTime = EventTime(4_102_444_800_000);
    for begin_with_1970 in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), |_| {}).await;
        let mut sender = SpanSender::connect(sage.running.otlp_grpc).await.unwrap();
        let write = |body: Vec<u8>| {
            let address = sage.running.http;
            async move {
                let headers =
                    [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
                send(address, "POST", "/api/v1/write", &headers, &body).await.status
            }
        };
        if begin_with_1970 {
            sender.send(&[span("old", 1, 1, Y1970, 5)]).await.unwrap();
        }
        let mut now = NOW;
        for i in 0..40_u64 {
            sender.send(&[span("cart", 100 + u128::from(i), 1, now, 5)]).await.unwrap();
            sage.api.write(&[series(CPU, "cart", "a", now.0, i as f64)]).await.unwrap();
            if i == 20 {
                sage.until("sage_window_watermark_timestamp_seconds", |w| w > 1.6e9).await;
                let rejected = sender.send(&[span("old", 7, 1, Y1970, 5)]).await.unwrap();
                assert_eq!(rejected, 1);
                let rejected = sender.send(&[span("new", 8, 1, Y2100, 5)]).await.unwrap();
                assert_eq!(rejected, 1);
                // Too old: never to be sent again, and no fault of the sender. Too new: its fault.
                let old = encode_write(&[series(CPU, "cart", "a", Y1970.0, 1.0)]);
                assert_eq!(write(old).await, 204);
                let new = encode_write(&[series(CPU, "cart", "a", Y2100.0, 1.0)]);
                assert_eq!(write(new).await, 400);
            }
            now = now.plus(std::time::Duration::from_secs(5));
        }
        sage.until("sage_window_frames_total", |n| n >= 5.0).await;
        let frames = sage.api.get("/api/v1/frames").await.unwrap();
        let newest = frames.as_array().unwrap().last().unwrap();
        assert_eq!(newest["rpcs"][0]["callee"], "cart", "{newest:#}");
        assert_eq!(newest["rpcs"][0]["count"], 6, "{newest:#}");
        sage.running.stop().await;
    }
}

/// Ids of wrong length and spans without an end are dropped one by one; the others are kept.
#[tokio::test(flavor = "multi_thread")]
async fn bad_spans_among_good_ones_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |_| {}).await;
    let mut request = encode_export(&[
        span("cart", 1, 1, NOW, 5),
        span("cart", 2, 2, NOW, 5),
        span("cart", 3, 3, NOW, 5),
        span("cart", 4, 4, NOW, 5),
    ]);
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    spans[0].trace_id.truncate(3);
    spans[1].span_id = vec![0; 8];
    spans[2].end_time_unix_nano = 0;
    let headers = [("content-type", "application/x-protobuf")];
    let body = request.encode_to_vec();
    let answer = send(sage.running.otlp_http, "POST", "/v1/traces", &headers, &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("3 spans dropped"), "{}", answer.text());
    assert_eq!(sage.count("sage_receive_spans_total").await, 1.0);
    assert_eq!(sage.sample("sage_receive_spans_dropped_total{reason=\"invalid\"}").await, 3.0);
    sage.running.stop().await;
}

/// Wrong parameters of the API are the caller's fault, and said to be.
#[tokio::test(flavor = "multi_thread")]
async fn api() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |_| {}).await;
    for (path, status, hint) in [
        ("/api/v1/diagnoses?limit=many", 400, "limit"),
        ("/api/v1/diagnoses?color=red", 400, "color"),
        ("/api/v1/diagnoses/none", 404, "none"),
        ("/api/v1/frames?from=5&to=4", 400, "after"),
        ("/api/v1/frames?from=yesterday", 400, "from"),
        ("/api/v1/cbn?format=png", 400, "png"),
        ("/api/v2/anything", 404, "no such path"),
    ] {
        let answer = send(sage.running.http, "GET", path, &[], b"").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["status"], "error", "{path}");
        assert!(body["error"].as_str().unwrap().contains(hint), "{path}: {body}");
    }
    sage.running.stop().await;
}
