//! The routes.

use crate::error::ApiError;
use crate::metrics;
use crate::proxies::Proxies;
use crate::proxy::ProxyView;
use crate::rule::RuleView;
use crate::toxic::Toxic;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// Whose interface this is; clients may compare it.
const TOXIPROXY_VERSION: &str = "2.12.0";

/// One request after the other: each is a few calls between two polls of the proxies' thread.
type Shared = State<Arc<Mutex<Proxies>>>;

type Answer<T> = Result<Json<T>, ApiError>;

/// Answers requests until `until` is done; then all proxies are closed.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    proxies: Proxies,
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let served = axum::serve(listener, routes(proxies)).into_future();
    // Not gracefully: clients keep connections open, and nothing that was asked for outlives us anyway.
    tokio::select! {
        ended = served => ended,
        () = until => Ok(()),
    }
}

fn routes(proxies: Proxies) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/metrics", get(show_metrics))
        .route("/reset", post(reset))
        .route("/populate", post(populate))
        .route("/proxies", get(list).post(create))
        .route(
            "/proxies/{proxy}",
            get(show).post(update).patch(update).delete(remove),
        )
        .route("/proxies/{proxy}/toxics", get(toxics).post(add_toxic))
        .route(
            "/proxies/{proxy}/toxics/{toxic}",
            get(show_toxic)
                .post(change_toxic)
                .patch(change_toxic)
                .delete(remove_toxic),
        )
        .route("/proxies/{proxy}/rules", get(rules).post(add_rule))
        .route(
            "/proxies/{proxy}/rules/{rule}",
            get(show_rule).delete(remove_rule),
        )
        .route("/proxies/{proxy}/rules/{rule}/release", post(release))
        .fallback((StatusCode::NOT_FOUND, "404 page not found\n"))
        .layer(middleware::from_fn(no_browsers))
        .with_state(Arc::new(Mutex::new(proxies)))
}

/// A web page must not drive a proxy behind its visitor's back.
async fn no_browsers(request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT);
    if agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/")) {
        return (StatusCode::FORBIDDEN, "User agent not allowed\n").into_response();
    }
    next.run(request).await
}

async fn version() -> impl IntoResponse {
    let ours = env!("CARGO_PKG_VERSION");
    Json(BTreeMap::from([
        ("version", TOXIPROXY_VERSION),
        ("touchstone", ours),
    ]))
}

async fn show_metrics(State(proxies): Shared) -> Result<impl IntoResponse, ApiError> {
    let text = metrics::text(&*proxies.lock().await).await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

async fn reset(State(proxies): Shared) -> Result<StatusCode, ApiError> {
    proxies.lock().await.reset().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Populated {
    #[serde(flatten)]
    error: Option<ApiError>,
    proxies: Option<Vec<ProxyView>>,
}

async fn populate(State(proxies): Shared, body: Bytes) -> Response {
    let (views, error) = match Proxies::read_list(&body) {
        Err(error) => (None, Some(error)),
        Ok(specs) => {
            let (views, done) = proxies.lock().await.populate(specs).await;
            (Some(views), done.err())
        }
    };
    let status = error.as_ref().map_or(StatusCode::CREATED, |error| {
        StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    });
    let populated = Populated {
        error,
        proxies: views,
    };
    (status, Json(populated)).into_response()
}

async fn list(State(proxies): Shared) -> Json<BTreeMap<String, ProxyView>> {
    let proxies = proxies.lock().await;
    let view = |(name, proxy): (&String, &crate::proxy::RemoteProxy)| (name.clone(), proxy.view());
    Json(proxies.by_name.iter().map(view).collect())
}

async fn create(State(proxies): Shared, body: Bytes) -> Result<impl IntoResponse, ApiError> {
    let view = proxies.lock().await.create_from(&body).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

async fn show(State(proxies): Shared, Path(proxy): Path<String>) -> Answer<ProxyView> {
    Ok(Json(proxies.lock().await.get(&proxy)?.view()))
}

async fn update(
    State(proxies): Shared,
    Path(proxy): Path<String>,
    body: Bytes,
) -> Answer<ProxyView> {
    Ok(Json(proxies.lock().await.update(&proxy, &body).await?))
}

async fn remove(State(proxies): Shared, Path(proxy): Path<String>) -> Result<StatusCode, ApiError> {
    proxies.lock().await.remove(&proxy)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn toxics(State(proxies): Shared, Path(proxy): Path<String>) -> Answer<Vec<Toxic>> {
    let proxies = proxies.lock().await;
    let held = proxies.get(&proxy)?.toxics();
    Ok(Json(held.map(|held| held.toxic.clone()).collect()))
}

async fn add_toxic(
    State(proxies): Shared,
    Path(proxy): Path<String>,
    body: Bytes,
) -> Answer<Toxic> {
    let mut proxies = proxies.lock().await;
    Ok(Json(proxies.get_mut(&proxy)?.add_toxic(&body).await?))
}

async fn show_toxic(
    State(proxies): Shared,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Answer<Toxic> {
    let proxies = proxies.lock().await;
    Ok(Json(proxies.get(&proxy)?.toxic(&toxic)?.toxic.clone()))
}

async fn change_toxic(
    State(proxies): Shared,
    Path((proxy, toxic)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Toxic> {
    let mut proxies = proxies.lock().await;
    let proxy = proxies.get_mut(&proxy)?;
    Ok(Json(proxy.change_toxic(&toxic, &body).await?))
}

async fn remove_toxic(
    State(proxies): Shared,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut proxies = proxies.lock().await;
    proxies.get_mut(&proxy)?.remove_toxic(&toxic).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rules(State(proxies): Shared, Path(proxy): Path<String>) -> Answer<Vec<RuleView>> {
    let proxies = proxies.lock().await;
    let rules = &proxies.get(&proxy)?.rules;
    Ok(Json(
        rules.iter().map(crate::rule::RemoteRule::view).collect(),
    ))
}

async fn add_rule(
    State(proxies): Shared,
    Path(proxy): Path<String>,
    body: Bytes,
) -> Result<impl IntoResponse, ApiError> {
    let mut proxies = proxies.lock().await;
    let view = proxies.get_mut(&proxy)?.add_rule(&body).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

async fn show_rule(
    State(proxies): Shared,
    Path((proxy, rule)): Path<(String, u64)>,
) -> Answer<RuleView> {
    Ok(Json(proxies.lock().await.get(&proxy)?.rule(rule)?.view()))
}

async fn remove_rule(
    State(proxies): Shared,
    Path((proxy, rule)): Path<(String, u64)>,
) -> Result<StatusCode, ApiError> {
    let mut proxies = proxies.lock().await;
    proxies.get_mut(&proxy)?.remove_rule(rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much is let go: all, unless only the oldest is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    #[serde(default)]
    oldest_only: bool,
}

#[derive(Serialize)]
struct Released {
    released: u64,
}

async fn release(
    State(proxies): Shared,
    Path((proxy, rule)): Path<(String, u64)>,
    body: Bytes,
) -> Answer<Released> {
    let asked = match body.is_empty() {
        true => Release::default(),
        false => crate::body::object(&body)?,
    };
    let proxies = proxies.lock().await;
    let guard = &proxies.get(&proxy)?.rule(rule)?.guard;
    let released = match asked.oldest_only {
        true => u64::from(guard.release_one().await?),
        false => guard.release_all().await?,
    };
    Ok(Json(Released { released }))
}
