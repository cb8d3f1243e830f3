//! Injected against diagnosed, line by line.
#![allow(clippy::print_stdout, reason = "the answer of the command")]

use serde_json::Value;

use crate::data::Resource;
use crate::lab::sim::{AppSpec, Fault};
use crate::lab::{Blame, Named, Score};
use crate::report::ms;

/// One scenario and its answer.
#[derive(Debug)]
pub struct Verdict {
    /// What was injected.
    pub injected: Vec<Fault>,
    /// Who is to blame; `None` when nothing harmful was injected.
    pub blame: Option<Blame>,
    /// What was named.
    pub named: Named,
    /// The diagnosis.
    pub diagnosis: Value,
}

impl Verdict {
    /// Reads the answer.
    pub fn new(
        spec: &AppSpec,
        injected: Vec<Fault>,
        blame: Option<Blame>,
        diagnosis: Value,
    ) -> Self {
        let causes = diagnosis["root_causes"].as_array().cloned().unwrap_or_default();
        let named = causes
            .iter()
            .filter_map(|c| {
                let name = c["service"].as_str()?;
                let resource: Option<Resource> =
                    serde_json::from_value(c["resource"].clone()).unwrap_or_default();
                Some((spec.services.iter().position(|s| s.name == name)?, resource))
            })
            .collect();
        Self { injected, blame, named, diagnosis }
    }

    /// Whether the first service is right; for harmless noise, whether nobody is accused.
    pub fn is_service_right(&self) -> bool {
        match &self.blame {
            Some(blame) => self.named.first().is_some_and(|(s, _)| blame.names(*s)),
            None => self.named.is_empty(),
        }
    }

    /// Whether its resource is right, too.
    pub fn is_right(&self) -> bool {
        match &self.blame {
            Some(blame) => self.named.first().is_some_and(|(s, r)| blame.names_resource(*s, *r)),
            None => self.named.is_empty(),
        }
    }
}

/// Column heads.
pub fn print_head(target: &str) {
    println!();
    println!("{target}");
    println!();
    println!("{:<48} {:<42} {:>8} {:>11}", "injected", "diagnosed", "observed", "had it");
    println!("{:<48} {:<42} {:>8} {:>11}", "", "", "p99", "been normal");
}

/// One line.
pub fn print_row(spec: &AppSpec, v: &Verdict) {
    let injected: Vec<String> = v
        .injected
        .iter()
        .map(|f| {
            let harmless = if f.kind.is_bystander() { " (harmless)" } else { "" };
            format!("{} {}{harmless}", spec.services[f.service].name, f.kind)
        })
        .collect();
    let named: Vec<String> = v
        .named
        .iter()
        .map(|(s, r)| {
            let resource = r.map_or("not a resource".to_string(), |r| r.to_string());
            format!("{} {resource}", spec.services[*s].name)
        })
        .collect();
    let outcome = v.diagnosis["outcome"].as_str().unwrap_or("failed");
    let observed = v.diagnosis["qos"]["observed_ms"].as_f64().map_or_else(|| "-".into(), ms);
    let normal =
        v.diagnosis["root_causes"][0]["counterfactual_ms"].as_f64().map_or_else(|| "-".into(), ms);
    let mark = match (v.is_right(), v.is_service_right()) {
        (true, _) => "right",
        (false, true) => "service right",
        _ => "WRONG",
    };
    let lines = injected.len().max(named.len()).max(1);
    for line in 0..lines {
        let left = injected.get(line).map_or("", String::as_str);
        let right = match named.get(line) {
            Some(name) => name.clone(),
            None if line == 0 => format!("nobody ({outcome})"),
            None => String::new(),
        };
        if line == 0 {
            println!("{left:<48} {right:<42} {observed:>8} {normal:>11}   {mark}");
        } else {
            println!("{}", format!("{left:<48} {right}").trim_end());
        }
    }
}

/// The sum of it all.
pub fn print_score(verdicts: &[Verdict]) {
    let mut score = Score::default();
    for v in verdicts {
        if let Some(blame) = &v.blame {
            score.add(blame, &v.named);
        }
    }
    let harmless = verdicts.iter().filter(|v| v.blame.is_none()).count();
    let accused = verdicts.iter().filter(|v| v.blame.is_none() && !v.named.is_empty()).count();
    let share = |part: usize| 100.0 * score.share(part);
    println!();
    println!("violations               {:>3}", score.cases);
    println!("right service            {:>3}  {:>5.1} %", score.service, share(score.service));
    println!("right service + resource {:>3}  {:>5.1} %", score.both, share(score.both));
    println!("all culprits, no other   {:>3}  {:>5.1} %", score.exact, share(score.exact));
    println!("harmless noise           {harmless:>3}, somebody accused in {accused}");
    let took: Vec<f64> = verdicts.iter().filter_map(|v| v.diagnosis["took_ms"].as_f64()).collect();
    if let Some(median) = crate::stats::median(took) {
        println!("median diagnosis         {median:>7.1} ms");
    }
}
