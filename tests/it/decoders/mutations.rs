//! Many small changes to what real senders sent, through every parser of foreign bytes: none may panic,
//! and what a parser takes is within its limits. The same changes in every run; `fuzz/` goes on from here.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use sage::config::parse;
use sage::receive::{
    WriteLimits, decode_export, decode_webhook, decode_write_request, read_export,
};

use super::{bodies, questions};
use crate::support::fixture;

/// Changed copies of each seed.
const ROUNDS: usize = 400;
const NAME_MAX: usize = 40;

/// A generator that is the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Up to eight changes, of the kinds that find faults in parsers.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0x00, 0x7f, 0x80, 0xff, b'"', b'['][random.below(6)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(64)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            4 => {
                let end = (at + random.below(64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    bytes
}

fn each(seeds: &[Vec<u8>], mut parse: impl FnMut(&[u8]) -> bool) {
    let mut random = Random(0x5a6e);
    let (mut taken, mut refused) = (0, 0);
    for seed in seeds {
        assert!(parse(seed), "a seed as it was sent");
        for _ in 0..ROUNDS {
            if parse(&mutate(seed, &mut random)) { taken += 1 } else { refused += 1 }
        }
    }
    // Otherwise the changes are too mild, or so coarse that nothing is read but the beginning.
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

fn fixtures(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fixture(name)).collect()
}

#[test]
fn mutated_otlp_protobuf() {
    let seeds = ["envoy-grpc", "node-grpc-checkout", "python-grpc-inventory", "rotel-grpc"];
    let seeds = seeds.map(|name| fixture(&format!("otlp/{name}.pb")));
    each(&seeds, |bytes| {
        let Ok((spans, _)) = read_export(bytes, NAME_MAX, 1 << 20) else { return false };
        for s in &spans {
            assert!(s.op.len() <= NAME_MAX && s.service.len() <= NAME_MAX && s.id != 0);
        }
        true
    });
}

#[test]
fn mutated_otlp_json() {
    let seeds =
        fixtures(&["otlp/node-http-checkout-json.body", "otlp/node-http-inventory-json.body"]);
    each(&seeds, |bytes| {
        let request = serde_json::from_slice::<ExportTraceServiceRequest>(bytes);
        request.map(|r| decode_export(&r, NAME_MAX)).is_ok()
    });
}

#[test]
fn mutated_remote_write() {
    let limits =
        WriteLimits { labels: 20, name_bytes: 100, series_samples: 5, request_series: 600 };
    for (is_v2, names) in [
        (false, ["rw1-prometheus-3.5.3-native-histograms", "rw1-vmagent-1.79.5-snappy"]),
        (true, ["rw2-prometheus-3.5.3-partial-batch", "rw2-prometheus-3.5.3-stale-marker"]),
    ] {
        let seeds = names.map(|name| {
            let body = fixture(&format!("remote_write/{name}.body"));
            snap::raw::Decoder::new().decompress_vec(&body).unwrap()
        });
        each(&seeds, |bytes| {
            let Ok(request) = decode_write_request(bytes, is_v2, |_| true, &limits) else {
                return false;
            };
            for s in &request.series {
                assert!(
                    s.labels.len() <= limits.labels && s.samples.len() <= limits.series_samples
                );
                assert!(s.labels.iter().is_sorted_by(|a, b| a.0 < b.0), "{:?}", s.labels);
            }
            true
        });
    }
}

/// With their compressions, and the headers that a digit in front stands for.
#[test]
fn mutated_bodies() {
    let seeds = [
        ("0", "remote_write/rw1-vmagent-1.79.5-snappy.body"),
        ("1", "remote_write/rw2-prometheus-3.5.3-partial-batch.body"),
        ("2", "remote_write/vmproto-vmagent-1.145.0-zstd.body"),
        ("5", "otlp/python-http-gzip-checkout.body"),
    ];
    let seeds = seeds.map(|(digit, name)| [digit.as_bytes(), &fixture(name)].concat());
    each(&seeds, bodies::check);
}

#[test]
fn mutated_questions() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/questions");
    let text = std::fs::read_to_string(file).unwrap();
    // Some are there to be refused.
    let answered = text.lines().map(str::as_bytes).filter(|line| questions::check(line));
    let seeds: Vec<Vec<u8>> = answered.map(<[u8]>::to_vec).collect();
    assert!(seeds.len() > 10, "{} of {}", seeds.len(), text.lines().count());
    each(&seeds, questions::check);
}

#[test]
fn mutated_webhooks() {
    let seeds = fixtures(&[
        "alertmanager/am-0.25.0-1-first-firing.json",
        "alertmanager/am-0.33.1-3-one-resolved-one-firing.json",
    ]);
    each(&seeds, |bytes| decode_webhook(bytes).is_ok());
}

#[test]
fn mutated_configurations() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin-config/sage.toml");
    let text = std::fs::read(file).unwrap();
    // A fault in a comment is none, so most of it goes.
    let lines = text.split(|b| *b == b'\n').filter(|l| !l.starts_with(b"#"));
    let seed = lines.collect::<Vec<_>>().join(&b'\n');
    each(&[seed], |bytes| std::str::from_utf8(bytes).is_ok_and(|text| parse(text).is_ok()));
}
