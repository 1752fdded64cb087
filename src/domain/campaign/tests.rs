//! Campaigns from their TOML to what they decide and send.

mod bounded;
mod late;
mod written;

use super::*;
use crate::domain::event::Timing;
use crate::domain::fold::Cell;
use crate::domain::graph::IdentifierStatus;
use crate::domain::settings::Fold;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000;

/// One profile of some fragments, the campaigns that watch it, and what they decided.
struct World {
    campaigns: Campaigns,
    folded: Folded,
    known: bool,
    identifiers: Vec<Shown>,
    fragments: Vec<(FragmentIndex, FragmentRuns)>,
    /// The events that were sent, for timers: type and properties.
    sent: Vec<(String, String)>,
    waiting: Vec<(String, FragmentIndex, Sequence, Timestamp)>,
    /// When the next events occurred, where their sender says so.
    said: Option<i64>,
}

fn compile(campaigns: Value) -> Result<Campaigns, Vec<String>> {
    let by_id: BTreeMap<String, Value> = serde_json::from_value(campaigns).unwrap();
    Campaigns::compile(&by_id).map_err(|all| all.iter().map(ToString::to_string).collect())
}

impl World {
    fn new(campaigns: Value) -> Self {
        Self {
            campaigns: compile(campaigns).unwrap(),
            folded: Folded::new(std::iter::empty(), 10),
            known: true,
            identifiers: Vec::new(),
            fragments: vec![(0, FragmentRuns::default()), (1, FragmentRuns::default())],
            sent: Vec::new(),
            waiting: Vec::new(),
            said: None,
        }
    }

    fn person(&self) -> Person<'_> {
        let (folded, identifiers) = (&self.folded, self.identifiers.as_slice());
        Person { id: "p-1", known: self.known, folded, identifiers }
    }

    fn set_trait(&mut self, name: &str, json: &str) {
        let cell = Cell::new(Fold::Last, Timestamp(0), Timing::Said, json).unwrap();
        self.folded.traits.insert(name.into(), cell);
    }

    /// An event of fragment 0.
    fn send(&mut self, kind: &str, properties: Value, now: i64) -> Vec<Decision> {
        self.send_on(0, kind, properties, now)
    }

    fn send_on(
        &mut self,
        on: FragmentIndex,
        kind: &str,
        properties: Value,
        now: i64,
    ) -> Vec<Decision> {
        self.sent.push((kind.to_owned(), properties.to_string()));
        let properties = properties.to_string();
        let event = EventFacts {
            sequence: self.sent.len() as u64,
            id: &format!("e-{}", self.sent.len()),
            kind,
            source: "web",
            session: None,
            occurred_at: Timestamp(self.said.unwrap_or(now)),
            is_said: self.said.is_some(),
            properties: &properties,
            fragment: on,
        };
        *self.folded.by_type.entry(kind.into()).or_default() += 1;
        for (index, runs) in &mut self.fragments {
            if !runs.counts.is_current(self.campaigns.counted()) {
                runs.counts.refill(self.campaigns.counted(), std::iter::empty());
            }
            if *index == on {
                let at = Timestamp(self.said.unwrap_or(now));
                runs.counts.feed(self.campaigns.counted(), kind, at);
            }
        }
        let shown: Vec<_> = self.fragments.iter().map(|(index, runs)| (*index, runs)).collect();
        let decisions = self.campaigns.on_event(&self.person(), &event, &shown, Timestamp(now));
        self.apply(decisions)
    }

    fn apply(&mut self, decisions: Vec<Decision>) -> Vec<Decision> {
        for decision in &decisions {
            match decision {
                Decision::Set { campaign, fragment, state } => {
                    let found = self.fragments.iter_mut().find(|(index, _)| index == fragment);
                    found.unwrap().1.set(campaign, *state);
                }
                Decision::Waiting { campaign, fragment, run, due } => {
                    self.waiting.push((campaign.to_string(), *fragment, *run, *due));
                }
                _ => {}
            }
        }
        decisions
    }

    /// Lets all timers fire that are due.
    fn advance(&mut self, now: i64) -> Vec<Decision> {
        let waiting = std::mem::take(&mut self.waiting);
        let (due, later) = waiting.into_iter().partition(|(.., due)| due.0 <= now);
        self.waiting = later;
        let mut all = Vec::new();
        for (campaign, fragment, run, _) in due {
            let (kind, properties) = self.sent[run as usize - 1].clone();
            let id = format!("e-{run}");
            let event = EventFacts {
                sequence: run,
                id: &id,
                kind: &kind,
                source: "web",
                session: None,
                occurred_at: Timestamp(0),
                is_said: false,
                properties: &properties,
                fragment,
            };
            let due = Due { campaign: &campaign, fragment, run, event_id: &id };
            let shown: Vec<_> = self.fragments.iter().map(|(index, runs)| (*index, runs)).collect();
            let person = self.person();
            let decisions =
                self.campaigns.on_timer(due, &person, Some(&event), &shown, Timestamp(now));
            all.extend(self.apply(decisions));
        }
        all
    }

    fn preview(&self, campaign: &str, kind: &str, properties: &str, now: i64) -> Preview {
        let event = EventFacts {
            sequence: 0,
            id: "e-0",
            kind,
            source: "web",
            session: None,
            occurred_at: Timestamp(self.said.unwrap_or(now)),
            is_said: self.said.is_some(),
            properties,
            fragment: 0,
        };
        let shown: Vec<_> = self.fragments.iter().map(|(index, runs)| (*index, runs)).collect();
        self.campaigns.preview(campaign, &self.person(), &event, &shown, Timestamp(now)).unwrap()
    }

    fn recheck(&self, enqueued: &Enqueued, now: i64) -> Recheck {
        let shown: Vec<_> = self.fragments.iter().map(|(index, runs)| (*index, runs)).collect();
        let pending = Pending {
            campaign: &enqueued.campaign,
            step: enqueued.step,
            trigger: enqueued.trigger,
            counts_from: Timestamp(-enqueued.late_ms),
        };
        self.campaigns.recheck(pending, &self.person(), None, &shown, Timestamp(now))
    }
}

fn calls(decisions: &[Decision]) -> Vec<&Enqueued> {
    decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Enqueue(enqueued) => Some(&**enqueued),
            _ => None,
        })
        .collect()
}

fn endings(decisions: &[Decision]) -> Vec<&Ended> {
    decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Ended { how, .. } => Some(how),
            _ => None,
        })
        .collect()
}

fn declined(decisions: &[Decision]) -> Option<&Held> {
    decisions.iter().find_map(|decision| match decision {
        Decision::Declined { why, .. } => Some(why),
        _ => None,
    })
}

fn hook() -> Value {
    json!({"webhook": {"url": "https://esp.example/x", "fields": {"n": "event.properties.n"}}})
}

#[test]
fn a_hybrid_campaign_calls_with_fields_and_static_fields() {
    let mut world = World::new(json!({"welcome": {
        "state": "live",
        "trigger": {"event_type": "Page View", "source": "web", "where": [{"property": "page", "glob": "/offer*"}]},
        "audience": {"known": true},
        "stop": {"restart_after": "7d"},
        "step": [{"webhook": {
            "url": "https://esp.example/start?a=1",
            "fields": {
                "profileid": "profile.id",
                "email": "traits.email",
                "mail": "identifiers.email",
                "gender": {"from": "traits.gender", "default": "unknown"},
                "total": "event.properties.total",
                "gone": "event.properties.gone",
                "automationid": "event.id",
            },
            "static": {"automationid": "42", "n": 1.50},
        }}],
    }}));
    world.known = false;
    let decisions = world.send("page-view", json!({"page": "/offer/1"}), 0);
    assert_eq!(declined(&decisions), Some(&Held::Audience));
    world.known = true;
    world.set_trait("email", "\"Ann@site.org\"");
    let shown = |value: &str, last_seen, status| Shown {
        kind: "email".into(),
        value: value.into(),
        raw: value.into(),
        first_seen: Timestamp(0),
        last_seen: Timestamp(last_seen),
        status,
    };
    world.identifiers = vec![
        shown("old@site.org", 1, IdentifierStatus::Effective),
        shown("ann@site.org", 2, IdentifierStatus::Effective),
        shown("hub@site.org", 9, IdentifierStatus::Quarantined),
    ];
    let decisions =
        world.send("page-view", json!({"page": "/offer/2", "total": 12345678901234567890u64}), 1);
    let calls = calls(&decisions);
    assert_eq!(calls[0].rendered.url, "https://esp.example/start?a=1");
    assert_eq!(
        calls[0].rendered.body.as_deref().unwrap(),
        r#"{"email":"Ann@site.org","gender":"unknown","mail":"ann@site.org","profileid":"p-1","total":12345678901234567890,"automationid":"42","n":1.5}"#
    );
    assert_eq!(endings(&decisions), [&Ended::Done]);
    let decisions = world.send("page-view", json!({"page": "/offer/3"}), 2);
    assert_eq!(declined(&decisions), Some(&Held::Until(Timestamp(1 + 7 * DAY))));
    assert!(world.send("page-view", json!({"page": "/other"}), 3).is_empty());
    let decisions = world.send("page-view", json!({"page": "/offer/4"}), 1 + 7 * DAY);
    assert_eq!(endings(&decisions), [&Ended::Done]);
}

#[test]
fn a_get_takes_its_fields_as_query_after_its_own() {
    let mut world = World::new(json!({"c": {
        "state": "live",
        "trigger": {"event_type": "*"},
        "step": [{"webhook": {
            "method": "GET",
            "url": "https://esp.example/x?a=1",
            "on_missing": "null",
            "fields": {"m": "event.properties.m", "t": "event.properties.t", "o": "event.properties.o"},
        }}],
    }}));
    let decisions = world.send("any", json!({"t": "a b&c", "o": {"x": 1}}), 0);
    let call = &calls(&decisions)[0].rendered;
    assert_eq!(call.url, "https://esp.example/x?a=1&m=&o=%7B%22x%22%3A1%7D&t=a+b%26c");
    assert_eq!(call.body, None);
}

#[test]
fn an_exit_ends_the_wait_and_cancels_what_is_not_sent() {
    let campaign = json!({"cart": {
        "state": "live",
        "trigger": {"event_type": "cart"},
        "exit": {"event_type": "purchase"},
        "step": [hook(), {"wait": "2s"}, hook()],
    }});
    let mut world = World::new(campaign);
    let first = world.send("cart", json!({"n": 1}), 0);
    let enqueued = calls(&first)[0].clone();
    assert_eq!(declined(&world.send("cart", json!({}), 1)), Some(&Held::Running));
    assert_eq!(world.recheck(&enqueued, 2), Recheck::Send);
    // The other fragment's purchase is the same person's.
    let decisions = world.send_on(1, "purchase", json!({}), 5);
    assert_eq!(endings(&decisions), [&Ended::Exit]);
    let exit = Moment { at: Timestamp(5), is_said: false, sequence: 3 };
    assert!(decisions.contains(&Decision::Cancel { campaign: "cart".into(), exit }));
    assert_eq!(world.recheck(&enqueued, 6), Recheck::Cancel(Ended::Exit));
    assert!(world.advance(3_000).is_empty());
    world.send("cart", json!({"n": 2}), 4_000);
    let later = world.advance(7_000);
    assert_eq!(calls(&later)[0].rendered.body.as_deref(), Some("{\"n\":2}"));
    assert_ne!(calls(&later)[0].webhook_id, enqueued.webhook_id);
    // Unmerged, the purchase is no longer this person's.
    world.fragments.pop();
    assert_eq!(world.recheck(&enqueued, 8), Recheck::Send);
    assert_eq!(world.recheck(&enqueued, 5 * DAY), Recheck::Cancel(Ended::TooOld));
}

#[test]
fn of_two_runs_that_a_merge_brings_together_the_earlier_one_goes_on() {
    let campaign = json!({"c": {
        "state": "live",
        "trigger": {"event_type": "a"},
        "stop": {"restart_after": "never"},
        "step": [{"wait": "1s"}, hook()],
    }});
    let mut world = World::new(campaign);
    let right = world.fragments.pop().unwrap();
    world.send("a", json!({}), 0);
    let left = std::mem::replace(&mut world.fragments, vec![right]);
    world.send_on(1, "a", json!({}), 10);
    world.fragments.extend(left);
    let decisions = world.advance(5_000);
    assert_eq!(calls(&decisions).len(), 1);
    assert_eq!(calls(&decisions)[0].trigger.sequence, 1);
    assert_eq!(endings(&decisions), [&Ended::Done, &Ended::Merged]);
    assert_eq!(declined(&world.send("a", json!({}), DAY)), Some(&Held::Once));
    // Unmerged, the right side never called.
    world.fragments.pop();
    assert_eq!(declined(&world.send_on(1, "a", json!({}), DAY)), None);
}

#[test]
fn counts_within_a_time_hold_over_all_fragments() {
    let mut world = World::new(json!({"c": {
        "state": "live",
        "trigger": {"event_type": "b"},
        "audience": {"where": [{"count": "Buy", "within": "30d", "at_least": 2, "at_most": 2}]},
        "step": [hook()],
    }}));
    world.send_on(0, "buy", json!({}), 0);
    world.send_on(1, "buy", json!({}), DAY);
    assert_eq!(calls(&world.send("b", json!({}), 2 * DAY)).len(), 1);
    world.send_on(1, "buy", json!({}), 3 * DAY);
    assert_eq!(calls(&world.send("b", json!({}), 4 * DAY)).len(), 0);
    assert_eq!(calls(&world.send("b", json!({}), 30 * DAY)).len(), 1);
    assert_eq!(calls(&world.send("b", json!({}), 32 * DAY)).len(), 0);
}

#[test]
fn each_test_compares_as_people_mean_it() {
    let holds = |condition: Value, properties: Value| {
        let mut campaign =
            json!({"c": {"state": "draft", "trigger": {"event_type": "a"}, "step": [hook()]}});
        campaign["c"]["trigger"]["where"] = json!([condition]);
        let world = World::new(campaign);
        world.preview("c", "a", &properties.to_string(), 0).fires
    };
    let cases = [
        (json!({"property": "a", "equals": 42}), json!({"a": "42.0"}), true),
        (json!({"property": "a", "equals": "42"}), json!({"a": 42}), true),
        (json!({"property": "a", "equals": true}), json!({"a": "true"}), true),
        (json!({"property": "a.b[0]", "equals": "x"}), json!({"a": {"b": ["x"]}}), true),
        (json!({"property": "a[*].n", "at_least": 5}), json!({"a": [{"n": 1}, {"n": "7"}]}), true),
        (json!({"property": "a", "equals": "x"}), json!({"a": ["y", "x"]}), true),
        (json!({"property": "a", "not": ["x", "z"]}), json!({"a": ["y", "x"]}), false),
        (json!({"property": "a", "not": "x"}), json!({}), true),
        (json!({"property": "a", "in": ["NL", 5]}), json!({"a": " NL "}), true),
        (json!({"property": "a", "glob": "/c?rt*"}), json!({"a": "/cart/\n1"}), true),
        (json!({"property": "a", "glob": "a.b"}), json!({"a": "axb"}), false),
        (json!({"property": "a", "regex": "^b+$"}), json!({"a": "bbb"}), true),
        (json!({"property": "a", "exists": true}), json!({"a": {}}), true),
        (json!({"property": "a", "exists": false}), json!({"a": null}), true),
        (json!({"property": "a", "at_most": "1e2"}), json!({"a": 100}), true),
        (json!({"property": "a", "at_least": 1}), json!({"a": "many"}), false),
        (
            json!({"property": "a", "before": "2026-01-02"}),
            json!({"a": "2026-01-01T23:59:59+00:00"}),
            true,
        ),
        (
            json!({"property": "a", "after": "2026-01-02T00:00:00Z"}),
            json!({"a": "2026-01-02T00:30:00+01:00"}),
            false,
        ),
        (json!({"property": "source", "equals": "x"}), json!({"source": "x"}), true),
        (
            json!({"any": [{"property": "a", "equals": 1}, {"trait": "t", "exists": true}]}),
            json!({"a": 2}),
            false,
        ),
        (
            json!({"any": [{"property": "a", "equals": 1}, {"trait": "t", "exists": false}]}),
            json!({"a": 2}),
            true,
        ),
        (json!({"count": "a", "at_most": 0}), json!({}), true),
    ];
    for (condition, properties, expected) in cases {
        let what = format!("{condition} of {properties}");
        assert_eq!(holds(condition, properties), expected, "{what}");
    }
}

#[test]
fn a_preview_says_which_rule_turns_away_and_masks_secrets() {
    let world = World::new(json!({"c": {
        "trigger": {"event_type": "a", "where": [{"property": "n", "at_least": 5}]},
        "stop": {"restart_after": "never"},
        "step": [{"webhook": {"url": "https://esp.example/x", "headers": {"X-Key": "env:KEY", "X-Plain": "1"}}}],
    }}));
    let preview = world.preview("c", "a", "{\"n\": 4}", 0);
    assert!(!preview.fires && preview.requests.is_empty());
    let turned_away = preview.rules.iter().find(|rule| !rule.holds).unwrap();
    assert_eq!(turned_away.rule, "property n at_least 5");
    assert_eq!(turned_away.seen, json!(4));
    let preview = world.preview("c", "a", "{\"n\": 6}", 0);
    assert!(preview.fires);
    assert_eq!(preview.requests[0].headers["x-key"], "***");
    assert_eq!(preview.requests[0].headers["x-plain"], "1");
    assert_eq!(preview.requests[0].body.as_deref(), Some("{}"));
}

#[test]
fn a_missing_field_can_stop_the_call_and_leaves_no_restart_time() {
    let mut world = World::new(json!({"c": {
        "state": "live",
        "trigger": {"event_type": "a"},
        "stop": {"restart_after": "never"},
        "step": [{"webhook": {"url": "https://esp.example/x", "on_missing": "abort", "fields": {"n": "event.properties.n"}}}],
    }}));
    let decisions = world.send("a", json!({"n": " "}), 0);
    assert_eq!(
        endings(&decisions),
        [&Ended::Missing { field: "n".into(), path: "event.properties.n".into() }]
    );
    assert_eq!(calls(&world.send("a", json!({"n": 0}), 1)).len(), 1);
    assert_eq!(declined(&world.send("a", json!({"n": 0}), 2)), Some(&Held::Once));
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = compile(json!({
        "Bad Id": {"trigger": {"event_type": "a"}, "step": [hook()]},
        "a": {"trigger": {"event_type": "a"}, "stepp": []},
        "b": {
            "trigger": {"event_type": " ", "where": [
                {"property": "a..b", "equals": 1},
                {"property": "a"},
                {"trait": "t", "count": "x", "equals": 1},
                {"property": "a", "regex": "(", "at_least": "x", "before": "soon"},
                {"count": "x", "within": "30d", "glob": "x"},
                {"any": []},
            ]},
            "stop": {"restart_after": "soon"},
            "step": [
                {"wait": "soon"},
                {"webhook": {"url": "http://esp.example/x"}},
                {"webhook": {"url": "https://{traits.host}/x"}},
                {"webhook": {"url": "https://u:p@esp.example/x", "method": "PUT", "rate": "fast", "max_age": "old", "timeout": "0s", "concurrency": 0, "retry": ["5s", "soon", "31d"],
                    "headers": {"Host": "x", "Webhook-Id": "x", "Metadata-Flavor": "x", "X-A": "a\nb", "a b": "c"},
                    "fields": {"a": "traits.", "b": "event.properties.a[*]", "c": "env"}}},
                {"wait": "1s"},
            ],
        },
    }))
    .unwrap_err();
    let text = problems.join("\n");
    for part in [
        "campaign.Bad Id",
        "campaign.a.stepp: unknown key \"stepp\"; did you mean \"step\"?",
        "campaign.b.trigger.event_type",
        "where[0].property",
        "where[1]: expected a test",
        "where[2]: expected exactly one",
        "where[3].regex",
        "where[3].at_least",
        "where[3].before",
        "where[4]: expected equals",
        "where[5].any",
        "stop.restart_after",
        "step[0].wait",
        "step[1].webhook.url: expected https",
        "step[2].webhook.url",
        "step[3].webhook.url: expected no user",
        "webhook.method",
        "webhook.rate",
        "webhook.max_age",
        "webhook.timeout: expected a span longer than nothing and up to \"5m\"",
        "webhook.concurrency: expected 1 to 1024 calls at a time, found 0",
        "webhook.retry[1]: expected a span",
        "webhook.retry[2]: expected a span longer than nothing and up to \"30d\"",
        "headers.Host",
        "headers.Webhook-Id",
        "headers.Metadata-Flavor",
        "headers.X-A",
        "headers.a b",
        "fields.a",
        "fields.b",
        "fields.c",
        "the last is a webhook",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

fn busy() -> Value {
    json!({
        "once": {"state": "live", "trigger": {"event_type": "a"}, "stop": {"restart_after": "never"}, "step": [hook()]},
        "later": {"state": "live", "trigger": {"event_type": ["a", "b"]}, "exit": {"event_type": "c"},
            "stop": {"restart_after": "5s"}, "step": [hook(), {"wait": "3s"}, hook()]},
        "rare": {"state": "live", "trigger": {"event_type": "*"},
            "audience": {"where": [{"count": "b", "within": "10s", "at_most": 1}]}, "step": [{"wait": "1s"}, hook()]},
    })
}

proptest! {
    #[test]
    fn the_same_journal_gives_the_same_decisions_and_each_id_once(
        events in prop::collection::vec((0usize..3, 0u32..2, 0i64..4_000), 1..40),
    ) {
        let play = || {
            let (mut world, mut now, mut all) = (World::new(busy()), 0, Vec::new());
            for (kind, fragment, passed) in &events {
                now += passed;
                all.extend(world.advance(now));
                all.extend(world.send_on(*fragment, ["a", "b", "c"][*kind], json!({"n": now}), now));
            }
            all.extend(world.advance(now + DAY));
            (all, world.fragments)
        };
        let (all, fragments) = play();
        let (again, fragments_again) = play();
        prop_assert_eq!(&all, &again);
        prop_assert_eq!(fragments, fragments_again);
        let mut ids: Vec<_> = calls(&all).iter().map(|call| call.webhook_id.clone()).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), count);
        let started = all.iter().filter(|one| matches!(one, Decision::Started { .. })).count();
        prop_assert_eq!(started, endings(&all).len());
        let once = calls(&all).iter().filter(|call| &*call.campaign == "once").count();
        prop_assert!(once <= 1);
    }
}

/// Each delivery of one event has a place in its number: no configuration has more webhooks than there
/// are places.
#[test]
fn all_campaigns_together_have_no_more_webhooks_than_an_event_has_places() {
    let step = || json!({"webhook": {"url": "https://x.example/", "fields": {}}});
    let campaign = |steps: usize| {
        let steps: Vec<Value> = (0..steps).map(|_| step()).collect();
        json!({"trigger": {"event_type": "x"}, "step": steps})
    };
    let all = |last: usize| {
        let mut all: BTreeMap<String, Value> =
            (0..655).map(|number| (format!("c{number}"), campaign(100))).collect();
        all.insert("last".to_owned(), campaign(last));
        compile(serde_json::to_value(all).unwrap())
    };
    assert!(all(36).is_ok(), "65,536 of them");
    let problems = all(37).unwrap_err();
    let expected = "expected at most 65536 webhooks in all campaigns together, found 65537";
    assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
}
