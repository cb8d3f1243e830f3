//! A model on disk and back, and what is refused.

use serde_json::{Value, json};

use super::town::{Town, brief, chain, mixed, throttling};
use crate::data::SavedModel;
use crate::graph::{Hypothesis, Mechanism as _, Query, Restore, What};
use crate::model::Model;

fn saved() -> (Town, Model, SavedModel) {
    let town = mixed(40, 51);
    let model = town.fit(&brief(7)).unwrap();
    let saved = model.save().unwrap();
    (town, model, saved)
}

/// The same checkpoint with one thing in its manifest changed.
fn with(saved: &SavedModel, change: impl Fn(&mut Value)) -> SavedModel {
    let mut manifest: Value = serde_json::from_str(&saved.manifest).unwrap();
    change(&mut manifest);
    SavedModel { manifest: manifest.to_string(), ..saved.clone() }
}

/// Why a checkpoint is refused.
#[track_caller]
fn refusal(saved: &SavedModel) -> String {
    let text = Model::load(saved).map(|_| ()).unwrap_err().to_string();
    assert!(text.starts_with("checkpoint refused: "), "{text}");
    text
}

#[test]
fn a_model_that_was_saved_and_loaded_gives_the_same_answers() {
    let (town, model, saved) = saved();
    let back = Model::load(&saved).unwrap();
    assert_eq!((&back.id, back.trained_at, back.intervals), (&model.id, model.trained_at, 40));
    assert!(back.evaluator == model.evaluator && back.features == model.features);
    let restores = (0..model.net.services.len()).map(|service| Query {
        restore: vec![Restore { service, what: What::All, nets: vec![] }],
        hypothesis: Hypothesis::BackPressure,
        draw: None,
    });
    let queries: Vec<Query> = restores.collect();
    let (seen, normal) = (&town.frames[5], &town.frames[1]);
    let (mine, theirs) = (model.abduct(seen, normal), back.abduct(seen, normal));
    let all: Vec<usize> = (0..model.net.rpcs.len()).collect();
    assert_eq!(theirs.answer(&queries, &all), mine.answer(&queries, &all));
    assert_eq!(theirs.situation(), mine.situation());
    assert_eq!(back.quality(), model.quality());
    assert!(back.save().unwrap() == saved, "saved again it is the same");
}

#[test]
fn a_checkpoint_of_another_format_is_refused() {
    let (.., saved) = saved();
    let text = refusal(&with(&saved, |m| m["format"] = json!(99)));
    assert!(text.contains("format 99") && text.contains(&saved.id), "{text}");
}

#[test]
fn a_checkpoint_of_networks_of_other_sizes_is_refused() {
    let (.., saved) = saved();
    let text = refusal(&with(&saved, |m| m["sizes"][2] = json!(77)));
    assert!(text.contains("sizes") && text.contains("77"), "{text}");
}

#[test]
fn a_checkpoint_whose_parts_belong_to_different_nets_is_refused() {
    let (.., saved) = saved();
    let fewer = with(&saved, |m| drop(m["rpcs"].as_array_mut().unwrap().pop()));
    assert!(refusal(&fewer).contains("its net has"), "{}", refusal(&fewer));
    let of_chain = chain(40, 52, throttling).fit(&brief(7)).unwrap().save().unwrap();
    let mixed_up = SavedModel { weights: of_chain.weights, ..saved };
    assert!(refusal(&mixed_up).contains("its net has"), "{}", refusal(&mixed_up));
}

/// As many RPCs, edges and networks, but one service less.
#[test]
fn weights_of_a_net_with_fewer_services_are_refused() {
    let fit = |last: &str| {
        let mut town = chain(40, 53, throttling);
        for frame in &mut town.frames {
            let rpc = frame.rpcs.iter_mut().find(|r| &*r.key.callee == "db").unwrap();
            rpc.key.callee = last.into();
            frame.rpcs.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let frames = town.frames();
        let graph =
            crate::graph::RpcGraph::learn(frames.iter().copied(), &crate::graph::Config::default());
        town.net = crate::graph::CausalNet::new(&graph);
        town.fit(&brief(7)).unwrap()
    };
    let (three, two) = (fit("db"), fit("cart"));
    assert_eq!((three.net.services.len(), two.net.services.len()), (3, 2));
    let mixed_up = SavedModel { weights: two.save().unwrap().weights, ..three.save().unwrap() };
    refusal(&mixed_up);
}

#[test]
fn weights_that_end_early_or_go_on_are_refused() {
    let (.., saved) = saved();
    let cut = |len: usize| SavedModel { weights: saved.weights[..len].to_vec(), ..saved.clone() };
    for len in [0, 3, 12, saved.weights.len() / 2, saved.weights.len() - 1] {
        assert!(refusal(&cut(len)).contains("weights end early"), "{}", refusal(&cut(len)));
    }
    let mut longer = saved.clone();
    longer.weights.push(0);
    assert!(refusal(&longer).contains("1 bytes left over"), "{}", refusal(&longer));
}

/// A shape that promises more values than there are bytes must not be believed.
#[test]
fn weights_that_promise_too_much_are_refused() {
    let (.., saved) = saved();
    for size in [u32::MAX, 1 << 30] {
        let mut forged = saved.clone();
        for word in 0..3 {
            forged.weights[4 * word..4 * word + 4].copy_from_slice(&size.to_le_bytes());
        }
        refusal(&forged);
    }
}

#[test]
fn a_manifest_that_is_no_manifest_is_refused() {
    let (.., saved) = saved();
    for manifest in ["", "{}", "not JSON", "[1, 2]"] {
        let text = refusal(&SavedModel { manifest: manifest.into(), ..saved.clone() });
        assert!(text.contains(&saved.id), "{text}");
    }
}
