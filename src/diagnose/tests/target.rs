//! Which target an alert is about.

use super::scene::{TARGET_MS, alert, history, target};
use super::town::CALM_MS;
use super::town::Trouble::Bug;
use crate::data::{Alert, Frame, QosTarget};
use crate::diagnose::{Config, assumed_target, find_target, met, met_all};

fn labelled(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Alert {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
    };
    Alert { labels: owned(labels), annotations: owned(annotations), ..alert(30) }
}

/// Service, quantile, milliseconds, and where they came from.
fn found(alert: &Alert, configured: &[QosTarget]) -> Option<(String, f64, f64, &'static str)> {
    let history = history(&[(40, &[])]);
    let (t, source) = find_target(alert, configured, &history, &Config::default())?;
    Some((t.service, t.quantile, t.target_ms, source))
}

fn other(quantile: f64, target_ms: f64) -> QosTarget {
    QosTarget { service: "cart".into(), quantile, target_ms }
}

#[test]
fn the_alert_itself_knows_best() {
    let front = |quantile| Some(("front".to_string(), quantile, 45.5, "alert"));
    let in_labels = labelled(&[("service", "front"), ("sage_target_ms", "45.5")], &[]);
    assert_eq!(found(&in_labels, &[target()]), front(0.99));
    let in_annotations = labelled(
        &[("service", "front")],
        &[("sage_target_ms", " 45.5 "), ("sage_quantile", "0.9")],
    );
    assert_eq!(found(&in_annotations, &[target()]), front(0.9));
    let in_percent =
        labelled(&[("service", "front")], &[("sage_target_ms", "45.5"), ("sage_quantile", "95")]);
    assert_eq!(found(&in_percent, &[target()]), front(0.95));
}

#[test]
fn a_target_in_the_alert_that_is_no_number_gives_way_to_the_configuration() {
    for text in ["soon", "", "-3", "0", "{{ $value }}"] {
        let alert = labelled(&[("service", "front")], &[("sage_target_ms", text)]);
        let expected = ("front".to_string(), 0.99, TARGET_MS, "configuration");
        assert_eq!(found(&alert, &[other(0.99, 9.0), target()]), Some(expected), "{text:?}");
    }
}

#[test]
fn of_two_configured_targets_of_a_service_the_quantile_chooses() {
    let both = [other(0.5, 5.0), other(0.99, 9.0)];
    let of = |q: &str| found(&labelled(&[("service", "cart"), ("sage_quantile", q)], &[]), &both);
    assert_eq!(of("0.99"), Some(("cart".to_string(), 0.99, 9.0, "configuration")));
    assert_eq!(of("50"), Some(("cart".to_string(), 0.5, 5.0, "configuration")));
}

#[test]
fn any_of_the_known_labels_names_the_service_the_best_one_first() {
    for label in ["service", "sloth_service", "service_name", "app", "job"] {
        let alert = labelled(&[(label, "cart")], &[]);
        assert_eq!(found(&alert, &[target(), other(0.99, 9.0)]).unwrap().0, "cart", "{label}");
    }
    let both = labelled(&[("job", "front"), ("service", "cart")], &[]);
    assert_eq!(found(&both, &[target(), other(0.99, 9.0)]).unwrap().0, "cart");
}

/// `job` often names whoever scrapes or probes.
#[test]
fn a_label_that_names_no_known_service_gives_way_to_one_that_does() {
    let alert = labelled(&[("service", "blackbox-exporter"), ("job", "cart")], &[]);
    assert_eq!(found(&alert, &[target(), other(0.99, 9.0)]).unwrap().0, "cart");
}

#[test]
fn a_job_label_that_names_the_prober_does_not_hide_the_only_target() {
    let alert = labelled(&[("alertname", "SlowPages"), ("job", "blackbox-exporter")], &[]);
    let expected = ("front".to_string(), 0.99, TARGET_MS, "configuration");
    assert_eq!(found(&alert, &[target()]), Some(expected));
}

#[test]
fn an_alert_that_names_nobody_is_about_the_only_target_or_the_busiest_entry() {
    let nameless = labelled(&[("alertname", "SlowPages")], &[]);
    assert_eq!(found(&nameless, &[other(0.99, 9.0)]).unwrap().0, "cart");
    assert_eq!(found(&nameless, &[]).unwrap().0, "front");
}

#[test]
fn nothing_is_assumed_about_a_service_nobody_has_seen() {
    assert_eq!(found(&labelled(&[("service", "ghost")], &[]), &[]), None);
    let history = history(&[(9, &[])]);
    let alert = labelled(&[("service", "front")], &[]);
    assert_eq!(find_target(&alert, &[], &history, &Config::default()), None, "nine frames are few");
}

/// 22 ms in peace, hardly varying: a quarter above that. A minority in trouble moves nothing.
#[test]
fn without_any_target_what_usually_holds_is_assumed() {
    let alert = labelled(&[("service", "front")], &[]);
    let (service, quantile, ms, source) = found(&alert, &[]).unwrap();
    assert_eq!((&*service, quantile, source), ("front", 0.99, "assumed from history"));
    assert!((ms - 1.25 * CALM_MS).abs() < 0.5, "{ms}");
    let troubled = history(&[(30, &[]), (15, &[Bug("db", 300.0)])]);
    let (robust, _) = find_target(&alert, &[], &troubled, &Config::default()).unwrap();
    assert!((robust.target_ms - ms).abs() < 0.5, "{}", robust.target_ms);
}

#[test]
fn an_assumed_target_leaves_room_for_how_much_the_latency_varies() {
    let logs = [20.0, 22.0, 24.0, 26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0];
    let frames: Vec<Frame> = logs
        .iter()
        .map(|ms| {
            let mut frame = super::town::frame(1, &[]);
            let entry = frame.rpcs.iter_mut().find(|r| r.key.is_entry()).unwrap();
            entry.client = super::town::percentiles(*ms);
            frame
        })
        .collect();
    let all: Vec<&Frame> = frames.iter().collect();
    let assumed = assumed_target("front", 0.99, &all).unwrap().target_ms;
    // Median 30, lower quartile 25: ln 30 + 3 * 1.4826 * ln(30 / 25).
    let expected = 30.0 * (30.0f64 / 25.0).powf(3.0 * 1.4826);
    assert!((assumed / expected - 1.0).abs() < 0.01, "{assumed} is not {expected}");
}

#[test]
fn a_frame_meets_targets_of_services_it_has_no_requests_of() {
    let history = history(&[(1, &[Bug("db", 300.0)])]);
    assert!(!met(&history[0], &[target()]));
    let absent = QosTarget { service: "ghost".into(), ..target() };
    assert!(met(&history[0], std::slice::from_ref(&absent)));
    assert!(!met(&history[0], &[absent, target()]), "one missed target is enough");
}

#[test]
fn without_targets_entries_are_held_to_what_they_usually_take() {
    let all = history(&[(30, &[]), (5, &[Bug("db", 300.0)])]);
    let frames: Vec<&Frame> = all.iter().map(|f| &**f).collect();
    let expected: Vec<bool> = (0..35).map(|n| n < 30).collect();
    assert_eq!(met_all(&frames, &[]), expected);
    assert_eq!(met_all(&frames, &[target()]), expected);
    let lax = QosTarget { target_ms: 1e6, ..target() };
    assert_eq!(met_all(&frames, &[lax]), [true; 35]);
}
