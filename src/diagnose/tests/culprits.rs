//! Level 1: the service.

use super::scene::{CALM, Scene, alert, assert_ms, history, named};
use super::town::CALM_MS;
use super::town::Trouble::{self, Bug, Inward, Links, Loud, Pressed, Short};
use crate::data::Outcome;
use crate::data::Resource::{Cpu, Disk, Memory, Network};
use crate::diagnose::Verdict;

fn verdict_on(troubles: &[Trouble]) -> Verdict {
    Scene::after_calm(troubles).verdict()
}

#[test]
fn one_culprit_is_named_with_what_its_normal_self_would_have_meant() {
    let verdict = verdict_on(&[Short("db", Cpu, 30.0)]);
    assert_eq!(verdict.outcome, Some(Outcome::RootCause));
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    assert_ms(verdict.root_causes[0].counterfactual_ms, CALM_MS);
    assert!(verdict.root_causes[0].probability > 0.9);
    let qos = verdict.qos.unwrap();
    assert_eq!((&*qos.service, qos.quantile, qos.target_ms), ("front", 0.99, 30.0));
    assert_ms(qos.observed_ms, CALM_MS + 30.0);
}

#[test]
fn every_service_can_be_the_culprit() {
    for service in ["ads", "cache", "cart", "db", "front", "search"] {
        for resource in [Cpu, Memory, Disk] {
            let verdict = verdict_on(&[Short(service, resource, 20.0)]);
            assert_eq!(named(&verdict), [(service, Some(resource))]);
        }
    }
}

#[test]
fn a_network_culprit_is_named_by_the_service_its_packets_do_not_reach() {
    let verdict = verdict_on(&[Inward("db", 30.0)]);
    assert_eq!(named(&verdict), [("db", Some(Network))]);
    assert_ms(verdict.root_causes[0].counterfactual_ms, CALM_MS);
}

/// cart calls db: when what reaches cart is late as well, the trouble is at cart's end of both.
#[test]
fn slow_links_on_both_sides_of_a_service_are_its_own() {
    let verdict = verdict_on(&[Links("cart", 15.0)]);
    assert_eq!(named(&verdict), [("cart", Some(Network))]);
    assert_ms(verdict.root_causes[0].counterfactual_ms, CALM_MS);
}

/// db is two hops below front; cart waits for it, has more open connections while it does, and takes
/// longer itself. Restoring db alone, with cart's latents as they are, does not suffice.
#[test]
fn a_service_under_back_pressure_is_abnormal_and_not_accused() {
    let pressure = [Short("db", Cpu, 20.0), Pressed("cart", 0.5), Loud("cart", Network, 25.0)];
    let verdict = verdict_on(&pressure);
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    let of = |service: &str| verdict.services.iter().find(|s| s.service == service).unwrap();
    assert!(of("cart").abnormality > 5.0, "cart is as abnormal as can be");
    assert!(of("db").probability < 0.5, "cart's own slowness stays when db alone is normal");
    let cause = &verdict.root_causes[0];
    assert!(cause.probability > 0.5, "but not when it was pressure from db: {cause:?}");
}

#[test]
fn two_culprits_that_are_needed_together_are_both_named_the_worse_one_first() {
    let verdict = verdict_on(&[Short("ads", Disk, 25.0), Short("db", Cpu, 40.0)]);
    assert_eq!(named(&verdict), [("db", Some(Cpu)), ("ads", Some(Disk))]);
    // Each alone is not enough, and both together are.
    let alone: Vec<f64> = verdict.root_causes.iter().map(|c| c.counterfactual_ms).collect();
    assert_ms(alone[0], CALM_MS + 25.0);
    assert_ms(alone[1], CALM_MS + 40.0);
    assert!(verdict.root_causes.iter().all(|c| c.probability > 0.9));
}

/// Most of a violation goes away with db, so that what is left is within what a counterfactual of so much is wrong
/// by. It is all there because of ads.
#[test]
fn what_one_culprit_almost_explains_and_two_explain_is_the_work_of_two() {
    let verdict = verdict_on(&[Short("db", Cpu, 200.0), Short("ads", Disk, 8.0)]);
    assert_eq!(named(&verdict), [("db", Some(Cpu)), ("ads", Some(Disk))]);
    assert!(verdict.root_causes[1].probability > 0.9);
}

/// Everybody is a little slow, nobody else enough to be noticed.
#[test]
fn what_one_culprit_almost_explains_is_its_work_where_nobody_else_is_slow() {
    let slow = ["ads", "cache", "cart", "front", "search"].map(|service| Short(service, Cpu, 0.95));
    let troubles: Vec<Trouble> = slow.into_iter().chain([Short("db", Cpu, 200.0)]).collect();
    let mut scene = Scene::after_calm(&troubles);
    scene.targets[0].target_ms = 29.5;
    let verdict = scene.verdict();
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    assert!(verdict.root_causes[0].counterfactual_ms > 29.5);
}

#[test]
fn three_culprits_that_are_needed_together_are_all_named() {
    let three = [Short("ads", Disk, 25.0), Short("db", Cpu, 40.0), Bug("search", 60.0)];
    let verdict = verdict_on(&three);
    assert_eq!(named(&verdict), [("search", None), ("db", Some(Cpu)), ("ads", Some(Disk))]);
}

#[test]
fn of_two_culprits_either_of_which_suffices_the_more_effective_one_is_named() {
    let verdict = verdict_on(&[Short("ads", Disk, 4.0), Short("db", Cpu, 5.0)]);
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
}

/// Both suffice, and the bug in ads is even a little worse.
#[test]
fn a_service_with_a_metric_for_a_witness_is_preferred_to_one_that_only_its_latents_accuse() {
    let verdict = verdict_on(&[Bug("ads", 5.0), Short("db", Cpu, 4.5)]);
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
}

/// Where several are to blame, too: cart takes as much longer as its callee db does, and no metric
/// says why.
#[test]
fn among_several_culprits_a_caller_without_evidence_is_taken_for_pressure_from_below() {
    let troubles = [Short("db", Cpu, 40.0), Pressed("cart", 1.0), Short("ads", Disk, 30.0)];
    let verdict = verdict_on(&troubles);
    assert_eq!(named(&verdict), [("db", Some(Cpu)), ("ads", Some(Disk))]);
}

#[test]
fn a_bug_has_a_service_and_no_resource() {
    let verdict = verdict_on(&[Bug("cart", 30.0)]);
    assert_eq!(verdict.outcome, Some(Outcome::RootCause));
    assert_eq!(named(&verdict), [("cart", None)]);
    assert!(verdict.root_causes[0].metrics.is_empty(), "no metric is abnormal");
}

#[test]
fn a_loud_harmless_bystander_is_not_accused() {
    let loud = [Loud("ads", Disk, 200.0), Loud("front", Cpu, 200.0)];
    for trouble in [Short("db", Cpu, 30.0), Bug("db", 30.0), Inward("db", 30.0)] {
        let verdict = verdict_on(&[loud[0], loud[1], trouble]);
        assert_eq!(verdict.root_causes.len(), 1, "{trouble:?}");
        assert_eq!(verdict.root_causes[0].service, "db", "{trouble:?}");
    }
}

/// The model has learnt that such a metric costs latency. It did not this time: ads is as fast as
/// ever, so it is no culprit, and nobody asks what restoring it would bring.
#[test]
fn a_bystander_is_not_accused_even_when_the_model_believes_its_metric() {
    let mut scene = Scene::after_calm(&[Short("db", Cpu, 20.0), Loud("ads", Disk, 21.0)]);
    scene.mechanism.as_mut().unwrap().believed = Some("ads");
    let verdict = scene.verdict();
    let ads = verdict.services.iter().find(|s| s.service == "ads").unwrap();
    assert_ms(ads.counterfactual_ms, verdict.qos.as_ref().unwrap().observed_ms);
    assert_eq!(ads.probability, 0.0, "it is as fast as ever");
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
}

#[test]
fn a_loud_bystander_alone_violates_nothing() {
    let verdict = verdict_on(&[Loud("ads", Disk, 200.0)]);
    assert_eq!(verdict.outcome, Some(Outcome::QosMet));
    assert!(verdict.root_causes.is_empty());
    assert_ms(verdict.qos.unwrap().observed_ms, CALM_MS);
}

#[test]
fn a_violation_that_nothing_removes_is_unexplained() {
    let mut scene = Scene::after_calm(&[Short("db", Cpu, 30.0)]);
    scene.mechanism.as_mut().unwrap().is_deaf = true;
    let verdict = scene.verdict();
    assert_eq!(verdict.outcome, Some(Outcome::Unexplained));
    assert!(verdict.root_causes.is_empty() && verdict.path.is_empty());
    assert_eq!(verdict.services.len(), 6, "what was tried is shown all the same");
}

/// Nobody is slow by itself: the target is simply below what the application ever did.
#[test]
fn an_unreachable_target_accuses_nobody() {
    let mut scene = Scene::new(history(&[(CALM, &[])]), alert(CALM - 1));
    scene.targets.clear();
    scene.alert.annotations.insert("sage_target_ms".into(), "10".into());
    let verdict = scene.verdict();
    assert_eq!(named(&verdict), []);
    assert_ne!(verdict.outcome, Some(Outcome::RootCause));
}

#[test]
fn without_a_model_the_baseline_names_the_service() {
    for trouble in [Short("db", Cpu, 30.0), Bug("db", 30.0)] {
        let mut scene = Scene::after_calm(&[trouble]);
        scene.mechanism = None;
        let verdict = scene.verdict();
        assert_eq!(verdict.outcome, Some(Outcome::NoModel));
        assert!(verdict.root_causes.is_empty() && verdict.services.is_empty());
        assert_eq!(verdict.robust_baseline[0].service, "db");
        assert!(verdict.robust_baseline[0].score > 10.0 * verdict.robust_baseline[1].score);
    }
}

#[test]
fn a_model_that_does_not_know_the_service_says_so() {
    let mut scene = Scene::after_calm(&[Short("db", Cpu, 30.0)]);
    // The service came after the model was trained.
    for frame in &mut scene.history {
        let mut renamed = (**frame).clone();
        for rpc in &mut renamed.rpcs {
            if &*rpc.key.callee == "front" {
                rpc.key.callee = "front-v2".into();
            }
        }
        renamed.rpcs.sort_by(|a, b| a.key.cmp(&b.key));
        *frame = renamed.into();
    }
    scene.targets[0].service = "front-v2".into();
    scene.alert.labels.insert("service".into(), "front-v2".into());
    let verdict = scene.verdict();
    assert_eq!(verdict.outcome, Some(Outcome::NotEnoughData));
    assert!(verdict.notes["model"].contains("does not know"), "{:?}", verdict.notes);
    assert!(!verdict.robust_baseline.is_empty(), "the baseline needs no model");
}
