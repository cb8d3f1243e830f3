//! Applications by name.

use super::paper::paper_apps;
use super::random_graph::{gateway, random_graph};
use crate::lab::sim::spec::AppSpec;

/// Services a generated application may have.
const SERVICES: std::ops::RangeInclusive<usize> = 5..=20_000;

/// The application of the paper of that name, or a generated one: `random:N` of N services, or
/// `random:N:SEED`; the same behind a gateway: `gateway:N` or `gateway:N:SEED`.
///
/// # Errors
/// What would have been understood.
pub fn named_app(name: &str) -> Result<AppSpec, String> {
    if let Some(spec) = paper_apps().into_iter().find(|a| a.name == name) {
        return Ok(spec);
    }
    let (kind, numbers) = name.split_once(':').unwrap_or((name, ""));
    let (services, seed) = numbers.split_once(':').unwrap_or((numbers, "1"));
    match (kind, services.parse(), seed.parse()) {
        ("random", Ok(n), Ok(seed)) if SERVICES.contains(&n) => Ok(random_graph(n, seed)),
        ("gateway", Ok(n), Ok(seed)) if SERVICES.contains(&n) => Ok(gateway(n, seed)),
        _ => {
            let known: Vec<String> = paper_apps().into_iter().map(|a| a.name).collect();
            let (least, most) = (SERVICES.start(), SERVICES.end());
            Err(format!(
                "not one of {}, random:N, random:N:SEED, gateway:N or gateway:N:SEED ({least} <= N <= {most})",
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
        assert_eq!(named_app("gateway:12:9").unwrap(), gateway(12, 9));
        assert_eq!(gateway(12, 9).services.len(), 12);
        for wrong in [
            "",
            "Chain",
            "gateway:4",
            "gateway",
            "random",
            "random:",
            "random:4",
            "random:12:x",
            "random:30000",
        ] {
            let why = named_app(wrong).unwrap_err();
            assert!(why.contains("hotel-reservation") && why.contains("random:N"), "{why}");
        }
    }
}
