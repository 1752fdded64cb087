//! Campaigns as people write them, in TOML.

use crate::domain::campaign::{Calling, Campaigns, Order, Restart, Step};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const EXAMPLE: &str = r#"
[[campaign]]
id = "cart-reminder"
name = "Remind of a cart left behind"
state = "live"
trigger = { event_type = "page-view", source = "shop-web", where = [ { property = "page.path", glob = "/cart*" } ] }
audience = { known = true, where = [
  { trait = "country", in = ["NL", "BE"] },
  { count = "purchase", within = "30d", at_most = 0 } ] }
exit = { event_type = "purchase" }
stop = { restart_after = "7d" }
[[campaign.step]]
wait = "30m"
[[campaign.step]]
[campaign.step.webhook]
method = "POST"
url = "https://esp.example/automations/start"
headers = { "X-Api-Key" = "env:ESP_KEY" }
fields = { profileid = "profile.id", email = "traits.email", gender = { from = "traits.gender", default = "unknown" }, total = { from = "event.properties.total", on_missing = "abort" } }
static = { automationid = "42" }
sign = "env:ESP_SIGNING_SECRET"
order = "latest_wins"
max_age = "2d"
rate = "50/s"
on_missing = "null"
timeout = "3s"
concurrency = 2
retry = ["1s", "2m"]
"#;

fn campaigns(text: &str) -> Result<Campaigns, String> {
    let file: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let list = file.get("campaign").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let by_id: BTreeMap<String, Value> = list
        .into_iter()
        .map(|one| (one["id"].as_str().unwrap().to_owned(), serde_json::to_value(one).unwrap()))
        .collect();
    Campaigns::compile(&by_id).map_err(|problems| format!("{problems:?}"))
}

#[test]
fn every_key_of_a_campaign_is_read() {
    let compiled = campaigns(EXAMPLE).unwrap();
    let campaign = compiled.get("cart-reminder").unwrap();
    assert_eq!(campaign.restart, Restart::After(7 * 86_400_000));
    assert!(matches!(campaign.steps[0], Step::Wait { ms: 1_800_000 }));
    let webhook = campaign.webhook(1).unwrap();
    assert_eq!(webhook.order, Order::LatestWins);
    assert_eq!(webhook.max_age_ms, 2 * 86_400_000);
    let waits = [1_000, 120_000].into();
    assert_eq!(webhook.calling, Calling { timeout_ms: 3_000, at_a_time: 2, waits });
    assert_eq!(webhook.rate.map(|rate| rate.events), Some(50));
    assert_eq!(webhook.sign.as_ref().map(|sign| sign.masked("sign")), Some("***"));
    assert!(compiled.concern("page-view") && compiled.concern("purchase"));
    assert!(!compiled.concern("login") && compiled.counted().counts("purchase"));
    assert!(!campaign.audience_reads_event());
}

#[test]
fn a_count_of_retries_takes_the_waits_of_the_schedule_and_then_the_last_one() {
    let waits = |retry: &str| {
        let text = EXAMPLE.replace("[\"1s\", \"2m\"]", retry);
        let compiled = campaigns(&text)?;
        let webhook = compiled.get("cart-reminder").and_then(|one| one.webhook(1));
        Ok::<_, String>(webhook.unwrap().calling.waits.to_vec())
    };
    let schedule = Calling::default().waits;
    assert_eq!(waits("0").unwrap(), [0; 0]);
    assert_eq!(waits("[]").unwrap(), [0; 0]);
    assert_eq!(waits("2").unwrap(), schedule[..2]);
    assert_eq!(waits("11").unwrap()[8..], [86_400_000; 3]);
    for (wrong, told) in [
        ("101", "expected at most 100 attempts after the first, found 101"),
        ("-1", "expected how many attempts follow"),
        ("\"often\"", "expected how many attempts follow"),
        ("[5]", "expected a text, found a number"),
    ] {
        let problem = waits(wrong).unwrap_err();
        assert!(problem.contains(told), "{wrong}: {problem}");
    }
}

#[test]
fn the_campaigns_of_all_scenarios_can_be_used() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/scenarios/campaigns"));
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("${receiver}", "http://127.0.0.1:7700");
        let found = campaigns(&text);
        assert!(found.is_ok_and(|all| all.iter().count() > 0), "{}", file.display());
    }
}
