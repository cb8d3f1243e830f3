//! What is finished stays finished.

use std::cell::Cell;

use serde_json::json;

use crate::lab::study::Notebook;

/// Asks for a part and counts how often it is computed.
fn ask(notebook: &Notebook, params: &serde_json::Value, computed: &Cell<u32>) -> f64 {
    let compute = || {
        computed.set(computed.get() + 1);
        Ok(0.1 + f64::from(computed.get()))
    };
    notebook.part("study", params, compute).unwrap()
}

#[test]
fn a_finished_part_is_not_computed_again_and_other_parameters_are_another_part() {
    let home = tempfile::tempdir().unwrap();
    let computed = Cell::new(0);
    let (one, two) = (json!({ "app": "chain", "seed": 1 }), json!({ "app": "chain", "seed": 2 }));
    let first = ask(&Notebook::new(Some(home.path()), "b"), &one, &computed);
    let again = Notebook::new(Some(home.path()), "b");
    assert_eq!(ask(&again, &one, &computed), first);
    assert_eq!((computed.get(), again.remembered()), (1, 1));
    assert_ne!(ask(&again, &two, &computed), first);
    assert_eq!((computed.get(), again.remembered()), (2, 1));
}

#[test]
fn what_another_build_computed_is_computed_again() {
    let home = tempfile::tempdir().unwrap();
    let computed = Cell::new(0);
    for build in ["a", "b", "b"] {
        ask(&Notebook::new(Some(home.path()), build), &json!({}), &computed);
    }
    assert_eq!(computed.get(), 2);
}

#[test]
fn a_damaged_part_is_computed_again_and_a_failed_one_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let notebook = Notebook::new(Some(home.path()), "b");
    let failed = notebook.part::<f64>("study", &json!({}), || Err("no luck".into()));
    assert_eq!(failed.unwrap_err().to_string(), "no luck");
    let computed = Cell::new(0);
    ask(&notebook, &json!({}), &computed);
    let page = std::fs::read_dir(home.path().join("cells")).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(page.path()).unwrap();
    std::fs::write(page.path(), &text[..text.len() / 2]).unwrap();
    ask(&notebook, &json!({}), &computed);
    ask(&notebook, &json!({}), &computed);
    assert_eq!(computed.get(), 2);
}

#[test]
fn without_a_directory_nothing_is_kept() {
    let computed = Cell::new(0);
    let notebook = Notebook::new(None, "b");
    ask(&notebook, &json!({}), &computed);
    ask(&notebook, &json!({}), &computed);
    assert_eq!((computed.get(), notebook.remembered()), (2, 0));
}
