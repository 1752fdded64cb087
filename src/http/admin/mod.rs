//! The admin API, one file per resource. Handlers translate and never decide.

pub mod campaigns;
pub mod changes;
pub mod events;
pub mod identity;
pub mod objects;
pub mod probe;
pub mod profiles;
pub mod secrets;
pub mod sessions;
pub mod state;
pub mod stream;

use crate::domain::spelling;
use crate::http::problem::Problem;
use actix_web::HttpResponse;
use serde::de::DeserializeOwned;

/// What a handler answers.
pub type Answer = Result<HttpResponse, Problem>;

/// 200 with the thing, or 404.
fn found<T: serde::Serialize>(thing: Option<T>, what: &str) -> Answer {
    thing.map(|thing| HttpResponse::Ok().json(thing)).ok_or_else(|| Problem::not_found(what))
}

/// Reads an object from a JSON body; a mistake is told with its path and what was expected there.
/// Nothing at all is `{}`.
fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    // The reader would take the elements of a list for the fields, in the order of the code.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::invalid("expected a JSON object"));
    }
    spelling::read_text(bytes).map_err(Problem::invalid)
}
