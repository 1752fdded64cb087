//! The admin API, one file per resource. Handlers translate and never decide.

pub mod campaigns;
pub mod changes;
pub mod events;
pub mod identity;
pub mod objects;
pub mod probe;
pub mod profiles;
pub mod sessions;
pub mod state;
pub mod stream;

use super::problem::Problem;
use actix_web::HttpResponse;

/// What a handler answers.
pub type Answer = Result<HttpResponse, Problem>;

/// 200 with the thing, or 404.
fn found<T: serde::Serialize>(thing: Option<T>, what: &str) -> Answer {
    thing.map(|thing| HttpResponse::Ok().json(thing)).ok_or_else(|| Problem::not_found(what))
}
