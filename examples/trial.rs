use sage::lab::{
    sim::{self, self as apps},
    *,
};
use std::time::{Duration, Instant};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let app = a.get(1).map(|s| s.as_str()).unwrap_or("social");
    let train: usize = a.get(2).and_then(|s| s.parse().ok()).unwrap_or(400);
    let test: usize = a.get(3).and_then(|s| s.parse().ok()).unwrap_or(300);
    let seed: u64 = a.get(4).and_then(|s| s.parse().ok()).unwrap_or(1);
    let usage = a.iter().any(|s| s == "usage");
    let verbose = a.iter().any(|s| s == "-v");
    let spec = match app {
        "social" => apps::social_network(),
        "chain" => apps::chain(),
        "fanout" => apps::fanout(),
        "media" => apps::media_service(),
        "hotel" => apps::hotel_reservation(),
        n => apps::random_graph(n.parse().unwrap(), seed),
    };
    let t0 = Instant::now();
    let trial = Trial {
        spec: spec.clone(),
        observe: sim::SimConfig {
            trace_ratio: 0.1,
            usage_metrics_only: usage,
            ..Default::default()
        },
        interval: Duration::from_secs(30),
        train,
        test,
        seed,
        weather: Weather::default(),
    };
    let o = run_trial(&trial, &|| t0.elapsed().as_secs_f64()).unwrap();
    let s = o.score;
    println!(
        "{app} seed {seed} target {:.1} cases {} top1 {:.3} both {:.3} exact {:.3} fp {:.3} fn {:.3} silent {:.3} | baro {:.3} | r2 {:.3} log {:.3} prior {:.3} rmse {:.1} | train {:.1}s diag {:.1}ms total {:.1}s rpcs {} ",
        o.target.target_ms,
        s.cases,
        s.share(s.service),
        s.share(s.both),
        s.share(s.exact),
        s.share(s.false_positive),
        s.share(s.false_negative),
        s.share(s.silent),
        o.baseline.share(o.baseline.service),
        o.quality.r2,
        o.quality.r2_log,
        o.quality.r2_prior,
        o.quality.rmse_ms,
        o.train_seconds,
        o.diagnose_ms,
        t0.elapsed().as_secs_f64(),
        o.model.net.rpcs.len()
    );
    if verbose {
        println!(
            "{:?}",
            o.model.features.features.iter().map(|f| (f.name.clone(), f.kept)).collect::<Vec<_>>()
        );
        for c in &o.cases {
            let ok = c.named.first().is_some_and(|(s, r)| c.blame.names_resource(*s, *r));
            if ok && c.blame.is_exactly(&c.named.iter().map(|n| n.0).collect::<Vec<_>>()) {
                continue;
            }
            let f = |fs: &[sim::Fault]| {
                fs.iter()
                    .map(|f| {
                        format!("{}:{}:{:.1}", spec.services[f.service].name, f.kind, f.strength)
                    })
                    .collect::<Vec<_>>()
                    .join(",")
            };
            println!(
                "---- {} load {:.2} faults [{}] blame [{}] alt {} without {:.0}",
                if ok { "INEXACT" } else { "WRONG" },
                c.minute.load,
                f(&c.minute.faults),
                f(&c.blame.faults),
                c.blame.alternatives,
                c.blame.without_ms
            );
            let v = &c.verdict;
            println!(
                "  {:?} {:?} obs {:.0} named {:?}",
                v.outcome,
                v.notes,
                v.qos.as_ref().unwrap().observed_ms,
                v.root_causes
                    .iter()
                    .map(|c| format!(
                        "{} {:?} p{:.2} cf{:.0} {:?}",
                        c.service,
                        c.resource,
                        c.probability,
                        c.counterfactual_ms,
                        c.metrics
                            .iter()
                            .take(3)
                            .map(|m| format!("{} {:.3}/{:.3}", m.name, m.observed, m.normal))
                            .collect::<Vec<_>>()
                    ))
                    .collect::<Vec<_>>()
            );
            for s in v.services.iter().take(5) {
                println!(
                    "    {} cf {:.1} p {:.2} z {:.1}",
                    s.service, s.counterfactual_ms, s.probability, s.abnormality
                );
            }
            for f in &c.blame.faults {
                if let Some(s) =
                    v.services.iter().find(|s| s.service == spec.services[f.service].name)
                {
                    println!(
                        "    TRUE {} cf {:.1} p {:.2} z {:.1}",
                        s.service, s.counterfactual_ms, s.probability, s.abnormality
                    );
                }
            }
        }
    }
}
