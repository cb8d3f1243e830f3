//! One region annotation per incident: created, patched, closed, whatever Grafana does meanwhile.

use std::path::Path;
use std::time::Duration;

use sage::config::Config;
use sage::data::EventTime;
use sage::lab::wire::{SpanSender, alert_json};
use serde_json::{Value, json};

use crate::support::{Grafana, INTERVAL, Sidecar, TOKEN, span};

const BEGIN: EventTime = EventTime(1_700_000_010_000);
/// Intervals in which all is well.
const CALM: u64 = 12;

fn push_to(grafana: &Grafana) -> impl Fn(&mut Config) + use<> {
    let url = format!("http://{}", grafana.address);
    move |config| {
        config.grafana.url = Some(url.clone());
        config.grafana.token = Some(sage::secret::Secret::new(TOKEN));
        config.grafana.dashboard_uid = Some("sage".into());
    }
}

fn moment(interval: u64) -> EventTime {
    BEGIN.plus(INTERVAL * u32::try_from(interval).unwrap())
}

/// A minute of calm, then requests that take a second.
async fn violate(sage: &Sidecar) {
    let mut sender = SpanSender::connect(sage.running.otlp_grpc).await.unwrap();
    for interval in 0..CALM + 4 {
        let ms = if interval < CALM { 5 } else { 1000 };
        let spans: Vec<_> = (1..=20)
            .map(|i| span("cart", u128::from(interval * 100 + i), i, moment(interval), ms))
            .collect();
        sender.send(&spans).await.unwrap();
    }
    sage.until("sage_window_frames_total", |n| n >= CALM as f64 + 2.0).await;
}

fn alert(ends: Option<EventTime>) -> Value {
    alert_of("00000000000000aa", ends)
}

fn alert_of(fingerprint: &str, ends: Option<EventTime>) -> Value {
    let mut alert = alert_json(&[("service", "cart")], moment(CALM + 1), ends);
    alert["annotations"] = json!({"sage_target_ms": "50"});
    alert["fingerprint"] = json!(fingerprint);
    alert
}

/// Polls the annotations until they are as wanted.
async fn until(grafana: &Grafana, is_there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    for _ in 0..1200 {
        let all = grafana.annotations();
        if is_there(&all) {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it stays at {:#?}", grafana.annotations());
}

/// A sidecar lives long enough to have a region in Grafana and its id on disk.
async fn open_region(grafana: &Grafana, home: &Path) {
    let sage = Sidecar::start(home, push_to(grafana)).await;
    violate(&sage).await;
    sage.api.alert(&[alert(None)]).await.unwrap();
    until(grafana, |all| all.len() == 1).await;
    sage.until("sage_store_writes_total{what=\"annotation\"}", |n| n >= 1.0).await;
    sage.running.stop().await;
}

/// Another one, on the same data, hears that the alert has ended, and closes that region.
async fn close_region(grafana: &Grafana, home: &Path) {
    let sage = Sidecar::start(home, push_to(grafana)).await;
    let end = moment(CALM + 3);
    sage.api.alert(&[alert(Some(end))]).await.unwrap();
    let closed = until(grafana, |all| all.iter().any(|a| a["timeEnd"] == end.0)).await;
    assert_eq!(closed.len(), 1, "{closed:#?}");
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_one_region_that_is_closed_at_resolve() {
    let grafana = Grafana::start().await;
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), push_to(&grafana)).await;
    violate(&sage).await;
    // Grafana is starting, and then its answer to the first success is lost on the way.
    grafana.fail(1);
    grafana.lose(1);
    let ids = sage.api.alert(&[alert(None)]).await.unwrap();
    let open = until(&grafana, |all| !all.is_empty()).await;
    assert_eq!(open[0]["dashboardUID"], "sage");
    assert_eq!(open[0]["time"], moment(CALM).0, "{open:#?}");
    assert!(open[0]["text"].as_str().unwrap().contains("cart"), "{open:#?}");
    let tags = open[0]["tags"].as_array().unwrap();
    assert!(tags.contains(&json!("sage")) && tags.contains(&json!("status:firing")), "{tags:?}");
    assert!(tags.contains(&json!(format!("sage_diagnosis:{}", ids[0]))), "{tags:?}");

    let end = moment(CALM + 3);
    sage.api.alert(&[alert(Some(end))]).await.unwrap();
    let is_closed = |all: &[Value]| all.iter().any(|a| a["timeEnd"] == end.0);
    let closed = until(&grafana, is_closed).await;
    assert_eq!(closed.len(), 1, "the lost answer made a second region: {closed:#?}");
    assert!(closed[0]["tags"].as_array().unwrap().contains(&json!("status:resolved")));
    assert!(sage.count("sage_grafana_retries_total").await >= 2.0);
    sage.running.stop().await;
}

/// The annotation's id is remembered on disk: a sidecar that comes back closes the old region.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_closed_after_a_restart() {
    let grafana = Grafana::start().await;
    let home = tempfile::tempdir().unwrap();
    open_region(&grafana, home.path()).await;

    close_region(&grafana, home.path()).await;
}

/// As after a crash between Grafana's answer and the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_sage_does_not_know_of_is_found_by_its_tag() {
    let grafana = Grafana::start().await;
    let home = tempfile::tempdir().unwrap();
    open_region(&grafana, home.path()).await;
    let database = rusqlite::Connection::open(home.path().join("data/sage.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM annotation", []).unwrap(), 1);
    drop(database);

    close_region(&grafana, home.path()).await;
}

/// Grafana is away until after the stop. Nothing that it has is pushed again.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_the_stop_is_pushed_after_the_next_start_and_nothing_else() {
    let grafana = Grafana::start().await;
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), push_to(&grafana)).await;
    violate(&sage).await;
    grafana.fail(usize::MAX);
    sage.api.alert(&[alert(None)]).await.unwrap();
    sage.until("sage_grafana_retries_total", |n| n >= 1.0).await;
    sage.running.stop().await;
    assert_eq!(grafana.annotations().len(), 0);

    grafana.fail(0);
    let sage = Sidecar::start(home.path(), push_to(&grafana)).await;
    until(&grafana, |all| all.len() == 1).await;
    sage.until("sage_store_writes_total{what=\"annotation\"}", |n| n >= 1.0).await;
    sage.running.stop().await;

    let calls = grafana.calls();
    let sage = Sidecar::start(home.path(), push_to(&grafana)).await;
    sage.api.alert(&[alert_of("00000000000000bb", None)]).await.unwrap();
    until(&grafana, |all| all.len() == 2).await;
    assert_eq!(grafana.calls() - calls, 2, "one to look for the new region, one to create it");
    sage.running.stop().await;
}

/// A wrong token is refused for good: said once, counted, and nothing else suffers.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_repeated_and_delays_nobody() {
    let grafana = Grafana::start().await;
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |config| {
        push_to(&grafana)(config);
        config.grafana.token = Some(sage::secret::Secret::new("wrong"));
    })
    .await;
    violate(&sage).await;
    let ids = sage.api.alert(&[alert(None)]).await.unwrap();
    assert_eq!(sage.diagnosis(&ids[0]).await["outcome"], "no_model");
    // A frame that closes meanwhile revises the diagnosis, and that is pushed and refused, too.
    let is_counted = |refused: f64| refused >= 1.0 && refused == grafana.calls() as f64;
    sage.until("sage_grafana_annotations_refused_total", is_counted).await;
    assert!(grafana.annotations().is_empty());
    sage.running.stop().await;
}
