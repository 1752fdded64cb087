//! Whole requests, by media type, and what no body may do.

use super::*;
use crate::domain::path::{Path, Step};
use crate::domain::settings::FieldDecoding;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

mod lossy;

fn steps(path: &str) -> Vec<Step> {
    match Path::parse(path).unwrap() {
        Path::Body(steps) => steps,
        other => panic!("{other:?}"),
    }
}

fn request<'a>(kind: &'a str, query: &'a str, body: &[u8]) -> RawRequest<'a> {
    let content_type = Some(kind).filter(|kind| !kind.is_empty());
    RawRequest { content_type, content_encoding: None, query, body: Bytes::copy_from_slice(body) }
}

/// One event, or the events of a batch.
#[derive(Debug)]
enum Read {
    Single(Piece),
    Batch(Vec<Piece>),
}

fn read(decoded: Decoded<'_>) -> Read {
    match decoded {
        Decoded::Single(piece) => Read::Single(piece),
        Decoded::Batch(batch) => Read::Batch(batch.pieces().collect()),
    }
}

fn with(splits: &[&str], request: &RawRequest<'_>) -> Result<Read, DecodeRefusal> {
    let splits: Vec<_> = splits.iter().map(|split| steps(split)).collect();
    let shape = Shape { splits: &splits, fields: &[] };
    decode(request, shape, &DecodeLimits::default()).map(read)
}

fn text(piece: &Piece) -> &str {
    match &piece.payload {
        Payload::Json(bytes) | Payload::Opaque(bytes) => std::str::from_utf8(bytes).unwrap(),
    }
}

fn single(kind: &str, query: &str, body: &str) -> String {
    match with(&[], &request(kind, query, body.as_bytes())).unwrap() {
        Read::Single(piece) => {
            assert_eq!(piece.fault, None);
            text(&piece).to_owned()
        }
        batch => panic!("{batch:?}"),
    }
}

fn batch(splits: &[&str], kind: &str, body: &str) -> Vec<Value> {
    match with(splits, &request(kind, "", body.as_bytes())).unwrap() {
        Read::Batch(pieces) => {
            pieces.iter().map(|piece| serde_json::from_str(text(piece)).unwrap()).collect()
        }
        single => panic!("{single:?}"),
    }
}

fn fault(kind: &str, body: &[u8]) -> Option<Reason> {
    match with(&[], &request(kind, "", body)).unwrap() {
        Read::Single(piece) => piece.fault,
        batch => panic!("{batch:?}"),
    }
}

fn is_malformed(kind: &str, body: &[u8]) -> bool {
    matches!(with(&[], &request(kind, "", body)), Err(DecodeRefusal::MalformedBody { .. }))
}

#[test]
fn a_json_object_is_kept_as_the_very_bytes_that_came() {
    let body = "{ \"id\" : 866550311766439020,\r\n \"n\":1.10e2, \"a\":1, \"a\":2 }\r\n";
    for kind in ["application/json; charset=utf-8", "text/plain", "", "application/octet-stream"] {
        assert_eq!(single(kind, "", body), body, "{kind}");
    }
    assert_eq!(single("application/json", "", &format!("\u{FEFF}{body}")), body);
    assert_eq!(
        single("application/x-www-form-urlencoded", "", "{\"a\":\"b=c&d\"}"),
        "{\"a\":\"b=c&d\"}"
    );
}

#[test]
fn other_bodies_become_objects() {
    assert_eq!(single("application/json", "", " 42.0 "), "{\"value\":42.0}");
    assert_eq!(single("text/plain; charset=x", "", "hi \"you\""), r#"{"body":"hi \"you\""}"#);
    assert_eq!(single("text/plain", "", "[ERROR] disk"), r#"{"body":"[ERROR] disk"}"#);
    assert_eq!(single("application/xml", "", "<a/>"), r#"{"body":"<a/>"}"#);
    assert_eq!(single("", "", ""), "{}");
    assert_eq!(single("application/json", "", " \n"), "{}");
    let latin1 = with(&[], &request("text/plain; charset=ISO-8859-1", "", b"caf\xE9")).unwrap();
    assert!(matches!(&latin1, Read::Single(piece) if text(piece) == "{\"body\":\"caf\u{e9}\"}"));
    for (kind, body) in [
        ("application/json", &b"{\"a\":"[..]),
        ("application/json", b"a=1"),
        ("", b"{\"a\":"),
        ("multipart/form-data", b"--x--"),
    ] {
        assert!(is_malformed(kind, body), "{kind}");
    }
}

#[test]
fn the_query_stands_beside_the_body_and_the_body_wins() {
    let query = "a=q&b=q&c[d]=q&b=r";
    let expected = r#"{"b":["q","r"],"c":{"d":"q"}, "a" : 1.0 }"#;
    assert_eq!(single("application/json", query, "{ \"a\" : 1.0 }"), expected);
    assert_eq!(
        single("", "uid=7&campaign=spring+sale+%26+more", ""),
        r#"{"campaign":"spring sale & more","uid":"7"}"#
    );
    assert_eq!(single("application/json", "a=1", "{\"\\u0061\":2}"), "{\"\\u0061\":2}");
    assert_eq!(single("text/plain", "a=1", "x"), r#"{"a":"1","body":"x"}"#);
    match with(&[], &request("", "q=1", b"[{\"a\":2},3]")).unwrap() {
        Read::Batch(pieces) => {
            assert_eq!(text(&pieces[0]), r#"{"q":"1","a":2}"#);
            assert_eq!(text(&pieces[1]), r#"{"q":"1","value":3}"#);
        }
        single => panic!("{single:?}"),
    }
}

#[test]
fn multipart_gives_fields_and_describes_files() {
    let body = "--x\r\nContent-Disposition: form-data; name=\"a[b]\"\r\n\r\nhi\r\n--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n12345\r\n--x--\r\n";
    let kind = "multipart/form-data; boundary=x";
    let expected = r#"{"a":{"b":"hi"},"f":{"name":"n.txt","type":"text/plain","size":5}}"#;
    assert_eq!(single(kind, "", body), expected);
    assert!(is_malformed(kind, &body.as_bytes()[..body.len() / 2]));
    assert!(is_malformed(kind, b"nothing of the kind"));
}

#[test]
fn a_top_level_array_and_lines_are_batches() {
    assert_eq!(
        batch(&[], "", "[{\"a\":1},2,[3]]"),
        [json!({"a": 1}), json!({"value": 2}), json!({"value": [3]})]
    );
    assert_eq!(batch(&[], "", "[{\"a\":1}]"), [json!({"a": 1})]);
    assert_eq!(batch(&[], "", "[]"), [] as [Value; 0]);
    assert_eq!(
        batch(&[], "application/x-ndjson", "{\"a\":1}\r\n\n7\n"),
        [json!({"a": 1}), json!({"value": 7})]
    );
    match with(&[], &request("application/jsonl", "", b"{\"a\":1}\n{oops\n")).unwrap() {
        Read::Batch(pieces) => {
            assert_eq!(pieces[0].fault, None);
            assert_eq!(pieces[1].fault, Some(Reason::MalformedBody));
            assert_eq!(text(&pieces[1]), "{oops");
        }
        single => panic!("{single:?}"),
    }
    assert!(is_malformed("application/jsonl", b"oops\nno"));
}

#[test]
fn a_split_array_is_replaced_by_its_one_element() {
    let body = r#"{"team":1,"events":[{"id":1},2],"more":[0]}"#;
    assert_eq!(
        batch(&["events"], "", body),
        [
            json!({"team": 1, "events": {"id": 1}, "more": [0]}),
            json!({"team": 1, "events": 2, "more": [0]}),
        ]
    );
    assert_eq!(batch(&["events"], "", r#"{"events":[]}"#), [] as [Value; 0]);
    assert!(matches!(with(&["other"], &request("", "", body.as_bytes())), Ok(Read::Single(_))));
    // What is no array is an array of one; null is nothing.
    let whole = [serde_json::from_str::<Value>(body).unwrap()];
    assert_eq!(batch(&["other", "team"], "", body), whole);
    assert_eq!(batch(&["team[*]", "[*].team"], "", body), whole);
    let null = request("", "", br#"{"events":null}"#);
    assert!(matches!(with(&["events"], &null), Ok(Read::Single(_))));
}

#[test]
fn arrays_on_the_way_to_a_split_become_their_one_element() {
    let body = r#"{"object":"w","entry":[{"id":"e1","changes":[{"value":{"messages":[{"id":"m1"},{"id":"m2"}]},"field":"f"},{"value":{"statuses":[{"id":"s1"}]}}]},{"id":"e2","changes":[{"value":{"messages":[{"id":"m3"}]}}]}],"z":1}"#;
    let splits = ["entry[*].changes[*].value.messages", "entry[*].changes[*].value.statuses"];
    let event = |entry: Value| json!({"object": "w", "entry": entry, "z": 1});
    let first = |id: &str| {
        event(json!({"id": "e1", "changes": {"value": {"messages": {"id": id}}, "field": "f"}}))
    };
    assert_eq!(
        batch(&splits, "application/json", body),
        [
            first("m1"),
            first("m2"),
            event(json!({"id": "e2", "changes": {"value": {"messages": {"id": "m3"}}}})),
            event(json!({"id": "e1", "changes": {"value": {"statuses": {"id": "s1"}}}})),
        ]
    );
    assert_eq!(
        batch(&["[*].e"], "", r#"[{"a":1,"e":[2,3]}]"#),
        [json!({"a": 1, "e": 2}), json!({"a": 1, "e": 3})]
    );
}

#[test]
fn what_no_split_finds_is_an_event_and_what_two_reach_is_cut_once() {
    let body = r#"{"a":[{"b":[{"c":[1,2]},{"d":3},{"c":[]},{"c":null}]},{"b":[]},{},7],"z":1}"#;
    let event = |a: Value| json!({"a": a, "z": 1});
    assert_eq!(
        batch(&["a[*].b[*].c", "a[*].b[*].d"], "", body),
        [
            event(json!({"b": {"c": 1}})),
            event(json!({"b": {"c": 2}})),
            event(json!({"b": {"c": []}})),
            event(json!({"b": {"c": null}})),
            event(json!({"b": []})),
            event(json!({})),
            event(json!(7)),
            event(json!({"b": {"d": 3}})),
        ]
    );
    let both = ["events", "[*].events"];
    let object = r#"{"events":[1,2],"t":0}"#;
    let each = [json!({"events": 1, "t": 0}), json!({"events": 2, "t": 0})];
    assert_eq!(batch(&both, "", object), each);
    assert_eq!(batch(&both, "", &format!("[{object}]")), each);
    assert_eq!(batch(&["e", "e[*]", "e[0]"], "", r#"{"e":[[1],2]}"#).len(), 2);
    assert_eq!(
        batch(&["e", "e[*].f"], "", r#"{"e":[{"f":[1,2]},{"g":3}]}"#),
        [json!({"e": {"g": 3}}), json!({"e": {"f": 1}}), json!({"e": {"f": 2}})]
    );
    // The one that is taken by its place is not alone.
    assert_eq!(batch(&["e[1].f"], "", r#"{"e":[0,{"f":[5]}]}"#), [json!({"e": [0, {"f": 5}]})]);
}

#[test]
fn a_field_is_decoded_before_the_split() {
    let fields = [(steps("payload"), FieldDecoding::Json)];
    let splits = [steps("payload.events")];
    let shape = Shape { splits: &splits, fields: &fields };
    let body = b"payload=%7B%22events%22%3A%5B1%2C2%5D%7D&x=y";
    let request = request("application/x-www-form-urlencoded", "", body);
    match read(decode(&request, shape, &DecodeLimits::default()).unwrap()) {
        Read::Batch(pieces) => {
            assert_eq!(text(&pieces[1]), r#"{"payload":{"events":2},"x":"y"}"#)
        }
        single => panic!("{single:?}"),
    }
}

#[test]
fn what_is_over_a_limit_is_set_aside_whole() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(fault("", deep(63).as_bytes()), None);
    assert_eq!(fault("", deep(64).as_bytes()), Some(Reason::TooDeep));
    let keys = |count: usize| {
        let members: Vec<_> = (0..count).map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(fault("", keys(10_000).as_bytes()), None);
    assert_eq!(fault("", keys(10_001).as_bytes()), Some(Reason::TooManyKeys));
    let elements = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert_eq!(batch(&[], "", &elements(5_000)).len(), 5_000);
    assert_eq!(fault("", elements(5_001).as_bytes()), Some(Reason::BatchTooLarge));
    assert!(is_malformed("application/json", "[".repeat(1 << 20).as_bytes()));
    // Each element has its own limits; one over them does not fail the others.
    let mixed = format!("[{{\"a\":1}},{}]", deep(64));
    match with(&[], &request("", "", mixed.as_bytes())).unwrap() {
        Read::Batch(pieces) => {
            assert_eq!(pieces[0].fault, None);
            assert_eq!(pieces[1].fault, Some(Reason::TooDeep));
        }
        single => panic!("{single:?}"),
    }
}

#[test]
fn a_split_cannot_multiply_a_body_without_bound() {
    let body = format!(
        "{{\"rest\":\"{}\",\"e\":{}}}",
        "x".repeat(900_000),
        format_args!("[{}]", vec!["0"; 5_000].join(","))
    );
    match with(&["e"], &request("", "", body.as_bytes())).unwrap() {
        Read::Single(piece) => assert_eq!(piece.fault, Some(Reason::BatchTooLarge)),
        batch => panic!("{batch:?}"),
    }
}

#[test]
fn recorded_bodies_of_real_senders_keep_their_bytes() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/payloads"));
    let mut folders = vec![folder];
    let mut bodies = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "json") {
                let body = std::fs::read(&path).unwrap();
                match with(&[], &request("application/json", "", &body)).unwrap() {
                    Read::Single(piece) if body.trim_ascii().starts_with(b"{") => {
                        assert_eq!(piece.payload, Payload::Json(body.into()), "{}", path.display());
                    }
                    Read::Batch(pieces) => {
                        assert!(pieces.iter().all(|piece| piece.fault.is_none()))
                    }
                    Read::Single(piece) => assert_eq!(piece.fault, None),
                }
                bodies += 1;
            }
        }
    }
    assert!(bodies == 0 || bodies > 300, "{bodies}");
}

const KINDS: [&str; 8] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/x-ndjson",
    "text/plain; charset=latin1",
    "application/xml",
    "nonsense",
    "",
];

fn all_pieces(decoded: Read) -> Vec<Piece> {
    match decoded {
        Read::Single(piece) => vec![piece],
        Read::Batch(pieces) => pieces,
    }
}

proptest! {
    #[test]
    fn any_bytes_under_any_headers_are_answered(
        kind in prop::sample::select(KINDS.to_vec()),
        encoding in prop::sample::select(vec![None, Some("gzip"), Some("deflate"), Some("zstd")]),
        query in "[a-c\\[\\]=&%]{0,12}",
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "[\\[{\"a:1,}\\]\\n=&x-]{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        let request = RawRequest {
            content_type: Some(kind), content_encoding: encoding, query: &query, body: body.into(),
        };
        let splits = [steps("a"), steps("[*].a"), steps("a[*].a")];
        let fields = [(steps("a"), FieldDecoding::Json), (steps("a.a"), FieldDecoding::Base64)];
        let shape = Shape { splits: &splits, fields: &fields };
        if let Ok(decoded) = decode(&request, shape, &DecodeLimits::default()) {
            for piece in all_pieces(read(decoded)) {
                if let Payload::Json(bytes) = &piece.payload {
                    let value: Value = serde_json::from_slice(bytes).unwrap();
                    prop_assert!(value.is_object());
                }
            }
        }
    }

    #[test]
    fn the_query_never_changes_the_members_of_the_body(
        body in prop::collection::btree_map("[a-d]", any::<i32>(), 0..4),
        query in prop::collection::btree_map("[a-d]", "[x-z]{1,2}", 0..4),
    ) {
        let spelt: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let merged = single("application/json", &spelt.join("&"), &serde_json::to_string(&body).unwrap());
        let mut expected: serde_json::Map<String, Value> =
            query.into_iter().map(|(name, value)| (name, value.into())).collect();
        expected.extend(body.into_iter().map(|(name, value)| (name, value.into())));
        prop_assert_eq!(serde_json::from_str::<Value>(&merged).unwrap(), Value::Object(expected));
    }
}

/// What a body reads as, in this media type.
fn read_as(kind: &str, body: &[u8]) -> Value {
    match with(&[], &request(kind, "", body)).unwrap() {
        Read::Single(piece) => {
            assert_eq!(piece.fault, None, "{kind}");
            serde_json::from_str(text(&piece)).unwrap()
        }
        batch => panic!("{batch:?}"),
    }
}

#[test]
fn a_body_is_read_in_the_encoding_that_is_declared() {
    let utf16 = |little: bool| -> Vec<u8> {
        let units = "{\"n\":\"é\"}".encode_utf16();
        units
            .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    };
    let marked = |mark: &[u8], rest: &[u8]| [mark, rest].concat();
    let is = json!({ "n": "é" });
    for (kind, body) in [
        ("application/json", "{\"n\":\"é\"}".as_bytes().to_vec()),
        ("application/json", b"{\"n\":\"\xE9\"}".to_vec()),
        ("application/json; charset=iso-8859-1", b"{\"n\":\"\xE9\"}".to_vec()),
        ("application/json; charset=\"utf-16\"", utf16(true)),
        ("application/json; charset=utf-16be", utf16(false)),
        ("application/json", utf16(true)),
        ("application/json", utf16(false)),
        ("application/json", marked(b"\xFF\xFE", &utf16(true))),
        ("", marked(b"\xFE\xFF\xFE\xFF", &utf16(false))),
        ("text/plain", marked(b"\xEF\xBB\xBF\xEF\xBB\xBF", "{\"n\":\"é\"}".as_bytes())),
        ("application/json; charset=iso-8859-15", b"{\"n\":\"\xE9\"}".to_vec()),
        (
            "application/json; charset=iso-8859-1",
            marked(b"\xEF\xBB\xBF", "{\"n\":\"é\"}".as_bytes()),
        ),
        ("application/x-www-form-urlencoded", b"n=%E9".to_vec()),
        ("application/x-www-form-urlencoded", b"n=\xE9".to_vec()),
        ("application/x-www-form-urlencoded", b"n=%C3%A9".to_vec()),
        ("application/x-www-form-urlencoded", b"{\"n\":\"\xE9\"}".to_vec()),
        ("multipart/form-data; boundary=b", part("", b"\xE9")),
        (
            "multipart/form-data; boundary=b",
            part("content-type: text/plain; charset=utf-8\r\n", "é".as_bytes()),
        ),
        (
            "multipart/form-data; boundary=b; charset=cp437",
            part("content-type: text/plain; charset=latin1\r\n", b"\xE9"),
        ),
    ] {
        assert_eq!(read_as(kind, &body), is, "{kind} {body:x?}");
    }
    assert_eq!(read_as("text/xml; charset=shift_jis", b"\x93\xFA"), json!({ "body": "日" }));
    assert_eq!(read_as("text/plain", b"\x80\xE9"), json!({ "body": "€é" }));
    assert_eq!(read_as("application/json", b"{\"a\":NaN}"), json!({ "a": null }));
}

fn part(header: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\ncontent-disposition: form-data; name=\"n\"\r\n{header}\r\n");
    [head.as_bytes(), content, b"\r\n--b--\r\n"].concat()
}
