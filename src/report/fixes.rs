//! `/api/v1/fixes`: what is done about diagnoses, and an operator's word on it.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::sync::oneshot;

use super::answer::{Answer, Given, Parameters, Problem, success, with_code};
use super::views::Views;
use crate::data::{FixProblem, FixRecord, FixWish};

/// Fixes listed unless asked otherwise.
const LIMIT: usize = 100;

pub(super) fn router() -> Router<Views> {
    Router::new()
        .route("/api/v1/fixes", get(fixes))
        .route("/api/v1/fixes/{id}", get(fix))
        .route("/api/v1/fixes/{id}/approve", post(approve))
        .route("/api/v1/fixes/{id}/revert", post(revert))
}

async fn fixes(State(views): State<Views>, given: Given) -> Answer {
    let p = Parameters::new(given, &["limit", "diagnosis", "service"])?;
    let limit = p.number("limit")?.unwrap_or(LIMIT);
    let (diagnosis, service) = (p.text("diagnosis"), p.text("service"));
    let all = views.fixes.borrow().clone();
    let is_meant = |fix: &&FixRecord| {
        diagnosis.is_none_or(|id| fix.diagnosis == id) && service.is_none_or(|s| fix.service == s)
    };
    let chosen: Vec<&FixRecord> = all.iter().rev().filter(is_meant).take(limit).collect();
    success(chosen)
}

async fn fix(State(views): State<Views>, id: Result<Path<String>, PathRejection>) -> Answer {
    let Path(id) = id?;
    let all = views.fixes.borrow().clone();
    let found = all.iter().find(|fix| fix.id == id);
    success(found.ok_or_else(|| Problem::not_found(format!("no fix {id:?}")))?)
}

async fn approve(State(views): State<Views>, id: Result<Path<String>, PathRejection>) -> Answer {
    wish(&views, id?.0, FixWish::Approve).await
}

async fn revert(State(views): State<Views>, id: Result<Path<String>, PathRejection>) -> Answer {
    wish(&views, id?.0, FixWish::Revert).await
}

async fn wish(views: &Views, id: String, wish: FixWish) -> Answer {
    let (tx, rx) = oneshot::channel();
    let stopping = || Problem::unavailable("shutting down");
    views.wishes.send((id, wish, tx)).await.map_err(|_| stopping())?;
    match rx.await.map_err(|_| stopping())? {
        Ok(fix) => with_code(StatusCode::ACCEPTED, fix),
        Err(FixProblem::Unknown(why)) => Err(Problem::not_found(why)),
        Err(FixProblem::Conflict(why)) => Err(Problem::conflict(why)),
        Err(FixProblem::Journal(why)) => Err(Problem::internal(why)),
    }
}
