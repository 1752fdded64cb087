//! Event time decides: events that come late, exits that came first, and ages.

use super::*;

const HOUR: i64 = 3_600_000;

fn cart(steps: Value) -> Value {
    json!({"cart": {
        "state": "live",
        "trigger": {"event_type": "cart"},
        "exit": {"event_type": "purchase"},
        "step": steps,
    }})
}

impl World {
    /// An event that its sender says occurred at `at`.
    fn say(&mut self, on: FragmentIndex, kind: &str, now: i64, at: i64) -> Vec<Decision> {
        self.said = Some(at);
        let decisions = self.send_on(on, kind, json!({}), now);
        self.said = None;
        decisions
    }
}

#[test]
fn an_exit_that_occurred_later_and_came_first_keeps_a_run_from_beginning() {
    for exit_on in [0, 1] {
        let mut world = World::new(cart(json!([hook()])));
        world.say(exit_on, "purchase", 10 * HOUR, 8 * HOUR);
        let begins =
            |world: &mut World, at| declined(&world.say(0, "cart", 10 * HOUR + 1, at)).cloned();
        assert_eq!(begins(&mut world, 7 * HOUR), Some(Held::Exited));
        assert_eq!(begins(&mut world, 8 * HOUR), Some(Held::Exited), "at the same time");
        assert_eq!(begins(&mut world, 8 * HOUR + 1), None);
        let preview = {
            world.said = Some(7 * HOUR);
            world.preview("cart", "cart", "{}", 10 * HOUR)
        };
        let rule = preview.rules.last().unwrap();
        assert!(!preview.fires && rule.rule == "no exit event occurred at or after it");
    }
}

#[test]
fn an_exit_that_occurred_before_the_trigger_ends_nothing() {
    let mut world = World::new(cart(json!([hook(), {"wait": "1h"}, hook()])));
    let first = world.say(0, "cart", 10 * HOUR, 9 * HOUR);
    let enqueued = calls(&first)[0].clone();
    let decisions = world.say(0, "purchase", 10 * HOUR + 1, 8 * HOUR);
    assert_eq!(endings(&decisions), Vec::<&Ended>::new());
    assert_eq!(world.recheck(&enqueued, 0), Recheck::Send);
    assert_eq!(calls(&world.advance(11 * HOUR)).len(), 1);
    // One that occurred since ends what it has left.
    let again = world.say(0, "cart", 12 * HOUR, 11 * HOUR);
    let enqueued = calls(&again)[0].clone();
    let decisions = world.say(1, "purchase", 12 * HOUR + 1, 11 * HOUR);
    assert_eq!(endings(&decisions), [&Ended::Exit]);
    assert_eq!(world.recheck(&enqueued, 0), Recheck::Cancel(Ended::Exit));
}

#[test]
fn what_one_event_begins_it_does_not_end() {
    let mut world = World::new(json!({"c": {
        "state": "live",
        "trigger": {"event_type": "a"},
        "exit": {"event_type": "*"},
        "step": [{"wait": "1h"}, hook()],
    }}));
    assert_eq!(declined(&world.say(0, "a", HOUR, HOUR)), None);
    assert_eq!(calls(&world.advance(2 * HOUR)).len(), 1);
    // Received at the same moment, without a time of their own: the order of arrival counts.
    world.send("b", json!({}), 3 * HOUR);
    assert_eq!(declined(&world.send("a", json!({}), 3 * HOUR)), None);
    assert_eq!(endings(&world.send("b", json!({}), 3 * HOUR)), [&Ended::Exit]);
}

#[test]
fn a_trigger_older_than_the_longest_max_age_begins_nothing() {
    let webhook = |age: &str| json!({"webhook": {"url": "https://esp.example/x", "max_age": age}});
    let mut world = World::new(cart(json!([webhook("1h"), webhook("2h")])));
    let old = world.say(0, "cart", 10 * HOUR, 8 * HOUR - 1);
    assert_eq!(declined(&old), Some(&Held::TooOld));
    let young = world.say(0, "cart", 10 * HOUR, 8 * HOUR);
    let both = calls(&young);
    assert_eq!(both.iter().map(|one| one.late_ms).collect::<Vec<_>>(), [2 * HOUR, 2 * HOUR]);
    assert_eq!(world.recheck(both[0], 0), Recheck::Cancel(Ended::TooOld));
    assert_eq!(world.recheck(both[1], 0), Recheck::Send);
    assert_eq!(world.recheck(both[1], 1), Recheck::Cancel(Ended::TooOld));
    // By default four days.
    let mut world = World::new(cart(json!([hook()])));
    assert_eq!(declined(&world.say(0, "cart", 10 * DAY, 6 * DAY - 1)), Some(&Held::TooOld));
    assert_eq!(declined(&world.say(0, "cart", 10 * DAY, 6 * DAY)), None);
}

#[test]
fn waits_do_not_make_a_delivery_too_old() {
    let mut world = World::new(cart(json!([{"wait": "5d"}, hook()])));
    world.say(0, "cart", DAY, DAY - HOUR);
    let later = world.advance(6 * DAY);
    assert_eq!(calls(&later)[0].late_ms, HOUR);
    assert_eq!(world.recheck(calls(&later)[0], 4 * DAY - HOUR), Recheck::Send);
    assert_eq!(world.recheck(calls(&later)[0], 4 * DAY), Recheck::Cancel(Ended::TooOld));
}

#[test]
fn a_late_trigger_is_judged_as_of_when_it_occurred() {
    let mut world = World::new(json!({"c": {
        "state": "live",
        "trigger": {"event_type": "cart"},
        "audience": {"where": [{"count": "purchase", "within": "2h", "at_most": 0}]},
        "step": [hook()],
    }}));
    world.say(0, "purchase", 10 * HOUR, HOUR);
    world.say(1, "purchase", 10 * HOUR, 9 * HOUR);
    let why = |world: &mut World, at| declined(&world.say(0, "cart", 10 * HOUR, at)).cloned();
    assert_eq!(why(&mut world, 10 * HOUR), Some(Held::Audience));
    assert_eq!(why(&mut world, 9 * HOUR), Some(Held::Audience));
    assert_eq!(why(&mut world, 8 * HOUR), None, "the purchase at nine had not been made");
    assert_eq!(why(&mut world, 3 * HOUR - 1), Some(Held::Audience));
    assert_eq!(why(&mut world, 3 * HOUR), None);
}

proptest! {
    /// Whatever order a trigger and exits come in, the call is made in all orders or in none; only
    /// how it is kept from being made differs.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        at in 1i64..6,
        exits in prop::collection::vec((1i64..6, 0u32..2), 0..4),
        place in 0usize..4,
    ) {
        let mut world = World::new(cart(json!([{"wait": "1h"}, hook()])));
        let place = place.min(exits.len());
        let now = 10 * HOUR;
        for (exit, on) in &exits[..place] {
            world.say(*on, "purchase", now, *exit);
        }
        world.say(0, "cart", now, at);
        for (exit, on) in &exits[place..] {
            world.say(*on, "purchase", now, *exit);
        }
        let has_exited = exits.iter().any(|(exit, _)| *exit >= at);
        prop_assert_eq!(calls(&world.advance(12 * HOUR)).is_empty(), has_exited);
    }
}
