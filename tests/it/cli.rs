//! What a person at a terminal sees.

use std::process::Output;

use crate::support::sage;

fn run(args: &[&str]) -> Output {
    sage().args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_fault_of_a_file_is_named_at_once() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sage.toml");
    std::fs::write(
        &file,
        r#"
        [listen]
        htpp = "127.0.0.1:7243"
        otlp_grpc = "here"
        [window]
        interval = "10 ms"
        history = -1
        [grafana]
        panel_id = 3
        [[qos]]
        service = ""
        quantile = 99
        target_ms = 20
        [nonsense]
        "#,
    )
    .unwrap();
    let output = run(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let text = err(&output);
    for hint in ["htpp", "otlp_grpc", "interval", "history", "panel_id", "quantile", "nonsense"] {
        assert!(text.contains(hint), "{hint} is missing in:\n{text}");
    }
    assert!(text.contains(file.to_str().unwrap()), "{text}");
    // `serve` refuses the same file in the same words.
    let serve = run(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!((serve.status.code(), err(&serve)), (Some(64), text));
}

#[test]
fn a_good_file_passes_and_can_be_printed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sage.toml");
    std::fs::write(&file, "[window]\ninterval = \"15s\"\n[grafana]\ntoken = \"glsa_x\"\n").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(run(&["check", path]).status.code(), Some(0));
    let printed = run(&["check", "--print", path]);
    let text = out(&printed);
    assert!(text.contains("interval = \"15s\"") && text.contains("[listen]"), "{text}");
    assert!(!text.contains("glsa_x"), "a secret is printed");
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"][..], 0),
        (&["serve", "--help"][..], 0),
        (&[][..], 64),
        (&["sevre"][..], 64),
        (&["serve", "--config", "/nonexistent/sage.toml"][..], 64),
        (&["check", "/nonexistent/sage.toml"][..], 64),
        (&["lab", "replay", "/nonexistent"][..], 64),
        (&["lab", "accuracy", "--app", "random:2"][..], 64),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", err(&output));
        if code != 0 {
            assert!(!err(&output).is_empty(), "{args:?} says nothing");
        }
    }
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let text = out(&run(&["--help"]));
    for word in ["serve", "demo", "check", "lab", "Examples", "Exit codes", "64"] {
        assert!(text.contains(word), "{word} is missing in:\n{text}");
    }
}
