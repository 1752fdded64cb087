//! What cannot be read without loss is kept whole, and what is damaged identifies nobody.

use super::*;
use crate::domain::compiled::Compiled;
use crate::domain::event::Event;
use crate::domain::facts::RequestFacts;
use crate::domain::settings::{FieldDecoding, Settings};
use crate::domain::time::Timestamp;

const FORM: &str = "application/x-www-form-urlencoded";

fn pieces_of(splits: &[&str], request: &RawRequest<'_>) -> Vec<Piece> {
    match with(splits, request).unwrap() {
        Read::Single(piece) => vec![piece],
        Read::Batch(pieces) => pieces,
    }
}

fn value(piece: &Piece) -> Value {
    serde_json::from_str(text(piece)).unwrap()
}

fn body_of(piece: &Piece) -> Option<&[u8]> {
    piece.raw.as_ref().map(|raw| &raw.body[..])
}

/// A sender whose ids are read from everywhere, so that a damaged one would be taken if it could.
fn compiled() -> Compiled {
    let settings: Settings = serde_json::from_value(json!({
        "sources": {"s": {
            "id": "s", "profile_id": ["n", "query:n"], "session_id": "n", "event_id": "n",
            "event_type": "n",
        }},
        "points": {"p": {
            "id": "p", "identifiers": [
                {"type": "any", "path": ["n", "query:n"]},
                {"type": "made", "path": "x-{n}"},
            ],
        }},
    }))
    .unwrap();
    Compiled::new(&settings).unwrap()
}

fn extracted(compiled: &Compiled, piece: &Piece, query: &str) -> Event {
    let facts = RequestFacts {
        event_type: "t",
        session: None,
        header: &|_| None,
        query: &query_pairs(query),
        received_at: Timestamp(1_764_000_000_000),
        batch_index: None,
        is_lossy: piece.raw.is_some(),
        passed_over: &|_| {},
    };
    let event = compiled.extract(&compiled.sources["s"], &facts, piece.payload.clone(), &[7; 32]);
    Event { raw: piece.raw.clone(), ..event }
}

fn names_nobody(event: &Event) -> bool {
    let texts = event.external.iter().chain(&event.identifiers).map(|found| &found.value);
    let session = event.session.iter();
    texts.chain(session).all(|text| !text.contains('\u{FFFD}'))
        && !event.kind.contains('\u{FFFD}')
        && (event.dedupe.is_none() || event.session.is_some())
}

#[test]
fn what_has_no_character_is_replaced_and_kept() {
    let part = |header: &str, content: &[u8]| part(header, content);
    for (kind, query, body) in [
        ("application/json; charset=utf-8", "", b"{\"n\":\"x\xE9\"}".to_vec()),
        ("application/json", "", b"\xEF\xBB\xBF{\"n\":\"x\xE9\"}".to_vec()),
        ("text/plain; charset=utf-8", "", b"{\"n\":\"x\xE9\"}".to_vec()),
        ("; charset=us-ascii", "n=%EF%BB%BFx%E9", b"".to_vec()),
        ("application/x-www-form-urlencoded; charset=utf-8", "", b"n=x%E9".to_vec()),
        ("application/x-www-form-urlencoded; charset=utf-8", "", b"n=x\xE9".to_vec()),
        (FORM, "", b"_charset_=utf-8&n=x%E9".to_vec()),
        (FORM, "", b"\xEF\xBB\xBFn=x%E9".to_vec()),
        (FORM, "", b"charset=shift_jis&n=x%81".to_vec()),
        ("application/x-www-form-urlencoded; charset=utf-8", "", b"{\"n\":\"x\xE9\"}".to_vec()),
        ("", "charset=utf-8&n=x%E9", b"".to_vec()),
        ("application/json", "_charset_=utf-8&n=x%E9", b"{\"m\":1}".to_vec()),
        ("multipart/form-data; boundary=b; charset=utf-8", "", part("", b"x\xE9")),
        (
            "multipart/form-data; boundary=b",
            "",
            part("content-type: text/plain; charset=gbk\r\n", b"x\x81"),
        ),
    ] {
        let pieces = pieces_of(&[], &request(kind, query, &body));
        let [piece] = &pieces[..] else { panic!("{kind}: {pieces:?}") };
        assert_eq!(piece.fault, None, "{kind} {query}");
        assert!(value(piece)["n"].to_string().contains("x\u{FFFD}"), "{kind} {query}");
        let raw = piece.raw.as_ref().unwrap_or_else(|| panic!("{kind} {query} is marked"));
        assert_eq!(raw.body, body, "{kind} {query}");
        assert_eq!(raw.query, query, "{kind} {query}");
        let event = extracted(&compiled(), piece, query);
        assert!(event.external.is_none() && event.identifiers.is_empty(), "{event:?}");
        assert!(event.session.is_none() && event.dedupe.is_none() && &*event.kind == "t");
    }
}

#[test]
fn what_is_whole_beside_it_counts() {
    let piece = &pieces_of(&[], &request("", "_charset_=utf-8&m=%E9&n=ann", b""))[0];
    let event = extracted(&compiled(), piece, "_charset_=utf-8&m=%E9&n=ann");
    assert_eq!(&*event.external.unwrap().value, "ann");
    assert_eq!(event.identifiers.len(), 2);
    // Who spells U+FFFD and is read without loss has said that.
    let piece =
        &pieces_of(&[], &request("application/json", "", "{\"n\":\"x\u{FFFD}\"}".as_bytes()))[0];
    assert!(piece.raw.is_none());
    assert_eq!(&*extracted(&compiled(), piece, "").external.unwrap().value, "x\u{FFFD}");
}

#[test]
fn a_damaged_value_is_none_of_a_trait_and_no_consent() {
    let settings: Settings = serde_json::from_value(json!({
        "sources": {"s": {
            "id": "s", "event_type": "type", "event_id": "id", "unidentified": "drop",
            "traits": {"name": ["name", "nick"], "all": "all", "mails": "mails"},
        }},
        "traits": {"mails": {"fold": "consent"}},
    }))
    .unwrap();
    let compiled = Compiled::new(&settings).unwrap();
    let body = b"{\"name\":\"\xE9\",\"nick\":\"n\",\"all\":[\"\xE9\"],\"mails\":\"\xE9\",\"id\":\"7\",\"type\":\"\xE9\"}";
    let kind = "application/json; charset=utf-8";
    let event = extracted(&compiled, &pieces_of(&[], &request(kind, "", body))[0], "");
    let traits = event.traits.iter().map(|one| (&*one.name, &*one.json));
    assert_eq!(traits.collect::<Vec<_>>(), [("mails", "\"\u{FFFD}\"")]);
    assert_eq!(compiled.unread_consents(&event).len(), 1);
    // Of two types that cannot be told apart, neither is a duplicate of the other.
    assert_eq!(event.dedupe, None);
    assert!(!compiled.unidentified_drop(&event), "somebody may have been named");
    let whole = &pieces_of(&[], &request("application/json", "", b"{}"))[0];
    assert!(compiled.unidentified_drop(&extracted(&compiled, whole, "")));
}

#[test]
fn each_event_of_a_batch_is_kept_with_its_own_bytes() {
    let kind = "application/json; charset=utf-8";
    let body = b" [{\"n\":\"a\"}, {\"n\":\"\xE9\"},\"\xFF\" , 7]";
    let pieces = pieces_of(&[], &request(kind, "", body));
    let expected: [Option<&[u8]>; 4] = [None, Some(b"{\"n\":\"\xE9\"}"), Some(b"\"\xFF\""), None];
    assert_eq!(pieces.iter().map(body_of).collect::<Vec<_>>(), expected);
    assert_eq!(value(&pieces[2]), json!({ "value": "\u{FFFD}" }));
    let body = b"\xEF\xBB\xBF{\"k\":1,\"l\":[{\"n\":\"\xE9\"},{\"n\":\"b\"}],\"z\":\"z\"}";
    for query in ["", "q=1", "k=7"] {
        let pieces = pieces_of(&["l"], &request(kind, query, body));
        let own: &[u8] = b"{\"k\":1,\"l\":{\"n\":\"\xE9\"},\"z\":\"z\"}";
        assert_eq!(pieces.iter().map(body_of).collect::<Vec<_>>(), [Some(own), None], "{query}");
    }
    let wide: Vec<u8> =
        "[{\"n\":\"é\"},{\"n\":\"?\"}]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let damaged = [&wide[..wide.len() - 8], b"\x00\xDC", &wide[wide.len() - 6..]].concat();
    let pieces = pieces_of(&[], &request("application/json; charset=utf-16", "", &damaged));
    assert_eq!(body_of(&pieces[0]), None);
    assert_eq!(body_of(&pieces[1]), Some(&damaged[22..damaged.len() - 2]));
    let lines = b"{\"n\":\"a\"}\n{\"n\":\"\xE9\"}\n{\"n\":\xE9}\n";
    let pieces = pieces_of(&[], &request("application/x-ndjson; charset=utf-8", "", lines));
    let own: [Option<&[u8]>; 3] = [None, Some(b"{\"n\":\"\xE9\"}"), Some(b"{\"n\":\xE9}")];
    assert_eq!(pieces.iter().map(body_of).collect::<Vec<_>>(), own);
    assert_eq!(pieces[2].fault, Some(Reason::MalformedBody));
}

#[test]
fn where_a_query_is_damaged_every_event_is_marked() {
    let query = "_charset_=utf-8&m=%E9";
    let body = b"[{\"n\":\"a\"},{\"n\":\"b\"}]";
    let pieces = pieces_of(&[], &request("application/json", query, body));
    for (piece, own) in pieces.iter().zip(["{\"n\":\"a\"}", "{\"n\":\"b\"}"]) {
        let raw = piece.raw.as_ref().unwrap();
        assert_eq!((&raw.body[..], &raw.query[..]), (own.as_bytes(), query.as_bytes()));
    }
}

#[test]
fn a_batch_in_a_field_is_kept_with_the_form_or_set_aside_whole() {
    let splits = [steps("l")];
    let fields = [(steps("l"), FieldDecoding::Json)];
    let shape = Shape { splits: &splits, fields: &fields };
    let form = |damaged: usize| {
        let good = std::iter::repeat_n("%7B%22n%22%3A%22a%22%7D", 300);
        let all = good.chain(std::iter::repeat_n("%7B%22n%22%3A%22%E9%22%7D", damaged));
        format!("l=%5B{}%5D", all.collect::<Vec<_>>().join(","))
    };
    let limits = DecodeLimits { batch_bytes: 64 << 10, ..DecodeLimits::default() };
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    let read_form = |damaged| {
        read(decode(&request(kind, "", form(damaged).as_bytes()), shape, &limits).unwrap())
    };
    let Read::Batch(pieces) = read_form(1) else { panic!("it is a batch") };
    assert_eq!(pieces.len(), 301);
    assert!(pieces[..300].iter().all(|piece| piece.raw.is_none()));
    assert_eq!(body_of(&pieces[300]), Some(form(1).as_bytes()));
    let Read::Single(piece) = read_form(40) else { panic!("it would be repeated too often") };
    assert_eq!(piece.fault, Some(Reason::BatchTooLarge));
    assert_eq!(body_of(&piece), Some(form(40).as_bytes()));
}

#[test]
fn what_is_no_json_after_its_loss_is_set_aside_whole() {
    for body in [&b"{\"n\":\xE9}"[..], b"{\"n\":\"\xE9", b"\xE9"] {
        let pieces = pieces_of(&[], &request("application/json; charset=utf-8", "", body));
        assert_eq!(pieces[0].fault, Some(Reason::MalformedBody));
        assert_eq!(pieces[0].payload, Payload::Opaque(Bytes::copy_from_slice(body)));
        assert_eq!(body_of(&pieces[0]), Some(body));
    }
    let refused = with(&[], &request("application/json; charset=latin1", "", b"{\"n\":\xE9}"));
    let Err(DecodeRefusal::MalformedBody { body, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(body, &b"{\"n\":\xE9}"[..], "as it came");
}

#[test]
fn forms_are_read_in_encodings_that_are_not_like_ascii() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let utf16 = "application/x-www-form-urlencoded; charset=utf-16le";
    let jis = "application/x-www-form-urlencoded; charset=iso-2022-jp";
    for (kind, body) in [
        (utf16, wide("n=日&m=1")),
        (utf16, wide("n=%E6%97%A5&m=1")),
        (utf16, b"n=%E6%97%A5&m=1".to_vec()),
        (utf16, b"n=%E5e&m=1".to_vec()),
        (FORM, [b"\xFF\xFE".to_vec(), wide("n=日&m=1")].concat()),
        (FORM, b"n=%E6%97%A5&m=1&charset=utf-16".to_vec()),
        (jis, b"n=\x1B$BF|\x1B(B&m=1".to_vec()),
        (jis, b"n=%1B$BF%7C%1B(B&m=1".to_vec()),
    ] {
        let read = read_as(kind, &body);
        assert_eq!((&read["n"], &read["m"]), (&json!("日"), &json!("1")), "{kind} {body:x?}");
    }
    let many = |header: &str, name: &[u8], content: &[u8]| {
        let start = b"--b\r\ncontent-disposition: form-data; name=\"";
        [&start[..], name, b"\"", header.as_bytes(), b"\r\n\r\n", content, b"\r\n--b--\r\n"]
            .concat()
    };
    let latin = "multipart/form-data; boundary=b; charset=latin1";
    assert_eq!(read_as(latin, &many("", b"\xE9", b"\xE9")), json!({ "é": "é" }));
    assert_eq!(
        read_as(latin, &many("; filename=\"\u{e4}.txt\"", b"n", b"12")),
        json!({ "n": { "name": "Ã¤.txt", "type": null, "size": 2 } })
    );
    let jis = "multipart/form-data; boundary=b; charset=iso-2022-jp";
    assert_eq!(read_as(jis, &many("", b"n", b"\x1B$BF|\x1B(B")), json!({ "n": "日" }));
    let wide = "multipart/form-data; boundary=b; charset=utf-16le";
    assert_eq!(read_as(wide, &many("", b"n", b"\xE5\x65")), json!({ "n": "日" }));
    // What is JSON in a text is decoded once.
    assert_eq!(read_as("text/plain; charset=latin1", b"{\"n\":\"\xE9\"}"), json!({ "n": "é" }));
}

const LABELS: [&str; 16] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "windows-1252",
    "iso-8859-2",
    "koi8-r",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "gb18030",
    "gbk",
    "big5",
    "euc-kr",
    "windows-1255",
    "x-user-defined",
    "nonsense",
];

/// A value's bytes: those that encodings treat in their own way are frequent.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![
            0x1b, 0x81, 0x8e, 0xe9, 0xef, 0xbb, 0xbf, 0xfe, 0xff, b'$', b'('
        ]),
        b'a'..=b'z',
    ];
    prop::collection::vec(byte, 1..24)
}

/// Where the value stands in a request.
fn laid(place: usize, label: &str, value: &[u8]) -> (String, String, Vec<u8>) {
    let escaped: String = value.iter().map(|byte| format!("%{byte:02X}")).collect();
    let form = |head: &str| format!("{FORM}{head}");
    match place {
        0 => (form(&format!("; charset={label}")), String::new(), format!("n={escaped}").into()),
        1 => (form(""), String::new(), format!("n={escaped}&_charset_={label}").into()),
        2 => (String::new(), format!("charset={label}&n={escaped}"), Vec::new()),
        3 => {
            let header = format!("content-type: text/plain; charset={label}\r\n");
            ("multipart/form-data; boundary=b".to_owned(), String::new(), part(&header, value))
        }
        4 => (
            format!("multipart/form-data; boundary=b; charset={label}"),
            String::new(),
            part("", value),
        ),
        5 => (format!("text/csv; charset={label}"), String::new(), value.to_vec()),
        _ => {
            let json = [b"{\"n\":\"", value, b"\"}"].concat();
            (format!("application/json; charset={label}"), String::new(), json)
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_loss_or_kept_whole_and_never_identify_damaged(
        label in prop::sample::select(LABELS.to_vec()),
        place in 0_usize..7,
        bytes in bytes(),
    ) {
        let (kind, query, body) = laid(place, label, &bytes);
        let read = match with(&[], &request(&kind, &query, &body)) {
            Ok(Read::Single(piece)) => piece,
            // JSON that is none, but was read without loss.
            Err(DecodeRefusal::MalformedBody { body: kept, .. }) if place > 2 => {
                prop_assert_eq!(&kept[..], &body[..]);
                return Ok(());
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        let declared = charset::named(label);
        let expected = match place {
            3 | 5 => charset::characters(&bytes, declared),
            _ => charset::part(&bytes, declared),
        };
        if place < 4 {
            prop_assert_eq!(read.raw.is_some(), expected.is_lossy);
            prop_assert_eq!(&value(&read)["n"], &*expected.text);
        }
        if place == 5 && read.fault.is_none() && value(&read).get("body").is_some() {
            prop_assert_eq!(read.raw.is_some(), expected.is_lossy);
            prop_assert_eq!(&value(&read)["body"], &*expected.text);
        }
        let is_replaced = text_of(&read).contains('\u{FFFD}');
        prop_assert!(read.raw.is_some() || !is_replaced || spells_it(&body, &query, declared));
        if let Some(raw) = &read.raw {
            prop_assert_eq!(&raw.body[..], &body[..]);
            prop_assert_eq!(&raw.query[..], query.as_bytes());
            let event = extracted(&compiled(), &read, &query);
            prop_assert!(names_nobody(&event), "{:?}", event);
            let again = compiled().reprocess("s", &event);
            prop_assert!(names_nobody(&again), "{:?}", again);
        }
    }
}

fn text_of(piece: &Piece) -> String {
    match &piece.payload {
        Payload::Json(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Payload::Opaque(_) => String::new(),
    }
}

/// Whether U+FFFD is what was sent.
fn spells_it(body: &[u8], query: &str, declared: Option<&'static Encoding>) -> bool {
    let all = [body, query.as_bytes()].concat();
    let plain: Vec<u8> = percent_encoding::percent_decode(&all).collect();
    let is_in = |encoding: &'static Encoding| {
        encoding.decode_without_bom_handling(&plain).0.contains('\u{FFFD}')
    };
    is_in(encoding_rs::UTF_8)
        || is_in(encoding_rs::UTF_16LE)
        || is_in(encoding_rs::UTF_16BE)
        || declared.is_some_and(is_in)
}
