//! Pushes one region annotation per diagnosis to Grafana: created, patched as it develops, closed at
//! resolve. Retried for as long as it takes, and nobody ever waits for it.
//!
//! What is pushed is read from the board at the moment it is pushed, so of several changes only the
//! last one travels. What a stop or a crash keeps from being pushed is pushed after the next start.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::annotation::{Annotation, annotation, tag_of};
use super::board::Board;
use super::config::Config;
use super::grafana_api::{Api, Failure};
use super::metrics::Metrics;
use crate::secret::Secret;

/// Diagnoses that may wait for Grafana; beyond it the one that waits longest is given up.
const WAITING_MAX: usize = 1000;
/// Pauses between attempts grow from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A region as Grafana has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Grafana's id of the annotation.
    pub number: i64,
    /// [`Annotation::fingerprint`] of what it shows.
    pub region: i64,
}

/// Keeps what has been pushed about a diagnosis; done once it is on disk.
pub type Remember =
    Box<dyn Fn(&str, Pushed) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Pushes the diagnoses of `board` whose ids come in as `news`, until they end. `known`: what the
/// last run pushed, by diagnosis.
pub async fn run(
    config: Config,
    token: Option<Secret>,
    mut news: mpsc::Receiver<String>,
    board: Board,
    known: HashMap<String, Pushed>,
    remember: Remember,
    metrics: Metrics,
) {
    let Some(url) = config.url.clone() else {
        while news.recv().await.is_some() {}
        return;
    };
    let mut pusher = Pusher { api: Api::new(&url, token), config, board, known, remember, metrics };
    let mut waiting = Waiting::default();
    for id in pusher.board.ids().into_iter().filter(|id| pusher.differs(id)) {
        pusher.metrics.given_up.inc_by(waiting.add(id));
    }
    let (mut pause, mut not_before) = (BACK_OFF.0, Instant::now());
    loop {
        pusher.metrics.waiting.set(i64::try_from(waiting.0.len()).unwrap_or(i64::MAX));
        tokio::select! {
            id = news.recv() => match id {
                Some(id) => {
                    pusher.metrics.given_up.inc_by(waiting.add(id));
                }
                None => return,
            },
            () = sleep_until(not_before), if !waiting.0.is_empty() => {
                let Some(id) = waiting.0.pop_front() else { continue };
                match pusher.push(&id).await {
                    Err(failure) if failure.is_passing() => {
                        tracing::warn!(%failure, retry_s = pause.as_secs(), "Grafana is not reachable");
                        pusher.metrics.retries.inc();
                        // Behind the others: it may be this one only that Grafana cannot take.
                        pusher.metrics.given_up.inc_by(waiting.add(id));
                        not_before = Instant::now() + pause;
                        pause = (pause * 2).min(BACK_OFF.1);
                        continue;
                    }
                    Err(failure) => {
                        tracing::error!(%failure, "Grafana refuses an annotation");
                        pusher.metrics.refused.inc();
                    }
                    Ok(()) => {}
                }
                pause = BACK_OFF.0;
            }
        }
    }
}

/// Ids of diagnoses, each once, the one that waits longest first.
#[derive(Default)]
struct Waiting(VecDeque<String>);

impl Waiting {
    /// Puts an id in; returns how many are given up for it.
    fn add(&mut self, id: String) -> u64 {
        if !self.0.contains(&id) {
            self.0.push_back(id);
        }
        let excess = self.0.len().saturating_sub(WAITING_MAX);
        self.0.drain(..excess).count() as u64
    }
}

struct Pusher {
    api: Api,
    config: Config,
    board: Board,
    known: HashMap<String, Pushed>,
    remember: Remember,
    metrics: Metrics,
}

impl Pusher {
    /// The region of a diagnosis, unless Grafana shows it as it is.
    fn news(&self, id: &str) -> Option<Annotation> {
        let region = annotation(&self.board.get(id)?)?;
        let is_news = self.known.get(id).is_none_or(|k| k.region != region.fingerprint());
        is_news.then_some(region)
    }

    fn differs(&self, id: &str) -> bool {
        self.news(id).is_some()
    }

    /// Creates or updates the region of a diagnosis. While its id is not known, Grafana is asked
    /// first: an earlier attempt, of an earlier run perhaps, may have succeeded without our hearing
    /// of it, and there must never be a second region.
    async fn push(&mut self, id: &str) -> Result<(), Failure> {
        let Some(region) = self.news(id) else { return Ok(()) };
        let number = match self.known.get(id) {
            Some(known) => Some(known.number),
            None => self.find(id).await?,
        };
        let number = match number {
            Some(number) => self.update(number, &region).await?,
            None => self.create(&region).await?,
        };
        let pushed = Pushed { number, region: region.fingerprint() };
        self.known.insert(id.to_string(), pushed);
        let kept: HashSet<String> = self.board.ids().into_iter().collect();
        self.known.retain(|id, _| kept.contains(id));
        (self.remember)(id, pushed).await;
        Ok(())
    }

    async fn find(&self, id: &str) -> Result<Option<i64>, Failure> {
        let path = format!("/api/annotations?limit=1&tags={}", tag_of(id));
        let found = self.api.call(Method::GET, &path, None).await?;
        Ok(found.pointer("/0/id").and_then(Value::as_i64))
    }

    async fn update(&self, number: i64, region: &Annotation) -> Result<i64, Failure> {
        let path = format!("/api/annotations/{number}");
        match self.api.call(Method::PATCH, &path, Some(&body(region))).await {
            // Somebody deleted it by hand: that is an answer, too.
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
            Ok(_) => {
                self.metrics.updated.inc();
            }
        }
        Ok(number)
    }

    async fn create(&self, region: &Annotation) -> Result<i64, Failure> {
        let mut body = body(region);
        if let Some(uid) = &self.config.dashboard_uid {
            body["dashboardUID"] = json!(uid);
            body["panelId"] = json!(self.config.panel_id);
        }
        let path = "/api/annotations";
        let answer = self.api.call(Method::POST, path, Some(&body)).await?;
        let number = answer.get("id").and_then(Value::as_i64).ok_or_else(|| Failure::Answer {
            url: self.api.url(path),
            status: StatusCode::OK,
            why: format!("without an id: {answer}"),
        })?;
        self.metrics.created.inc();
        Ok(number)
    }
}

/// What Grafana is sent. It takes the text for HTML.
fn body(region: &Annotation) -> Value {
    json!({
        "time": region.time, "timeEnd": region.time_end, "tags": region.tags,
        "text": format!("<b>{}</b><br>{}", escape(&region.title), escape(&region.text)),
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_taken_for_html() {
        let region = Annotation {
            time: 0,
            time_end: 1,
            title: "Sage: <a>".into(),
            text: "a & b: 1 > 0".into(),
            tags: Vec::new(),
        };
        assert_eq!(body(&region)["text"], "<b>Sage: &lt;a&gt;</b><br>a &amp; b: 1 &gt; 0");
    }

    #[test]
    fn beyond_the_limit_the_one_that_waits_longest_is_given_up() {
        let mut waiting = Waiting::default();
        let mut given_up = 0;
        for n in (0..WAITING_MAX + 2).rev() {
            given_up += waiting.add(n.to_string());
            given_up += waiting.add(n.to_string());
        }
        assert_eq!((given_up, waiting.0.len()), (2, WAITING_MAX));
        assert_eq!(waiting.0.back().map(String::as_str), Some("0"));
    }
}
