//! Applications by name.

use super::paper::paper_apps;
use super::random_graph::random_graph;
use crate::lab::sim::spec::AppSpec;

/// Services a generated application may have.
const SERVICES: std::ops::RangeInclusive<usize> = 5..=20_000;

/// The application of the paper of that name, or a generated one: `random:N` of N services, or
/// `random:N:SEED`.
///
/// # Errors
/// What would have been understood.
pub fn named_app(name: &str) -> Result<AppSpec, String> {
    if let Some(spec) = paper_apps().into_iter().find(|a| a.name == name) {
        return Ok(spec);
    }
    let numbers = name.strip_prefix("random:").map(|n| n.split_once(':').unwrap_or((n, "1")));
    let parsed = numbers.and_then(|(n, seed)| Some((n.parse().ok()?, seed.parse().ok()?)));
    match parsed {
        Some((services, seed)) if SERVICES.contains(&services) => Ok(random_graph(services, seed)),
        _ => {
            let known: Vec<String> = paper_apps().into_iter().map(|a| a.name).collect();
            let (least, most) = (SERVICES.start(), SERVICES.end());
            Err(format!(
                "not one of {}, random:N or random:N:SEED ({least} <= N <= {most})",
                known.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_paper_and_of_generated_applications_are_understood() {
        assert_eq!(named_app("chain").unwrap().name, "chain");
        assert_eq!(named_app("random:12").unwrap(), random_graph(12, 1));
        assert_eq!(named_app("random:12:9").unwrap(), random_graph(12, 9));
        for wrong in ["", "Chain", "random", "random:", "random:4", "random:12:x", "random:30000"] {
            let why = named_app(wrong).unwrap_err();
            assert!(why.contains("hotel-reservation") && why.contains("random:N"), "{why}");
        }
    }
}
