//! `[grafana]`: where to show diagnoses.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Grafana annotations. Nothing is pushed without a URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Grafana's base URL, for example `http://grafana:3000`.
    pub url: Option<String>,
    /// Service-account token.
    pub token: Option<Secret>,
    /// File that holds the token; read at every start.
    pub token_file: Option<PathBuf>,
    /// Dashboard the regions belong to; without it they are organisation annotations.
    pub dashboard_uid: Option<String>,
    /// Panel of that dashboard.
    pub panel_id: Option<u64>,
}

impl Config {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if self.token.is_some() && self.token_file.is_some() {
            faults.push("grafana: set only one of token and token_file".into());
        }
        if let Some(url) = &self.url
            && let Err(why) = check_url(url)
        {
            faults.push(format!("grafana.url = {url:?}: {why}"));
        }
        if self.panel_id.is_some() && self.dashboard_uid.is_none() {
            faults.push("grafana.panel_id: needs dashboard_uid".into());
        }
        if let Some(path) = &self.token_file
            && let Err(e) = self.read_token()
        {
            faults.push(format!("grafana.token_file = {path:?}: {e}"));
        }
    }

    /// The token, from wherever it is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_token(&self) -> std::io::Result<Option<Secret>> {
        match &self.token_file {
            Some(path) => Ok(Some(Secret::new(std::fs::read_to_string(path)?.trim()))),
            None => Ok(self.token.clone()),
        }
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let uri: axum::http::Uri = url.parse().map_err(|e| format!("{e}"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(()),
        _ => Err("must be http://host[:port] or https://host[:port]".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_cannot_be_read_is_a_fault_that_names_it() {
        // A directory is there, and nobody can read it.
        let dir = tempfile::tempdir().unwrap();
        let config = Config { token_file: Some(dir.path().into()), ..Config::default() };
        let mut faults = Vec::new();
        config.faults(&mut faults);
        assert!(faults[0].contains(&dir.path().display().to_string()), "{faults:?}");
    }
}
