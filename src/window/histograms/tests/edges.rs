//! Who shows an edge, and how it counts.

use std::time::Duration;

use super::scene::{BEGIN_MS, CART, CLIENT, SERVER, Scene, Scrapes, USER, shown};
use crate::data::{Half, RpcKind, Span};
use crate::window::metrics::{DropLabels, ReasonLabels};
use crate::window::{Config, Metrics, Windower};

fn span(half: Half, service: &str, (id, parent): (u64, u64), ms: u64) -> Span {
    let start_ns = (BEGIN_MS as u64 + 1000) * 1_000_000;
    Span {
        trace: 1,
        id,
        parent,
        half,
        start_ns,
        end_ns: start_ns + ms * 1_000_000,
        service: service.into(),
        replica: "".into(),
        node: "n1".into(),
        op: "get".into(),
        peer: None,
        failed: false,
        weight: None,
    }
}

#[test]
fn an_edge_that_spans_show_is_left_to_them_and_stays_theirs_for_a_while() {
    let mut scene = Scene::new();
    let scrapes: Scrapes = &[(0, &[0.0; 2]), (30, &[100.0; 2]), (60, &[200.0; 2])];
    scene.classic(CLIENT, CART, &[0.01], scrapes);
    scene.classic(CLIENT, &[("client", "cart"), ("server", "stock")], &[0.01], scrapes);
    scene.windower.push_spans(
        &[span(Half::Client, "front", (2, 1), 8), span(Half::Server, "cart", (3, 2), 5)],
        Duration::ZERO,
    );
    let frames = scene.pass(60);
    let both = ["cart (*) -> stock * ClientOnly x100", "front -> cart get Paired x1"];
    assert_eq!(shown(&frames[0].rpcs), both);
    // No request of that kind was traced in the second interval.
    assert_eq!(shown(&frames[1].rpcs), both[..1]);
}

#[test]
fn the_virtual_node_user_is_the_entry_and_its_own_latency_is_none() {
    let mut scene = Scene::new();
    let bounds = [0.01, 0.1];
    scene.classic(SERVER, USER, &bounds, &[(0, &[0.0; 3]), (30, &[0.0, 100.0, 100.0])]);
    // Both generators count a latency of zero where there is no span.
    scene.classic(CLIENT, USER, &bounds, &[(0, &[0.0; 3]), (30, &[100.0, 100.0, 100.0])]);
    let failed = [("__name__", "traces_service_graph_request_failed_total")];
    scene.series(&[&failed[..], USER].concat(), &[(0, 0.0), (30, 9.0)]);
    let rpcs = scene.first();
    assert_eq!(shown(&rpcs), ["user -> front * ServerOnly x100"]);
    assert!(rpcs[0].key.is_entry());
    assert!((rpcs[0].client.0[0] - 55.0).abs() < 1e-3, "{:?}", rpcs[0].client);
    assert_eq!(rpcs[0].failed, 9);
}

#[test]
fn client_and_server_that_a_generator_has_exchanged_are_put_right() {
    let mut scene = Scene::new();
    let bounds = [0.01, 0.1];
    let (fast, slow): (&[f64], &[f64]) = (&[100.0; 3], &[0.0, 100.0, 100.0]);
    for callee in ["cart", "stock"] {
        let labels = [("client", "front"), ("server", callee)];
        scene.classic(CLIENT, &labels, &bounds, &[(0, &[0.0; 3]), (30, fast)]);
        scene.classic(SERVER, &labels, &bounds, &[(0, &[0.0; 3]), (30, slow)]);
    }
    for rpc in scene.first() {
        assert!(rpc.client.0[0] > 50.0 && rpc.server.0[0] < 10.0, "{rpc:?}");
    }
}

#[test]
fn span_metrics_give_entries_only_where_nobody_is_known_to_call() {
    let mut scene = Scene::new();
    let metric = "traces_span_metrics_duration_milliseconds";
    let scrapes: Scrapes = &[(0, &[0.0; 2]), (30, &[60.0; 2])];
    for (service, op) in [("front", "GET /"), ("front", "GET /cart"), ("cart", "get")] {
        let labels =
            [("service_name", service), ("span_kind", "SPAN_KIND_SERVER"), ("span_name", op)];
        scene.classic(metric, &labels, &[10.0], scrapes);
    }
    scene.classic(CLIENT, CART, &[0.01], scrapes);
    scene.classic(SERVER, CART, &[0.01], scrapes);
    let expected = [
        "front (*) -> cart * Paired x60",
        "user -> front GET / ServerOnly x60",
        "user -> front GET /cart ServerOnly x60",
    ];
    assert_eq!(shown(&scene.first()), expected);
}

#[test]
fn what_a_linkerd_proxy_serves_is_the_server_side_of_all_who_call_it() {
    let mut scene = Scene::new();
    let metric = "response_latency_ms";
    let out = [("deployment", "front"), ("direction", "outbound"), ("dst_deployment", "cart")];
    let inside = [("deployment", "cart"), ("direction", "inbound"), ("tls", "true")];
    let entry = [("deployment", "front"), ("direction", "inbound"), ("tls", "no_identity")];
    scene.classic(metric, &out, &[10.0, 20.0], &[(0, &[0.0; 3]), (30, &[0.0, 50.0, 50.0])]);
    scene.classic(metric, &inside, &[10.0, 20.0], &[(0, &[0.0; 3]), (30, &[80.0, 80.0, 80.0])]);
    scene.classic(metric, &entry, &[10.0, 20.0], &[(0, &[0.0; 3]), (30, &[0.0, 9.0, 9.0])]);
    let rpcs = scene.first();
    let expected = ["front (*) -> cart * Paired x50", "user -> front * ServerOnly x9"];
    assert_eq!(shown(&rpcs), expected);
    assert!((rpcs[0].client.0[0] - 15.0).abs() < 1e-3 && (rpcs[0].server.0[0] - 5.0).abs() < 1e-3);
}

#[test]
fn an_edge_of_which_one_side_is_known_is_dark_only_if_its_callee_calls_nobody() {
    let mut scene = Scene::new();
    let scrapes: Scrapes = &[(0, &[0.0; 2]), (30, &[10.0; 2])];
    for (client, server) in [("front", "cart"), ("cart", "db")] {
        scene.classic(CLIENT, &[("client", client), ("server", server)], &[0.01], scrapes);
    }
    scene.classic(SERVER, &[("client", "front"), ("server", "mail")], &[0.01], scrapes);
    let rpcs = scene.first();
    let kinds: Vec<RpcKind> = rpcs.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [RpcKind::ClientOnly, RpcKind::Paired, RpcKind::Paired], "{rpcs:?}");
    assert!(rpcs.iter().all(|r| r.client == r.server && r.request.0 == [0.0; 5]));
}

#[test]
fn beyond_their_limits_histograms_and_buckets_are_refused() {
    let mut config = Config::default();
    config.histograms.histograms_max = 1;
    config.histograms.buckets_max = 2;
    let mut scene = Scene::of(&config);
    let metrics = Metrics::default();
    scene.windower = Windower::new(&config, metrics.clone());
    let scrapes: Scrapes = &[(0, &[0.0; 4]), (30, &[10.0, 20.0, 30.0, 30.0])];
    scene.classic(CLIENT, CART, &[0.01, 0.02, 0.03], scrapes);
    scene.classic(SERVER, CART, &[0.01, 0.02, 0.03], scrapes);
    let rpcs = scene.first();
    assert_eq!(shown(&rpcs), ["front (*) -> cart * ClientOnly x30"]);
    assert_eq!(rpcs[0].client.0[4], 20.0, "the third bucket was refused");
    let refused = metrics.series_dropped.get_or_create(&ReasonLabels { reason: "histograms_full" });
    assert_eq!(refused.get(), 4);
    let full = DropLabels { item: "sample", reason: "buckets_full" };
    assert_eq!(metrics.dropped.get_or_create(&full).get(), 2);
    let beyond = ReasonLabels { reason: "beyond_bounds" };
    assert_eq!(metrics.histogram_rpcs_imprecise.get_or_create(&beyond).get(), 1);
}

#[test]
fn a_convention_that_is_switched_off_is_not_wanted() {
    let mut config = Config::default();
    assert!(config.wanted_metrics().contains("istio_request_duration_milliseconds_bucket"));
    config.histograms.istio = false;
    assert!(!config.wanted_metrics().contains("istio_request_duration_milliseconds_bucket"));
    assert!(config.wanted_metrics().contains(CLIENT));
}

/// Scrapes that wait and what was counted of them are what takes room, not the number of histograms.
#[test]
fn what_all_histograms_take_is_bounded_in_bytes() {
    let mut config = Config::default();
    config.histograms.bytes_max = 1 << 20;
    let mut scene = Scene::of(&config);
    let bounds: Vec<f64> = (1..=100).map(|n| f64::from(n) / 100.0).collect();
    let counts: Vec<f64> = (1..=101).map(f64::from).collect();
    // All scrapes stay within the lateness, so that no interval closes: everything has to wait.
    let scrapes: Vec<(i64, &[f64])> = (0..9).map(|s| (s, &*counts)).collect();
    for n in 0..400 {
        let server = format!("cart-{n}");
        let labels = [("client", "front"), ("server", &*server)];
        scene.classic(CLIENT, &labels, &bounds, &scrapes);
        let histograms = &scene.windower.histograms;
        assert!(histograms.held_bytes() <= (1 << 20) * 5 / 4 + 20_000, "{n}");
    }
    let followed = scene.windower.histograms.len();
    assert!((20..400).contains(&followed), "{followed}");
    assert!(scene.windower.histograms.held_bytes() >= 1 << 20);
    // All are silent, and what waited is counted: room returns.
    scene.pass(1000);
    scene.pass(2000);
    assert_eq!((scene.windower.histograms.len(), scene.windower.histograms.held_bytes()), (0, 0));
}
