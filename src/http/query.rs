//! Queries of the admin API in which an identifier stands.

use crate::http::problem::Problem;
use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::future::{Ready, ready};

/// Parameters that hold an identifier. A `+` in them is a plus, as RFC 3986 says: mail addresses and
/// phone numbers have one. In all others it is a blank, as forms write it.
const EXACT: [&str; 4] = ["identifier", "a", "b", "query"];

/// A query with identifiers in it.
#[derive(Debug)]
pub struct Exact<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Exact<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = Query::from_query(&spelt(request.query_string()));
        let query = query.map_err(|_| Problem::invalid("the query cannot be read"));
        ready(query.map(|Query(query)| Self(query)))
    }
}

/// The query with each plus of an identifier spelt so that form decoding leaves it one.
fn spelt(query: &str) -> String {
    let pair = |pair: &'_ str| {
        let (name, value) = pair.split_once('=')?;
        let is_exact = form_urlencoded::parse(name.as_bytes())
            .next()
            .is_some_and(|(name, _)| EXACT.contains(&&*name));
        is_exact.then(|| format!("{name}={}", value.replace('+', "%2B")))
    };
    let pairs: Vec<Cow<'_, str>> =
        query.split('&').map(|text| pair(text).map_or(Cow::Borrowed(text), Cow::Owned)).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_of_an_identifier_is_a_plus_and_any_other_a_blank() {
        for (sent, spelt_out) in [
            ("identifier=email:a+b@c.d&all=true", "identifier=email:a%2Bb@c.d&all=true"),
            ("type=page+view&a=phone:+44+1", "type=page+view&a=phone:%2B44%2B1"),
            ("%61=x%2By+z", "%61=x%2By%2Bz"),
            ("identifier", "identifier"),
            ("", ""),
            ("&&b=+", "&&b=%2B"),
        ] {
            assert_eq!(spelt(sent), spelt_out);
        }
    }
}
