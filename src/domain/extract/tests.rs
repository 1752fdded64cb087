//! What is read out of requests.

use super::*;
use crate::domain::names::event_type;
use crate::domain::settings::Settings;
use bytes::Bytes;

const KEY: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn compiled(config: &str) -> Compiled {
    let settings: Settings = toml::from_str(config).unwrap();
    Compiled::new(&settings).unwrap_or_else(|problems| panic!("{problems:?}"))
}

struct Call<'a> {
    source: &'a str,
    kind: &'a str,
    session: Option<&'a str>,
    headers: &'a [(&'a str, &'a str)],
    query: Vec<(String, String)>,
    batch_index: Option<usize>,
}

fn call(source: &str) -> Call<'_> {
    Call { source, kind: "t", session: None, headers: &[], query: Vec::new(), batch_index: None }
}

impl Call<'_> {
    fn of(&self, compiled: &Compiled, body: &str) -> Event {
        let header = |name: &str| {
            let found = self.headers.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let facts = RequestFacts {
            event_type: self.kind,
            session: self.session,
            header: &header,
            query: &self.query,
            received_at: NOW,
            batch_index: self.batch_index,
            is_lossy: false,
            passed_over: &|_| {},
        };
        let payload = Payload::Json(Bytes::copy_from_slice(body.as_bytes()));
        compiled.extract(&compiled.sources[self.source], &facts, payload, &KEY)
    }
}

fn identifiers(event: &Event) -> Vec<String> {
    let external = event.external.iter().map(|found| format!("!{}:{}", found.kind, found.value));
    let found = event.identifiers.iter().map(|found| format!("{}:{}", found.kind, found.value));
    external.chain(found).collect()
}

fn traits(event: &Event) -> Vec<String> {
    event.traits.iter().map(|value| format!("{}={}", value.name, value.json)).collect()
}

#[test]
fn a_source_and_points_find_who_it_is() {
    let compiled = compiled(
        r#"
        [sources.shop]
        profile_id = "customer.id"
        country = "DE"
        traits = { spent = "total", address = "customer.address" }
        [points.mail]
        identifiers = [ { type = "email", path = ["email", "customer.email"], trait = "email" }, { type = "phone", path = "customer.phone" } ]
        [points.many]
        event_type = "Order Placed"
        identifiers = [ { type = "device", path = "devices[*].id" } ]
        [points.elsewhere]
        source = "other"
        identifiers = [ { type = "device", path = "customer.id" } ]
        "#,
    );
    let body = r#"{"customer":{"id":866550311766439020,"email":" Ann@Example.com","phone":"030 901824","address":{"z":1.0,"a":[ ]}},"email":null,"total":12.50,"devices":[{"id":"d2"},{"id":7},{"id":null},{"id":"d2"},{"id":"null"}]}"#;
    let event = call("shop").of(&compiled, body);
    assert_eq!(
        identifiers(&event),
        ["!shop:866550311766439020", "email:ann@example.com", "phone:+4930901824"]
    );
    assert_eq!(event.identifiers[0].raw.as_deref(), Some("Ann@Example.com"));
    assert_eq!(&*event.identifiers[0].point, "mail");
    assert_eq!(
        traits(&event),
        [r#"address={"a":[],"z":1.0}"#, r#"email="Ann@Example.com""#, "spent=12.50"]
    );
    assert_eq!(event.payload, Payload::Json(Bytes::copy_from_slice(body.as_bytes())));
    let placed = Call { kind: "order-placed", ..call("shop") }.of(&compiled, body);
    assert_eq!(identifiers(&placed)[1..3], ["device:7", "device:d2"]);
}

#[test]
fn numbers_and_texts_are_one_identifier() {
    let compiled = compiled("[sources.s]\nprofile_id = \"u\"");
    let ids = |body| identifiers(&call("s").of(&compiled, body));
    assert_eq!(ids(r#"{"u":866550311766439020}"#), ids(r#"{"u":" 866550311766439020 "}"#));
    for nobody in [
        r#"{"u":null}"#,
        r#"{"u":" "}"#,
        r#"{"u":{}}"#,
        r#"{"u":"undefined"}"#,
        r#"{"u":0}"#,
        r#"{"u":true}"#,
        "{}",
    ] {
        assert_eq!(ids(nobody), [] as [String; 0], "{nobody}");
    }
}

#[test]
fn a_tenant_keeps_the_same_user_id_of_two_accounts_apart() {
    let compiled =
        compiled("[sources.s]\nnamespace = \"slack\"\ntenant = \"team\"\nprofile_id = \"u\"");
    let ids = |body| identifiers(&call("s").of(&compiled, body));
    assert_eq!(ids(r#"{"team":"T1","u":42}"#), ["!slack:T1/42"]);
    assert_eq!(ids(r#"{"u":42}"#), [] as [String; 0]);
    assert_ne!(ids(r#"{"team":"a/b","u":"c"}"#), ids(r#"{"team":"a","u":"b/c"}"#));
    assert_eq!(compiled.identifier("slack: T1/42 ").unwrap().to_string(), "slack:T1/42");
}

#[test]
fn names_may_come_from_outside_of_the_body() {
    let compiled = compiled(
        r#"
        [sources.s]
        profile_id = "{portal}/{header:X-User}"
        session_id = "query:sid"
        event_type = ["event_type", "header:X-Topic"]
        "#,
    );
    let query = vec![("sid".to_owned(), " S1 ".to_owned())];
    let call =
        Call { headers: &[("x-user", "7"), ("x-topic", "Order  Placed")], query, ..call("s") };
    let event = call.of(&compiled, r#"{"portal":3}"#);
    assert_eq!(identifiers(&event), ["!s:3/7"]);
    assert_eq!((&*event.kind, event.session.as_deref()), ("order--placed", Some("S1")));
    let event = Call { session: Some("url"), ..call }.of(&compiled, r#"{"event_type":"Paid"}"#);
    assert_eq!(identifiers(&event), [] as [String; 0]);
    assert_eq!((&*event.kind, event.session.as_deref()), ("paid", Some("url")));
}

#[test]
fn the_time_is_the_senders_word_unless_it_is_unreadable_or_far_ahead() {
    let compiled = compiled("[sources.s]\noccurred_at = \"at\"\n[sources.silent]");
    let time = |source, body| {
        let event = call(source).of(&compiled, body);
        (event.occurred_at.0 - NOW.0, event.timing)
    };
    assert_eq!(time("s", r#"{"at":"1789999999.5"}"#), (-500, Timing::Said));
    assert_eq!(time("s", r#"{"at":"2099-01-01T00:00:00Z"}"#), (occurred::AHEAD_MS, Timing::Said));
    for unread in [r#"{"at":"yesterday"}"#, r#"{"at":{"x":1}}"#, r#"{"at":[1]}"#, r#"{"at":true}"#]
    {
        assert_eq!(time("s", unread), (0, Timing::Unread), "{unread}");
    }
    for nothing in
        ["{}", r#"{"at":null}"#, r#"{"at":" "}"#, r#"{"at":0}"#, r#"{"at":"0001-01-01T00:00:00Z"}"#]
    {
        assert_eq!(time("s", nothing), (0, Timing::Unsaid), "{nothing}");
    }
    assert_eq!(time("silent", r#"{"at":1}"#), (0, Timing::Received));
}

#[test]
fn a_second_delivery_has_the_same_mark() {
    let compiled = compiled(
        "[sources.a]\nevent_id = \"id\"\n[sources.b]\nevent_id = \"id\"\n[sources.c]\n[sources.d]\nsplit = \"es\"\nevent_id = [\"es.id\", \"id\"]",
    );
    let mark = |call: &Call<'_>, body| call.of(&compiled, body).dedupe;
    let e1 = r#"{"id":"e1"}"#;
    assert_eq!(mark(&call("a"), e1), mark(&call("a"), r#"{"x":1,"id":" e1"}"#));
    assert_ne!(mark(&call("a"), e1), mark(&call("b"), e1));
    assert_eq!(mark(&call("c"), e1), None);
    let headed = |headers, batch_index| Call { headers, batch_index, ..call("c") };
    let id = |index| mark(&headed(&[("webhook-id", "m1")], index), "{}");
    assert!(id(None).is_some() && id(Some(0)) != id(Some(1)) && id(None) != id(Some(0)));
    assert_eq!(mark(&headed(&[("ce-id", "1")], None), "{}"), None);
    assert!(mark(&headed(&[("ce-id", "1"), ("ce-source", "x")], None), "{}").is_some());
    // Outside of the elements one id stands for all of them, inside each has its own.
    let in_batch = |index, body| mark(&Call { batch_index: Some(index), ..call("d") }, body);
    assert_ne!(in_batch(0, e1), in_batch(1, e1));
    assert_eq!(in_batch(0, r#"{"es":{"id":"x"}}"#), in_batch(1, r#"{"es":{"id":"x"}}"#));
}

#[test]
fn an_event_that_contradicts_itself_is_set_aside() {
    let compiled = compiled(
        r#"
        [sources.web]
        profile_id = "u"
        [identity.types.web]
        unique = true
        [identity.types.passport]
        unique = true
        [points.p]
        identifiers = [ { type = "passport", path = "p[*]" }, { type = "web", path = "w" }, { type = "tag", path = "tags[*]" } ]
        "#,
    );
    let standing = |body: &str| call("web").of(&compiled, body).standing;
    let two = Standing::Quarantined(Reason::TwoValuesOfUniqueType);
    assert_eq!(standing(r#"{"u":1,"p":["A","B"]}"#), two);
    assert_eq!(standing(r#"{"u":1,"w":2}"#), two);
    assert_eq!(standing(r#"{"u":1,"w":1,"p":["A","A"]}"#), Standing::Open);
    let tags: Vec<_> = (1..=101).map(|tag| tag.to_string()).collect();
    let body = format!("{{\"u\":1,\"tags\":[{}]}}", tags.join(","));
    let event = call("web").of(&compiled, &body);
    assert_eq!(event.standing, Standing::Quarantined(Reason::TooManyIdentifiers));
    assert_eq!(identifiers(&event), [] as [String; 0]);
}

#[test]
fn whatever_identifies_nobody_is_told_by_its_reason() {
    let compiled = compiled(
        r#"
        sources.web = { id = "web", profile_id = "u" }
        points.p = { id = "p", identifiers = [ { type = "email", path = "m[*]" } ] }
        [limits]
        event_identifiers = 2
        "#,
    );
    let told = |body: &str| {
        let all = std::cell::RefCell::new(Vec::new());
        let facts = RequestFacts {
            event_type: "t",
            session: None,
            header: &|_| None,
            query: &[],
            received_at: NOW,
            batch_index: None,
            is_lossy: false,
            passed_over: &|why| all.borrow_mut().push(why.name()),
        };
        let payload = Payload::Json(Bytes::copy_from_slice(body.as_bytes()));
        compiled.extract(&compiled.sources["web"], &facts, payload, &KEY);
        all.into_inner()
    };
    assert_eq!(told(r#"{"u":1,"m":["a@b.org","c@d.org"]}"#), [""; 0]);
    assert_eq!(
        told(r#"{"u":"null","m":["no mail","test@test.com",null]}"#),
        ["blocked", "unreadable", "blocked"]
    );
    assert_eq!(told(r#"{"u":1,"m":["a@b.org","c@d.org","e@f.org"]}"#), ["too_many"; 3]);
}

#[test]
fn a_source_says_what_becomes_of_the_unidentified() {
    let compiled = compiled(
        "[sources.keep]\n[sources.drop]\nunidentified = \"drop\"\n[sources.anon]\nunidentified = \"anonymous\"",
    );
    let dropped = |call: Call<'_>| compiled.unidentified_drop(&call.of(&compiled, "{}"));
    assert!(dropped(call("drop")) && !dropped(call("keep")));
    assert!(!dropped(Call { session: Some("s"), ..call("drop") }));
    assert_eq!(call("anon").of(&compiled, "{}").standing, Standing::Anonymous);
}

#[test]
fn new_points_read_what_is_stored_and_keep_what_is_not() {
    let source = "[sources.s]\nprofile_id = \"u\"\ntraits = { t = \"t\" }\n[points.h]\nidentifiers = [ { type = \"device\", path = \"header:x-device\", trait = \"d\" } ]\n";
    let before = compiled(source);
    let headers = [("x-device", "D1")];
    let stored = Call { headers: &headers, session: Some("S"), ..call("s") }
        .of(&before, r#"{"u":1,"t":2,"mail":"A@b.c"}"#);
    assert_eq!(before.reread_points("s", &stored), stored);
    let point =
        "[points.m]\nidentifiers = [ { type = \"email\", path = \"mail\", trait = \"mail\" } ]\n";
    let after = compiled(&format!("{source}{point}"));
    let reread = after.reread_points("s", &stored);
    assert_eq!(identifiers(&reread), ["!s:1", "device:D1", "email:a@b.c"]);
    assert_eq!(traits(&reread), ["d=\"D1\"", "mail=\"A@b.c\"", "t=2"]);
    assert_eq!(reread.session, stored.session);
    let without = compiled("[sources.s]\nprofile_id = \"u\"");
    assert_eq!(identifiers(&without.reread_points("s", &stored)), ["!s:1"]);
    // The source is gone, the point still reads what it sent.
    let gone = compiled(point);
    assert_eq!(identifiers(&gone.reread_points("s", &stored)), ["!s:1", "email:a@b.c"]);
}

#[test]
fn a_quarantined_event_is_read_again_under_mended_rules() {
    let config = |unique: bool| {
        compiled(&format!(
            "[sources.s]\nprofile_id = \"u\"\n[identity.types.x]\nunique = {unique}\n[points.p]\nidentifiers = [ {{ type = \"x\", path = \"x[*]\" }} ]\n"
        ))
    };
    let stored = call("s").of(&config(true), r#"{"u":1,"x":["a","b"]}"#);
    assert!(matches!(stored.standing, Standing::Quarantined(_)));
    let again = config(false).reprocess("s", &stored);
    assert_eq!(identifiers(&again), ["!s:1", "x:a", "x:b"]);
    assert_eq!(again.standing, Standing::Open);
    assert_eq!(config(true).reprocess("s", &stored), stored);
}

#[test]
fn event_types_are_lower_case_without_blanks() {
    assert_eq!(event_type(" Page View ").as_deref(), Some("page-view"));
    assert_eq!(event_type("  "), None);
    assert_eq!(event_type("a\u{0}b"), None);
    assert!(event_type(&"x".repeat(200)).is_some() && event_type(&"x".repeat(201)).is_none());
}
