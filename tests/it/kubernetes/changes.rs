//! What is changed, and taken back whatever happens meanwhile.

use sage::act::{Command, Config, Word};
use sage::data::{Outside, Resource};
use serde_json::json;

use super::scene::{
    HPA, Hand, LEAST, LIMIT, OTHER_RESIZE, PODS, REPLICAS, RESIZE, SCALE, add_autoscaler, ask,
    cluster, grown, pod, reverted, scale,
};
use crate::support::kubernetes::ApiServer;

#[tokio::test]
async fn a_deployment_is_scaled_and_scaled_back() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    for _ in 0..2 {
        // Asked twice, as after an answer that was lost.
        assert_eq!(hand.does(Command::Apply).await, Word::InForce);
        assert_eq!(server.at(SCALE, REPLICAS), 3);
    }
    assert_eq!(hand.does(Command::Renew).await, Word::InForce);
    for _ in 0..2 {
        assert_eq!(hand.does(Command::Revert).await, reverted());
        assert_eq!(server.at(SCALE, REPLICAS), 2);
    }
}

#[tokio::test]
async fn an_autoscaler_is_moved_instead_of_the_deployment() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    add_autoscaler(&server);
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    assert_eq!((server.at(HPA, LEAST), server.at(SCALE, REPLICAS)), (json!(3), json!(2)));
    assert_eq!(hand.does(Command::Revert).await, reverted());
    assert_eq!(server.at(HPA, LEAST), 1);
}

#[tokio::test]
async fn a_pod_is_given_more_in_place_and_made_small_again() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    for (resource, at, to) in [
        (Resource::Cpu, LIMIT, "750m"),
        (Resource::Memory, "/spec/containers/0/resources/limits/memory", "384Mi"),
    ] {
        let change = grown(&config, resource).await;
        let hand = Hand::new(&config, &change);
        let old = server.at(RESIZE, at);
        assert_eq!(hand.does(Command::Apply).await, Word::InForce);
        assert_eq!(server.at(RESIZE, at), to);
        assert_eq!(hand.does(Command::Revert).await, reverted());
        assert_eq!(server.at(RESIZE, at), old);
    }
    assert_eq!(server.at(RESIZE, "/spec/containers/0/resources/requests/cpu"), "250m");
}

#[tokio::test]
async fn what_somebody_else_has_set_stays() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    // Between plan and change,
    server.set(SCALE, REPLICAS, json!(1));
    let word = hand.does(Command::Apply).await;
    assert!(
        matches!(&word, Word::Refused(why) if why.contains("since this was planned")),
        "{word:?}"
    );
    assert_eq!(server.at(SCALE, REPLICAS), 1);
    // between our look and our write,
    server.set(SCALE, REPLICAS, json!(2));
    server.state.lock().unwrap().meanwhile = Some((SCALE.into(), REPLICAS.into(), json!(7)));
    let word = hand.does(Command::Apply).await;
    assert!(matches!(&word, Word::Refused(why) if why.contains("to 7")), "{word:?}");
    assert_eq!(server.at(SCALE, REPLICAS), 7);
    // while it is in force,
    server.set(SCALE, REPLICAS, json!(2));
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    server.set(SCALE, REPLICAS, json!(4));
    let word = hand.does(Command::Renew).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    // and when it is taken back.
    let word = hand.does(Command::Revert).await;
    assert!(matches!(&word, Word::Reverted(note) if note.contains("that stays")), "{word:?}");
    assert_eq!(server.at(SCALE, REPLICAS), 4);
}

#[tokio::test]
async fn another_pod_under_the_same_name_is_let_alone() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = grown(&config, Resource::Cpu).await;
    let hand = Hand::new(&config, &change);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    server.set(RESIZE, "/metadata/uid", json!("11111111-d9cb-469f-a165-70867728950e"));
    let word = hand.does(Command::Renew).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    let word = hand.does(Command::Revert).await;
    assert!(matches!(&word, Word::Reverted(note) if note.contains("is gone")), "{word:?}");
    assert_eq!(server.at(RESIZE, LIMIT), "750m");
}

const OTHER_UID: &str = "22222222-d9cb-469f-a165-70867728950e";

/// A second replica of the deployment, and both grown in the plan.
async fn two_pods(server: &ApiServer, config: &Config) -> Vec<Outside> {
    let mut other = pod();
    other["metadata"]["name"] = json!("redis-7c9-x2");
    other["metadata"]["uid"] = json!(OTHER_UID);
    server.put(PODS, json!({"kind": "PodList", "items": [pod(), other.clone()]}));
    server.put(OTHER_RESIZE, other);
    let outlook = ask(config, Resource::Cpu).await;
    outlook.resizables.iter().map(|pod| pod.grow(1.5).unwrap().0).collect()
}

#[tokio::test]
async fn one_pod_that_does_not_shrink_again_does_not_keep_the_others() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let changes = two_pods(&server, &config).await;
    let hand = Hand::of_several(&config, &changes);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    let limits = || (server.at(RESIZE, LIMIT), server.at(OTHER_RESIZE, LIMIT));
    assert_eq!(limits(), (json!("750m"), json!("750m")));
    server.state.lock().unwrap().guarded.insert(RESIZE.into());
    let word = hand.does(Command::Revert).await;
    assert!(matches!(&word, Word::NotReverted(why) if why.contains("quota")), "{word:?}");
    assert_eq!(limits(), (json!("750m"), json!("500m")));
    server.state.lock().unwrap().guarded.clear();
    assert_eq!(hand.does(Command::Revert).await, reverted());
    assert_eq!(limits(), (json!("500m"), json!("500m")));
}

#[tokio::test]
async fn one_pod_that_goes_does_not_end_what_the_others_were_given() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let changes = two_pods(&server, &config).await;
    let hand = Hand::of_several(&config, &changes);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    let remove = |path: &str| drop(server.state.lock().unwrap().objects.remove(path));
    remove(RESIZE);
    assert_eq!(hand.does(Command::Renew).await, Word::InForce);
    // Somebody else's value counts all the same.
    server.set(OTHER_RESIZE, LIMIT, json!("900m"));
    let word = hand.does(Command::Renew).await;
    assert!(
        matches!(&word, Word::Lost { is_foreign: true, why } if why.contains("900m")),
        "{word:?}"
    );
    server.set(OTHER_RESIZE, LIMIT, json!("750m"));
    let word = hand.does(Command::Revert).await;
    assert!(
        matches!(&word, Word::Reverted(note) if note.contains("x1/resize is gone")),
        "{word:?}"
    );
    assert_eq!(server.at(OTHER_RESIZE, LIMIT), "500m");
    remove(OTHER_RESIZE);
    let word = hand.does(Command::Renew).await;
    assert!(
        matches!(&word, Word::Lost { is_foreign: true, why } if why.contains("x2/resize is gone")),
        "{word:?}"
    );
}

#[tokio::test]
async fn a_write_that_lands_after_its_time_is_taken_back_too() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    server.state.lock().unwrap().is_slow = true;
    let word = hand.does(Command::Apply).await;
    assert!(matches!(&word, Word::Refused(why) if why.contains("no answer")), "{word:?}");
    // Whoever looks now sees the old value; the write comes right after.
    assert_eq!(server.at(SCALE, REPLICAS), 2);
    assert_eq!(hand.does(Command::Revert).await, reverted());
    assert!(server.state.lock().unwrap().late.is_none());
    assert_eq!(server.at(SCALE, REPLICAS), 2);
}
