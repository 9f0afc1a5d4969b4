//! `GET /explain?model=&region=`: every candidate with the terms of its score, the choice, and why the others lost.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use outrigger::registry::{Explanation, Row, Scoring, Terms, Verdict};
use serde::Serialize;

use super::Admin;
use crate::{
    query,
    routes::{error::ApiError, json},
};

/// A choice taken apart, tier by tier.
#[derive(Serialize)]
struct Explained<'a> {
    model: &'a str,
    tiers: Vec<Tier<'a>>,
}

#[derive(Serialize)]
struct Tier<'a> {
    /// How it is chosen; absent when a selector of somebody's own decides.
    scoring: Option<Scoring>,
    /// Why nobody would be chosen; absent when somebody is.
    refused: Option<String>,
    candidates: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    provider: &'a str,
    region: &'a str,
    model: &'a str,
    chosen: bool,
    verdict: String,
    terms: Option<Numbers>,
}

#[derive(Serialize)]
struct Numbers {
    latency_ms: f64,
    preference_ms: f64,
    in_flight: u32,
    penalty: f64,
    weight: f64,
    ramp: f64,
    cost: f64,
    untried: bool,
    health: f64,
    composite: f64,
    price: Option<f64>,
}

impl<'a> From<&'a Explanation> for Tier<'a> {
    fn from(explanation: &'a Explanation) -> Self {
        let refused = match &explanation.outcome {
            Some(Err(refused)) => Some(refused.to_string()),
            _ => None,
        };
        Self {
            scoring: explanation.scoring,
            refused,
            candidates: explanation.rows.iter().map(Candidate::from).collect(),
        }
    }
}

impl<'a> From<&'a Row> for Candidate<'a> {
    fn from(row: &'a Row) -> Self {
        Self {
            provider: &row.provider,
            region: &row.region,
            model: &row.model,
            chosen: matches!(row.verdict, Verdict::Chosen | Verdict::ChosenWaived),
            verdict: row.verdict.to_string(),
            terms: row.terms.as_ref().map(Numbers::from),
        }
    }
}

impl From<&Terms> for Numbers {
    fn from(terms: &Terms) -> Self {
        Self {
            latency_ms: terms.latency_ms,
            preference_ms: terms.preference_ms,
            in_flight: terms.in_flight,
            penalty: terms.penalty,
            weight: terms.weight,
            ramp: terms.ramp,
            cost: terms.cost,
            untried: terms.untried,
            health: terms.health,
            composite: terms.composite,
            price: terms.price,
        }
    }
}

pub(super) async fn explain(State(admin): State<Arc<Admin>>, RawQuery(text): RawQuery) -> Response {
    let text = text.unwrap_or_default();
    let Some(model) = query::value(&text, "model") else {
        let message = "which model: /explain?model=NAME";
        return ApiError::caller(StatusCode::BAD_REQUEST, "invalid_value", message)
            .at("model")
            .into_response();
    };
    match admin.client.explain(&model, query::value(&text, "region").as_deref()) {
        Ok(tiers) => json(&Explained { model: &model, tiers: tiers.iter().map(Tier::from).collect() }),
        Err(error) => ApiError::from(error).into_response(),
    }
}
