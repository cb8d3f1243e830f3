//! What Alertmanager really sends, in the order in which it sends it.

use serde_json::{Value, json};

use crate::support::{Answer, Sidecar, fixture, raw_http, send};

const PATH: &str = "/webhook/alertmanager";

async fn post(sage: &Sidecar, capture: &str) -> Vec<String> {
    let head = fixture(&format!("alertmanager/{capture}.head"));
    let body = fixture(&format!("alertmanager/{capture}.json"));
    ids(&raw_http(sage.running.http, &head, &body).await)
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["status"], "success");
    serde_json::from_value(body["data"]["diagnoses"].clone()).unwrap()
}

async fn statuses(sage: &Sidecar) -> Vec<(String, String)> {
    let list = sage.api.get("/api/v1/diagnoses").await.unwrap();
    let mut all: Vec<(String, String)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            let text = |v: &Value| v.as_str().unwrap().to_string();
            (text(&d["alert"]["labels"]["service"]), text(&d["alert"]["status"]))
        })
        .collect();
    all.sort();
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect()
}

/// One alert, a second in the same group, the first resolved while the second fires, all resolved.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_group_is_followed_in_both_versions() {
    for version in ["0.25.0", "0.33.1"] {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), |_| {}).await;
        let first = post(&sage, &format!("am-{version}-1-first-firing")).await;
        assert_eq!(first.len(), 1);
        assert_eq!(sage.diagnosis(&first[0]).await["outcome"], "not_enough_data");
        // Delivered at least once, and once more by the other half of a pair.
        assert_eq!(post(&sage, &format!("am-{version}-1-first-firing")).await, first);
        let both = post(&sage, &format!("am-{version}-2-second-alert-added")).await;
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(post(&sage, &format!("am-{version}-3-one-resolved-one-firing")).await, both);
        sage.diagnosis(&both[1]).await;
        let mixed = pairs(&[("checkout", "resolved"), ("inventory", "firing")]);
        wait_for(&sage, &mixed).await;
        assert_eq!(post(&sage, &format!("am-{version}-4-all-resolved")).await.len(), 1);
        let closed = pairs(&[("checkout", "resolved"), ("inventory", "resolved")]);
        wait_for(&sage, &closed).await;
        assert_eq!(sage.count("sage_receive_alerts_total").await, 7.0);
        sage.running.stop().await;
    }
}

/// Diagnoses follow the answer; they are polled for.
async fn wait_for(sage: &Sidecar, expected: &[(String, String)]) {
    for _ in 0..200 {
        if statuses(sage).await == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(statuses(sage).await, expected);
}

fn body(alerts: &[Value]) -> Vec<u8> {
    json!({"version": "4", "status": "firing", "alerts": alerts}).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_version_4_body_is_refused_for_good() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| c.receive.body_bytes_max = 1 << 16).await;
    let json = ("content-type", "application/json");
    let alert = json!({"status": "firing", "labels": {}, "startsAt": "2026-11-21T19:33:14Z"});
    let huge = vec![b' '; 1 << 17];
    let cases: &[(&str, u16, Vec<u8>, &str)] = &[
        ("cut short", 400, b"{\"version\": \"4\", \"alerts\": [".to_vec(), "line 1"),
        ("not an object", 400, b"[]".to_vec(), "version"),
        ("of another version", 400, br#"{"version": "3", "alerts": []}"#.to_vec(), "only"),
        ("without a time", 400, body(&[json!({"status": "firing"})]), "startsAt"),
        ("beyond the limit", 413, huge, "65536"),
    ];
    for (what, status, body, hint) in cases {
        let answer = send(sage.running.http, "POST", PATH, &[json], body).await;
        assert_eq!(answer.status, *status, "{what}: {}", answer.text());
        assert!(answer.text().contains(hint), "{what}: {}", answer.text());
    }
    // A 5xx would be repeated, so none of them may be one; and the next good one is served.
    let answer = send(sage.running.http, "POST", PATH, &[json], &body(&[alert])).await;
    assert_eq!(ids(&answer).len(), 1);
    assert_eq!(send(sage.running.http, "GET", PATH, &[], b"").await.status, 405);
    sage.running.stop().await;
}

/// A restart of Sage between firing and resolved loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_incident_outlives_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |_| {}).await;
    let first = post(&sage, "am-0.33.1-1-first-firing").await;
    sage.diagnosis(&first[0]).await;
    sage.running.stop().await;
    let sage = Sidecar::start(home.path(), |_| {}).await;
    wait_for(&sage, &pairs(&[("checkout", "firing")])).await;
    post(&sage, "am-0.33.1-3-one-resolved-one-firing").await;
    let mixed = pairs(&[("checkout", "resolved"), ("inventory", "firing")]);
    wait_for(&sage, &mixed).await;
    sage.running.stop().await;
}
