//! What one event can make conditions look at.

use super::*;
use std::time::Instant;

fn campaign(condition: Value) -> Value {
    json!({"c": {
        "state": "live",
        "trigger": {"event_type": "a", "where": [condition]},
        "step": [hook()],
    }})
}

/// A list of even numbers as long as a body of 1 MiB allows.
fn many() -> Value {
    (0..200_000u32).map(|n| Value::from(n % 50_000 * 2)).collect()
}

#[test]
fn a_long_list_is_compared_with_another_in_no_time() {
    let odd: Vec<u32> = (0..5_000).map(|n| n * 2 + 1).collect();
    for condition in [
        json!({"property": "list", "in": odd}),
        json!({"property": "list", "not": [0]}),
        json!({"property": "list", "at_least": 1_000_000}),
        json!({"property": "list", "before": "1960-01-01T00:00:00Z"}),
        json!({"property": "list", "glob": "*x*7?"}),
        json!({"property": "list", "regex": "^[a-z]+$"}),
    ] {
        let mut world = World::new(campaign(condition.clone()));
        world.campaigns = world.campaigns.looking_at(5_000);
        let properties = json!({"list": many()});
        let began = Instant::now();
        let decisions = world.send("a", properties.clone(), 0);
        assert!(began.elapsed().as_secs() < 30, "{condition}: {:?}", began.elapsed());
        assert_eq!(decisions, [Decision::Bounded], "{condition}");
        let preview = world.preview("c", "a", &properties.to_string(), 0);
        let rule =
            preview.rules.iter().find(|rule| rule.rule.starts_with("property list")).unwrap();
        let told = rule.bounded.as_deref().unwrap();
        assert!(!rule.holds && told.contains("first 5000 elements"), "{told}");
        assert_eq!(rule.seen.as_array().unwrap().len(), 5_000);
    }
}

#[test]
fn what_lies_within_reach_is_seen_as_ever() {
    let mut world = World::new(campaign(json!({"property": "list", "in": [7, "x", 1.50]})));
    world.campaigns = world.campaigns.looking_at(3);
    for (list, fires) in [
        (json!([1, 2, 7]), true),
        (json!([1, 2, "x"]), true),
        (json!("1.5"), true),
        (json!([1, "7.0"]), true),
        (json!([1, 2, "7x"]), false),
    ] {
        let decisions = world.send("a", json!({"list": list}), 0);
        assert_eq!(!calls(&decisions).is_empty(), fires, "{list}");
        assert!(!decisions.contains(&Decision::Bounded), "{list}");
    }
    assert_eq!(world.send("a", json!({"list": [1, 2, 3, 7]}), 0), [Decision::Bounded]);
}
