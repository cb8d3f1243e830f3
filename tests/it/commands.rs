//! The commands a newcomer tries first, as a newcomer would: the real binary, its output, its score.

use serde_json::Value;

use crate::support::{missing_peer, sage};

fn output_of(args: &[&str]) -> String {
    let output = sage().args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}\n{complained}");
    said
}

/// The last word of the line that begins with `name`, as a number.
fn percent(said: &str, name: &str) -> f64 {
    let line = said.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{said}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    words[words.len() - 2].parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Fewer intervals to learn from than the command takes by itself, so a little less is asked of it.
#[test]
fn the_demo_finds_what_it_injects() {
    let said = output_of(&["demo", "--seed", "11", "--intervals", "150"]);
    assert!(percent(&said, "right service ") >= 85.0, "{said}");
    assert!(percent(&said, "right service + resource") >= 75.0, "{said}");
    let noise = said.lines().find(|l| l.starts_with("harmless noise")).unwrap();
    assert!(noise.ends_with("in 0"), "{said}");
}

#[test]
fn accuracy_is_measured_and_printed() {
    let args =
        ["lab", "accuracy", "--app", "chain", "--seed", "4", "--train", "150", "--test", "100"];
    let said = output_of(&args);
    let row: Vec<&str> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..2], ["chain", "Sage"], "{said}");
    let [cases, service]: [f64; 2] = [row[2], row[3]].map(|v| v.parse().unwrap());
    assert!(cases >= 5.0 && service >= 0.8, "{said}");
}

/// The smallest form of a study: table, files, and going on where it was.
#[test]
fn a_quick_study_leaves_a_table_and_a_figure_and_is_not_done_twice() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let args = ["lab", "training-size", "--quick", "--test", "20", "--out", dir];
    let said = output_of(&args);
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("training-size.json")).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((rows.len(), lines.len()), (2, 3), "{said}");
    for (row, line) in rows.iter().zip(&lines[1..]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(row["application"], words[0], "{said}");
        assert_eq!(row["intervals"].to_string(), words[1], "{said}");
    }
    assert_eq!(read("training-size.csv").lines().count(), 3);
    let svg = read("training-size.svg");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    // Times would differ if anything were computed again.
    let again = sage().args(args).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), said);
    let complained = String::from_utf8_lossy(&again.stderr);
    assert!(complained.contains("2 parts were in"), "{complained}");
}

/// Two updates and little data: that everything is there, that a partial retraining trains a part, and that
/// what was finished once is not computed again.
#[test]
fn updates_are_replayed_and_written_down() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let args = ["lab", "updates", "--quick", "--seed", "3", "--out", dir];
    let said = output_of(&args);
    assert!(said.contains("partial+incremental"), "{said}");
    let read = |file: &str| std::fs::read_to_string(home.path().join(file)).unwrap();
    let written: Value = serde_json::from_str(&read("updates.json")).unwrap();
    let rows = written["rows"].as_array().unwrap();
    // The first model; then two updates and both together, four policies, three places.
    assert_eq!(rows.len(), 1 + 3 * 4 * 3, "{said}");
    assert_eq!(read("updates.csv").lines().count(), 1 + rows.len());
    let trainings = written["more"][1]["rows"].as_array().unwrap();
    let is_of_the_update = |t: &&Value| {
        let reason = t["reason"].as_str().unwrap();
        t["policy"] == "partial+incremental" && reason.contains("hashtag-service is new")
    };
    let first = trainings.iter().find(is_of_the_update).unwrap_or_else(|| panic!("{said}"));
    let (some, all) = (first["services"].as_u64().unwrap(), first["of"].as_u64().unwrap());
    assert!(some >= 3 && some < all / 2, "{first}");
    let svg = read("updates.svg");
    assert!(svg.starts_with("<svg ") && svg.contains("from scratch"), "{svg}");
    // Times would differ if anything were computed again. The last update is; it begins with the models
    // that were kept.
    let cells = home.path().join("cells");
    let parts = || std::fs::read_dir(&cells).unwrap().map(|e| e.unwrap().path());
    let is_last =
        |p: &std::path::PathBuf| std::fs::read_to_string(p).unwrap().contains(r#""part":"B""#);
    let last: Vec<_> = parts().filter(is_last).collect();
    assert_eq!((last.len(), parts().count()), (1, 4));
    std::fs::remove_file(&last[0]).unwrap();
    let again = sage().args(args).output().unwrap();
    let complained = String::from_utf8_lossy(&again.stderr);
    assert!(complained.contains("3 parts were in"), "{complained}");
    let again: Value = serde_json::from_str(&read("updates.json")).unwrap();
    assert_eq!(again["rows"], written["rows"], "a resumed replay goes on as if it had not stopped");
    let of_a = |json: &Value| {
        let rows = json["more"][1]["rows"].as_array().unwrap().clone();
        rows.into_iter().filter(|t| t["update"] == "A").collect::<Vec<_>>()
    };
    assert_eq!(of_a(&again), of_a(&written));
}

/// Spans, metrics and faults of a real application.
#[test]
fn recorded_faults_of_a_real_system_are_found() {
    let Ok(recording) = std::env::var("SAGE_RECORDING") else {
        eprintln!(
            "skipped: SAGE_RECORDING does not name a directory with the Nezha recording of Online \
             Boutique"
        );
        return;
    };
    if !std::path::Path::new(&recording).join("faults.csv").exists() {
        missing_peer(&format!("SAGE_RECORDING={recording} has no faults.csv"));
        return;
    }
    let said = output_of(&["lab", "replay", &recording]);
    let score: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let share =
        |part: &str, whole: &str| score[part].as_f64().unwrap() / score[whole].as_f64().unwrap();
    assert!(score["faults"].as_u64().unwrap() > 30, "{score}");
    assert!(share("service_top1", "faults") >= 0.95, "{said}");
    assert!(share("service_resource_top1", "faults") >= 0.9, "{said}");
    assert!(share("false_alarms", "quiet") <= 0.1, "{said}");
}
