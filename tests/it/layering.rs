//! Stages meet in plain data only: who may use whom, checked against the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The table of ARCHITECTURE.md: module, and the modules of this crate that it may name.
const ALLOWED: &[(&str, &str)] = &[
    // Ground: no knowledge of any stage.
    ("data", "duration hash"),
    ("stats", ""),
    ("duration", ""),
    ("hash", ""),
    ("parallel", ""),
    ("secret", ""),
    ("client", "secret"),
    ("queue", ""),
    ("http", "observe"),
    ("observe", ""),
    ("memory", "observe"),
    ("toml_file", ""),
    ("wire", "data duration"),
    ("delivery", "data"),
    // Stages side by side. `graph` is the vocabulary that model, diagnose and report share.
    ("receive", "data delivery hash memory observe queue"),
    ("window", "data duration hash memory observe queue stats"),
    ("graph", "data"),
    ("model", "data duration graph observe parallel stats"),
    ("diagnose", "data delivery duration graph observe parallel stats"),
    ("report", "client data graph observe secret"),
    ("store", "data observe"),
    ("act", "client data duration observe secret wire"),
    // Beyond the privilege border: a program of its own, which no stage and no task may use.
    ("helper", "data duration toml_file wire"),
    // The rim.
    (
        "config",
        "act data diagnose duration graph http memory model observe receive report toml_file window",
    ),
    (
        "app",
        "act config data delivery diagnose graph http memory model observe queue receive report store window",
    ),
    ("backfill", "client data receive"),
    // The proving ground: nobody but the commands may use it.
    ("lab", "config data diagnose graph model parallel receive stats window wire"),
    ("demo", "config data lab report stats"),
    ("cli", "app backfill client config data demo duration lab observe secret"),
];

fn sources(at: &Path, found: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in std::fs::read_dir(at).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if at.extension().is_some_and(|e| e == "rs") {
        found.push(at.to_path_buf());
    }
}

/// Every `crate::name` and `crate::{name, …}` of a source text.
fn named(text: &str) -> BTreeSet<String> {
    let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(names.insert(word(rest))),
            Some(group) => {
                let (mut depth, mut start) = (0, true);
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() => {
                            names.insert(word(&group[i..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[test]
fn nobody_uses_what_the_table_does_not_allow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(m, uses)| (*m, uses.split_whitespace().collect())).collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &files {
        let below = file.strip_prefix(&root).unwrap();
        let first = below.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_string();
        if ["lib", "bin"].contains(&module.as_str()) {
            continue;
        }
        let Some(uses) = allowed.get(module.as_str()) else {
            faults.push(format!("{module} is not in the table"));
            continue;
        };
        for name in named(&std::fs::read_to_string(file).unwrap()) {
            if name != module && !uses.contains(name.as_str()) {
                faults.push(format!("{} uses {name}", below.display()));
            }
        }
        seen.insert(module);
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let unused: Vec<_> = allowed.keys().filter(|m| !seen.contains(**m)).collect();
    assert!(unused.is_empty(), "no such module: {unused:?}");
}

/// Functions and types live in files that say what they are for; `mod.rs` only lists them.
#[test]
fn module_files_define_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files.iter().filter(|f| f.ends_with("mod.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let word = line.trim_start_matches("pub ").split(' ').next().unwrap();
            let defines = ["fn", "struct", "enum", "trait", "impl", "const", "static"];
            assert!(!defines.contains(&word), "{}: {line}", file.display());
        }
    }
}
