//! Problems are named all at once, each by its place.

use super::*;

fn problems(config: &str) -> Vec<String> {
    let settings: Settings = toml::from_str(config).unwrap();
    match Compiled::new(&settings) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.at).collect(),
    }
}

#[test]
fn every_problem_is_named_by_its_place() {
    let config = r#"
        [sources.Shop]
        [sources.s]
        preset = "slack"
        verify = { secret = "env:X" }
        handshake = { token = "x" }
        namespace = "a:b"
        profile_id = "user[*].id"
        session_id = ["a", "b."]
        dedupe_window = "a week"
        methods = ["POST", "PURGE"]
        country = "Germany"
        rate_limit = "fast"
        split = "header:x"
        respond = { status = 99 }
        traits = { ok = "a", bad = "" }
        [sources.none]
        verify = { scheme = "none" }
        [points.empty]
        identifiers = []
        [points.p]
        source = "unknown-is-fine"
        event_type = " "
        identifiers = [ { type = "E Mail", path = "a[" } ]
        [identity.types.x]
        limit = { values = 0 }
        shared_by = 0
        blocked = { regex = ["ok", "("] }
    "#;
    let mut found = problems(config);
    found.sort();
    let mut expected = [
        "source.Shop",
        "source.s.preset",
        "source.s.verify",
        "source.s.handshake",
        "source.s.namespace",
        "source.s.profile_id",
        "source.s.session_id",
        "source.s.dedupe_window",
        "source.s.methods",
        "source.s.country",
        "source.s.rate_limit",
        "source.s.split",
        "source.s.respond.status",
        "source.s.traits.bad",
        "identification_point.empty.identifiers",
        "identification_point.p.event_type",
        "identification_point.p.identifiers[0].type",
        "identification_point.p.identifiers[0].path",
        "identity.types.x.limit.values",
        "identity.types.x.shared_by",
        "identity.types.x.blocked.regex[1]",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn blocked_values_identify_nobody_but_can_be_asked_about() {
    let config = "[identity.types.email]\nblocked = { exact = [\"Office@Site.org\"], prefix = [\"noreply+\"] }";
    let compiled = Compiled::new(&toml::from_str(config).unwrap()).unwrap();
    let email = |raw| compiled.canonical("email", None, raw);
    assert_eq!(email("office@site.org"), None);
    assert_eq!(email("NoReply+1@site.org"), None);
    assert_eq!(email("test@test.com"), None);
    assert_eq!(email("ann@site.org").as_deref(), Some("ann@site.org"));
    assert_eq!(compiled.canonical("phone", None, "+1 111 111 1111"), None);
    assert_eq!(
        compiled.identifier("email:OFFICE@site.org").unwrap().to_string(),
        "email:office@site.org"
    );
    assert_eq!(compiled.identifier("email:nonsense"), None);
    let off =
        Compiled::new(&toml::from_str("[identity]\nbuiltin_blocked = false").unwrap()).unwrap();
    assert!(off.canonical("id", None, "unknown").is_some());
}
