//! What is sent: one shape of event for every bench, a function of its number alone.
//!
//! Bodies are 420 bytes of JSON. Users come in no order; every tenth event carries the user's mail,
//! which an identification point reads. Every event has an id of its own and says when it occurred.

use std::io::Write;

/// Bytes of a body.
pub const BODY_BYTES: usize = 420;

/// The rules that all benches use, as a configuration file of one source.
#[allow(dead_code, reason = "each bench takes what it needs of this module")]
pub fn configuration(durability: &str) -> String {
    format!("{}{POINT}", source(durability))
}

/// The identification point of all benches.
const POINT: &str = r#"
[[identification_point]]
id = "mail"
identifiers = [ { type = "email", path = "user.email", trait = "email" } ]
"#;

/// The source alone: its events show nothing but their user.
#[allow(dead_code, reason = "each bench takes what it needs of this module")]
pub fn source(durability: &str) -> String {
    format!(
        r#"
[[source]]
id = "bench"
profile_id = "user.id"
event_id = "id"
occurred_at = "at"
durability = "{durability}"
traits = {{ name = "user.name", plan = "user.plan" }}
"#
    )
}

/// Writes the body of event `number` over what `body` holds.
pub fn write_body(number: u64, users: u64, body: &mut Vec<u8>) {
    body.clear();
    let user = scatter(number) % users.max(1);
    // A moment of 2026, in milliseconds.
    let at = 1_767_225_600_000 + number;
    // Writing to memory cannot fail.
    let _ = write!(
        body,
        r#"{{"id":"evt_{number:016x}","at":{at},"user":{{"id":{user},"name":"Ann {user}","plan":"p{}""#,
        user % 7
    );
    if number.is_multiple_of(10) {
        let _ = write!(body, r#","email":"user{user}@example.com""#);
    }
    let _ = write!(
        body,
        r#"}},"page":{{"url":"https://shop.example.com/products/{:x}","title":"A product","referrer":null}},"items":[{{"sku":"AB-{}","quantity":2,"price":"19.90"}},{{"sku":"CD-{}","quantity":1,"price":"5.00"}}],"note":""#,
        scatter(number ^ 0xfeed),
        number % 997,
        number % 89
    );
    let end = BODY_BYTES - 2;
    while body.len() < end {
        body.push(b'a' + (scatter(number + body.len() as u64 / 8) % 26) as u8);
    }
    body.extend_from_slice(b"\"}");
}

/// A permutation of the numbers that leaves no order.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
