//! Reads samples from a Prometheus-compatible query API, in answers of bounded size.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;

use super::counts::Counts;
use super::error::Error;
use super::plan::{Endpoint, Plan, Range};
use super::prometheus_json::{Names, best_label, matrix, values};
use super::selector::{Selector, any_of, quote};
use super::target::patiently;
use super::text::{form, seconds};
use crate::client::{Call, Client, Failure};
use crate::data::Series;

const WHO: &str = "Prometheus";
const CURE: &str = "check --prometheus, its credentials, and for https SSL_CERT_FILE";
const TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of one answer.
const ANSWER_MAX: usize = 64 << 20;
/// Samples of one stretch.
pub(super) const SAMPLES_MAX: usize = 5_000_000;
/// Metric names in one request: they stand in its URL.
const NAMES_AT_ONCE: usize = 20;

/// What one query asks for.
struct Query<'a> {
    selector: &'a Selector,
    only: Option<(String, Vec<String>)>,
    range: Range,
}

/// A source of samples.
pub(super) struct Prometheus {
    client: Client,
    selectors: Vec<Selector>,
    names: Names,
    plan: Plan,
}

impl Prometheus {
    /// Finds out which of the selectors there is anything of.
    pub(super) async fn new(
        endpoint: &Endpoint,
        selectors: &[Selector],
        plan: Plan,
    ) -> Result<Self, Error> {
        let client = Client::new(&endpoint.url, &endpoint.login);
        let mut there = Vec::new();
        for some in selectors.chunks(NAMES_AT_ONCE) {
            let any = any_of(some.iter().map(|s| s.metric.as_str()));
            let matches = format!("{{__name__=~{}}}", quote(&any));
            let (start, end) = (seconds(plan.range.start), seconds(plan.range.end));
            let query = form(&[("match[]", &matches), ("start", &start), ("end", &end)]);
            let path = format!("/api/v1/label/__name__/values?{query}");
            let bytes = ask(&client, Method::GET, &path, "").await.map_err(fault)?;
            let known = values(&bytes).map_err(|why| unreadable(&client, &path, why))?;
            there.extend(some.iter().filter(|s| known.contains(&s.metric)).cloned());
        }
        Ok(Self { client, selectors: there, names: Names::default(), plan })
    }

    /// All samples of a stretch.
    pub(super) async fn read(
        &mut self,
        stretch: Range,
        counts: &mut Counts,
    ) -> Result<Vec<Series>, Error> {
        let (mut all, mut samples) = (Vec::new(), 0);
        let selectors = std::mem::take(&mut self.selectors);
        let first = |selector| Query { selector, only: None, range: stretch };
        let mut open: Vec<Query<'_>> = selectors.iter().rev().map(first).collect();
        let mut result = Ok(());
        while let Some(query) = open.pop() {
            if samples >= SAMPLES_MAX {
                counts.cut += 1;
                continue;
            }
            match self.one(&query).await {
                Ok((series, histograms)) => {
                    counts.histograms += histograms;
                    samples += series.iter().map(|s| s.samples.len()).sum::<usize>();
                    all.extend(series);
                }
                Err(Error::Call { failure, .. }) if is_too_much(&failure) => {
                    match self.split(query, failure).await {
                        Ok(parts) => open.extend(parts),
                        Err(error) => {
                            result = Err(error);
                            break;
                        }
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        drop(open);
        self.selectors = selectors;
        result.map(|()| all)
    }

    async fn one(&mut self, query: &Query<'_>) -> Result<(Vec<Series>, u64), Error> {
        let only = query.only.as_ref().map(|(label, values)| (label.as_str(), values.as_slice()));
        let step = self.plan.step;
        // On one grid throughout; the last point lies before the end.
        let start = (query.range.start + step - 1).div_euclid(step) * step;
        let end = (query.range.end - 1).div_euclid(step) * step;
        let body = form(&[
            ("query", &query.selector.promql(only)),
            ("start", &seconds(start)),
            ("end", &seconds(end.max(start))),
            ("step", &seconds(step)),
        ]);
        let path = "/api/v1/query_range";
        let bytes = ask(&self.client, Method::POST, path, &body).await.map_err(fault)?;
        matrix(&bytes, &mut self.names).map_err(|why| unreadable(&self.client, path, why))
    }

    /// Smaller queries in the place of one whose answer is too large: less time, then fewer series.
    async fn split<'a>(&self, query: Query<'a>, failure: Failure) -> Result<Vec<Query<'a>>, Error> {
        let selector = query.selector;
        if let Some([a, b]) = query.range.halves(self.plan.interval) {
            let half = |range| Query { selector, only: query.only.clone(), range };
            return Ok(vec![half(b), half(a)]);
        }
        let (label, values) = match query.only {
            Some(only) => only,
            None => match self.label(selector, query.range).await? {
                Some(found) => found,
                None => return Err(fault(failure)),
            },
        };
        if values.len() < 2 {
            return Err(fault(failure));
        }
        let (a, b) = values.split_at(values.len() / 2);
        let part = |v: &[String]| Query {
            selector,
            only: Some((label.clone(), v.to_vec())),
            range: query.range,
        };
        Ok(vec![part(b), part(a)])
    }

    async fn label(
        &self,
        selector: &Selector,
        range: Range,
    ) -> Result<Option<(String, Vec<String>)>, Error> {
        let (start, end) = (seconds(range.start), seconds(range.end));
        let matches = selector.promql(None);
        let body = form(&[("match[]", &matches), ("start", &start), ("end", &end)]);
        let path = "/api/v1/series";
        let bytes = ask(&self.client, Method::POST, path, &body).await.map_err(fault)?;
        best_label(&bytes).map_err(|why| unreadable(&self.client, path, why))
    }
}

/// 422 is what Prometheus says when a query would load too many samples.
fn is_too_much(failure: &Failure) -> bool {
    matches!(failure, Failure::TooLarge { .. })
        || failure.status() == Some(StatusCode::UNPROCESSABLE_ENTITY)
}

fn fault(failure: Failure) -> Error {
    Error::Call { who: WHO, failure, cure: CURE }
}

fn unreadable(client: &Client, path: &str, why: String) -> Error {
    Error::Unreadable { who: WHO, url: client.url(path), why }
}

async fn ask(client: &Client, method: Method, path: &str, form: &str) -> Result<Bytes, Failure> {
    let headers: &[_] = match method {
        Method::POST => &[("content-type", "application/x-www-form-urlencoded")],
        _ => &[],
    };
    let body = Bytes::from(form.to_string());
    let call = Call { method, path, headers, body, answer_max: ANSWER_MAX, timeout: TIMEOUT };
    patiently(client, &call).await?.success()
}
