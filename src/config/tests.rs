//! What users rely on when they write configuration.

use super::*;
use std::path::Path;

fn read(files: &[(&str, &str)], inputs: &Inputs) -> Result<Config, ConfigError> {
    let files: Vec<File> = files
        .iter()
        .map(|(path, text)| File { path: path.into(), text: (*text).to_owned() })
        .collect();
    Config::from_files(&files, inputs)
}

fn problems(text: &str) -> Vec<String> {
    let error = read(&[("a.toml", text)], &Inputs::default()).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn without_a_folder_the_default_file_counts_as_it_is_compiled_in() {
    let inputs = Inputs { folder: Some(folder("config")), ..Inputs::default() };
    let embedded = Config::load(&Inputs::default()).unwrap();
    assert_eq!(embedded, Config::load(&inputs).unwrap());
    assert!(embedded.settings.sources.contains_key("demo-shop"));
}

#[test]
fn the_default_folder_says_what_the_program_does_anyway() {
    let inputs = Inputs { folder: Some(folder("config")), ..Inputs::default() };
    let config = Config::load(&inputs).unwrap();
    let default = Config::default();
    let json = |config: &Config| serde_json::to_value(config.sections()).unwrap();
    assert_eq!(json(&config), json(&default));
}

#[test]
fn every_key_of_every_section_is_shown_in_the_default_file() {
    let text = std::fs::read_to_string(folder("config/default.toml")).unwrap();
    let sections = serde_json::to_value(Config::default().sections()).unwrap();
    for (section, keys) in sections.as_object().unwrap() {
        let start = text.find(&format!("[{section}]")).unwrap_or_else(|| panic!("{section}"));
        for key in keys.as_object().unwrap().keys() {
            assert!(text[start..].contains(&format!("{key} = ")), "{section}.{key} is not shown");
        }
    }
}

#[test]
fn every_example_is_right() {
    for entry in std::fs::read_dir(folder("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let files = [File { path, text }];
        let config = Config::from_files(&files, &Inputs::default()).unwrap();
        assert!(!config.settings.sources.is_empty());
    }
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_known_key() {
    let found = problems("[server]\nadress = \"127.0.0.1:1\"\n[lmits]\nbody = 1\n");
    assert_eq!(
        found,
        [
            "a.toml:2: unknown key \"adress\"; did you mean \"address\"?",
            "a.toml:3: unknown section \"lmits\"; did you mean \"limits\"?",
        ]
    );
}

#[test]
fn unknown_keys_are_found_at_any_depth() {
    let found = problems(
        "[[source]]\nid = \"a\"\nprofil_id = \"x\"\n\n[[identification_point]]\nid = \"p\"\n\
         identifiers = [\n  { type = \"email\", path = \"a\", trai = \"email\" },\n]\n\
         [identity.types.email]\nlimit = { value = 5 }\n",
    );
    assert_eq!(
        found,
        [
            "a.toml:3: unknown key \"profil_id\"; did you mean \"profile_id\"?",
            "a.toml:8: unknown key \"trai\"; did you mean \"trait\"?",
            "a.toml:11: unknown key \"value\"; did you mean \"values\"?",
        ]
    );
}

#[test]
fn what_is_wrong_within_a_campaign_is_told_with_its_line() {
    let found = problems(
        "[[campaign]]\nid = \"c\"\ntrigger = { event_type = \"a\" }\n[[campaign.step]]\n\
         wiat = \"1h\"\n[[campaign.step]]\n[campaign.step.webhook]\nurl = \"https://x.example\"\n\
         fields = { email = \"traits.email\",\n  name = { form = \"traits.name\" } }\n\
         retry = \"often\"\n\
         [[identification_point]]\nid = \"p\"\n\
         identifiers = [ { type = \"email\",\n  path = { a = 1 } } ]\n",
    );
    assert_eq!(
        found,
        [
            "a.toml:5: campaign.c.step[0].wiat: unknown key \"wiat\"; did you mean \"wait\"?",
            "a.toml:10: campaign.c.step[1].webhook.fields.name.form: unknown key \"form\"; did you \
             mean \"from\"?",
            "a.toml:11: campaign.c.step[1].webhook.retry: expected how many attempts follow the \
             first one, such as 3, or how long to wait before each, such as [\"5s\", \"5m\"], found \
             a text",
            "a.toml:15: expected a text or a list of texts, found a table",
        ]
    );
}

#[test]
fn a_path_with_characters_of_other_languages_is_told_with_its_line() {
    let found = problems(
        "[[source]]\nid = \"a\"\nprofile_id = \"$.user.id\"\nsplit = [\"events\", \"a/b\"]\n\
         [[identification_point]]\nid = \"p\"\n\
         identifiers = [\n  { type = \"email\", path = [\"ok\", \"**.email\"] },\n]\n\
         [[campaign]]\nid = \"c\"\n\
         trigger = { event_type = \"a\", where = [ { property = \"a b\", exists = true } ] }\n\
         [[campaign.step]]\nwebhook = { url = \"https://x.example\" }\n",
    );
    let places: Vec<&str> = found.iter().filter_map(|one| one.split(": ").next()).collect();
    assert_eq!(places, ["a.toml:3", "a.toml:4", "a.toml:8", "a.toml:12"], "{found:?}");
    assert!(found[0].contains("leave it out"), "{found:?}");
    assert!(found[1].contains("[\"…\"]") && found[2].contains("[*]"), "{found:?}");
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let broken = ("b.toml", "[server\n");
    let wrong = (
        "a.toml",
        "[limits]\nbody = \"1 stone\"\ndepth = \"x\"\n[[source]]\nid = \"s\"\nenabled = 3\n\
         methods = \"POST\"\n",
    );
    let error = read(&[wrong, broken], &Inputs::default()).unwrap_err();
    let places: Vec<String> = error.problems.iter().map(|p| p.place.to_string()).collect();
    assert_eq!(places, ["a.toml:2", "a.toml:3", "a.toml:6", "a.toml:7", "b.toml:1"]);
    assert!(error.to_string().contains("expected a size such as"), "{error}");
}

#[test]
fn the_same_id_twice_names_both_places() {
    let first = ("a.toml", "[[source]]\nid = \"shop\"\n");
    let second = ("b.toml", "\n[[source]]\nid = \"shop\"\n[server]\ndata = \"x\"\n");
    let third = ("c.toml", "[server]\ndata = \"y\"\n");
    let error = read(&[first, second, third], &Inputs::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "b.toml:2: source \"shop\" is already defined at a.toml:1; keep one of them\n\
         c.toml:2: server.data is already set at b.toml:5; keep one of them"
    );
}

#[test]
fn several_files_are_read_as_one() {
    let config = read(
        &[
            ("a.toml", "[server]\ndata = \"x\"\n[identity.types.email]\nshared_by = 3\n"),
            ("b.toml", "[server]\naddress = \"127.0.0.1:9\"\n[identity.types.slack]\nunique=true"),
        ],
        &Inputs::default(),
    )
    .unwrap();
    assert_eq!(config.server.data, Path::new("x"));
    assert_eq!(config.server.address.port(), 9);
    assert_eq!(config.settings.identity.types.len(), 2);
}

#[test]
fn a_flag_beats_a_variable_beats_a_file() {
    let mut inputs = Inputs::default();
    inputs.env.insert("SELFSAME_SERVER__ADDRESS".into(), "127.0.0.1:2".into());
    inputs.env.insert("SELFSAME_MEMORY__ACTIVE_PROFILES".into(), "42".into());
    inputs.env.insert("SELFSAME_LIMITS__BODY".into(), "2MiB".into());
    let file = [("a.toml", "[server]\naddress = \"127.0.0.1:1\"\n")];
    let config = read(&file, &inputs).unwrap();
    assert_eq!(config.server.address.port(), 2);
    assert_eq!(config.memory.active_profiles, 42);
    assert_eq!(config.limits.body, ByteSize::mib(2));
    inputs.overrides.push(Override {
        flag: "--address",
        section: "server",
        key: "address",
        value: "127.0.0.1:3".into(),
    });
    assert_eq!(read(&file, &inputs).unwrap().server.address.port(), 3);
    inputs.overrides[0].value = "nowhere".into();
    let error = read(&file, &inputs).unwrap_err().to_string();
    assert!(error.starts_with("flag --address: expected an IP address"), "{error}");
}

#[test]
fn the_log_is_chosen_by_flag_variable_file_and_default() {
    let file = [("a.toml", "[log]\nformat = \"json\"\nlevel = \"error\"\n")];
    let mut inputs = Inputs::default();
    let level = |inputs: &Inputs| read(&file, inputs).unwrap().log.level;
    let parsed = |text| telemetry::LogLevel::parse(text).unwrap();
    assert_eq!(read(&file, &inputs).unwrap().log.format, telemetry::LogFormat::Json);
    assert_eq!(level(&inputs), parsed("error"));
    inputs.env.insert("RUST_LOG".into(), "selfsame".into());
    assert_eq!(level(&inputs), parsed("selfsame=trace"));
    inputs.env.insert("SELFSAME_LOG__LEVEL".into(), "warn".into());
    assert_eq!(level(&inputs), parsed("warn"));
    let (flag, section, key) = ("--log-level", "log", "level");
    inputs.overrides.push(Override { flag, section, key, value: "debug".into() });
    assert_eq!(level(&inputs), parsed("debug"));
    assert_eq!(
        problems("[log]\nformat = \"jsn\"\nlevel = \"loud\"\n"),
        [
            "a.toml:2: unknown value \"jsn\"; did you mean \"json\"?",
            "a.toml:3: expected error, warn, info, debug, trace or off, or directives such as \
             \"info,selfsame::engine=debug\", found \"loud\"",
        ]
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let mut inputs = Inputs::default();
    inputs.env.insert("SELFSAME_SERVER__ADRESS".into(), "127.0.0.1:2".into());
    inputs.env.insert("SELFSAME_LIMITS__DEPTH".into(), "deep".into());
    let error = read(&[], &inputs).unwrap_err().to_string();
    assert!(error.contains("variable SELFSAME_SERVER__ADRESS: unknown key \"adress\""), "{error}");
    assert!(error.contains("variable SELFSAME_LIMITS__DEPTH: "), "{error}");
}

#[test]
fn a_secret_is_resolved_and_stays_out_of_debug_and_settings() {
    let text = "[admin]\ntoken = \"env:T\"\n[[campaign]]\nid = \"c\"\nstep = [ { webhook = { url = \"https://x.example/\", sign = \"env:S\" } } ]\ntrigger = { event_type = \"a\" }\n";
    let mut inputs = Inputs::default();
    let missing = read(&[("a.toml", text)], &inputs).unwrap_err().to_string();
    assert!(missing.contains("a.toml:2: the environment variable T is not set"), "{missing}");
    assert!(missing.contains("a.toml:3: the environment variable S is not set"), "{missing}");
    inputs.env.insert("T".into(), "tok3n-of-the-operator".into());
    inputs.env.insert("S".into(), "s1gn".into());
    let config = read(&[("a.toml", text)], &inputs).unwrap();
    assert_eq!(config.admin.token.as_ref().map(Secret::expose), Some("tok3n-of-the-operator"));
    assert!(config.in_clear.is_empty());
    let shown = format!("{config:?}{}", serde_json::to_string(&config.settings).unwrap());
    assert!(!shown.contains("tok3n-of-the-operator") && !shown.contains("s1gn"));
}

#[test]
fn a_secret_in_clear_leaves_the_settings_and_a_reference_takes_its_place() {
    let text = "[[source]]\nid = \"s\"\nenabled = false\nhandshake = { token = \"zx-one\" }\n\
        [[campaign]]\nid = \"c\"\ntrigger = { event_type = \"a\" }\nstep = [ { webhook = { url = \
        \"https://x.example/\", sign = \"zx-two\", headers = { X-Key = \"zx-three\", X-Mode = \"fast\" } } } ]\n";
    let config = read(&[("a.toml", text)], &Inputs::default());
    let error = config.unwrap_err().to_string();
    assert!(error.contains("handshakes are not available") && !error.contains("zx-"), "{error}");
    let config = read(
        &[("a.toml", &text.replace("handshake = { token = \"zx-one\" }", ""))],
        &Inputs::default(),
    );
    let config = config.unwrap();
    let settings = serde_json::to_string(&config.settings).unwrap();
    assert!(!settings.contains("zx-") && settings.contains("fast"), "{settings}");
    let at = |place: &str| {
        config.in_clear[&format!("in-file:campaign.c.step[0].webhook.{place}")].clone()
    };
    assert_eq!(at("sign").expose(), "zx-two");
    assert_eq!(at("headers.X-Key").expose(), "zx-three");
    assert_eq!(config.in_clear.len(), 2);
}

#[test]
fn references_of_files_are_checked_where_they_stand() {
    let campaign = |sign: &str| {
        format!(
            "[[campaign]]\nid = \"c\"\ntrigger = {{ event_type = \"a\" }}\nstep = [ {{ webhook = {{ url = \"https://x.example/\", sign = {sign:?} }} }} ]\n"
        )
    };
    assert!(read(&[("a.toml", &campaign("secret:set-later"))], &Inputs::default()).is_ok());
    for (sign, expected) in [
        ("secret:no such name", "a.toml:1: expected secret: and a name"),
        ("in-file:x", "a.toml:1: expected env:NAME, file:path or secret:NAME"),
        ("file:/etc/hostname", "a.toml:1: the secret's file /etc/hostname is not below"),
        ("file:../x", "a.toml:1: the secret's file ../x is not below"),
        ("env:NOT_THERE", "a.toml:1: the environment variable NOT_THERE is not set"),
    ] {
        let found = problems(&campaign(sign));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{sign}: {found:?}");
    }
}

#[test]
fn an_open_admin_api_keeps_to_loopback() {
    let found = problems("[server]\naddress = \"0.0.0.0:7676\"\n");
    assert!(found[0].starts_with("a.toml:2: the admin API would be open"), "{found:?}");
    let own = "[server]\naddress = \"0.0.0.0:7676\"\n[admin]\naddress = \"127.0.0.1:7677\"\n";
    assert!(read(&[("a.toml", own)], &Inputs::default()).is_ok());
    let token = "[server]\naddress = \"0.0.0.0:7676\"\n[admin]\ntoken = \"0123456789abcdef\"\n";
    assert!(read(&[("a.toml", token)], &Inputs::default()).is_ok());
}

#[test]
fn a_token_that_can_be_tried_out_is_refused_and_not_shown() {
    let mut inputs = Inputs::default();
    inputs.env.insert("T".into(), " 0123456789abcde\n".into());
    for token in ["env:T", "0123456789abcde"] {
        let text = format!("[admin]\ntoken = {token:?}\n");
        let error = read(&[("a.toml", &text)], &inputs).unwrap_err().to_string();
        assert!(error.starts_with("a.toml:2: expected admin.token to have at least 16"), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }
}
