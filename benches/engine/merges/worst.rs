//! What one event can cost the identity actor at most, in graphs whose hubs and components are at
//! their limits.
//!
//! The goal: no event longer than 20 ms.

use super::{LATE, UNIQUE, World, event, found, median, pair, phone, user};
use selfsame::domain::event::{Event, Found};
use std::time::Duration;

/// Nobody's type is unique, so whoever is shared by many is no hub.
const OPEN: &str = r#"{
    "sources": {"shop": {"profile_id": "u"}},
    "identity": {"types": {"device": {"shared_by": 3}}},
    "limits": {"identifiers": 1000000}
}"#;

fn device(number: u64) -> Found {
    found("device", format!("{number:08}"))
}

fn with(external: Option<Found>, identifiers: impl Iterator<Item = Found>, at: i64) -> Event {
    event(external, identifiers.collect(), at)
}

/// One component of 9,000 edges, in which each of many addresses belongs to another user.
fn crowded(world: &mut World, users: u64) {
    // A backbone that holds nobody together: each user has addresses of their own, and one address
    // is refused to all but the first.
    let each = 8_000 / users;
    for number in 0..users {
        for own in 0..each {
            let at = LATE + (number * each + own) as i64;
            world.show(&user(number, phone(number * 10_000 + own), at));
        }
        world.show(&user(number, phone(99_999_999), LATE * 2 + number as i64));
    }
}

/// Shows how long one event of each kind takes: the median of some, and the longest.
pub fn events(shared: u64) {
    for addresses in [8u64, 40, 99] {
        let mut world = World::new(UNIQUE);
        crowded(&mut world, 100);
        let old = |nth: u64| {
            let all = (0..addresses).map(move |one| phone(one * 10_000 + nth));
            with(Some(found("shop", format!("old-{nth}"))), all, -1 - nth as i64)
        };
        line(&format!("{addresses} old addresses of others"), &mut world, (0..9).map(old));
        let mut world = World::new(UNIQUE);
        crowded(&mut world, 100);
        let late = |nth: u64| {
            let all = (0..addresses).map(move |one| phone(one * 10_000 + nth));
            with(Some(found("shop", format!("late-{nth}"))), all, LATE + 4_000 + nth as i64)
        };
        line(&format!("{addresses} addresses of others, in between"), &mut world, (0..9).map(late));
    }
    let mut world = World::new(UNIQUE);
    crowded(&mut world, 100);
    let all = |at: i64| {
        let all = (0..99).map(|one| phone(one * 10_000 + 1));
        with(Some(found("shop", "late".to_owned())), all, at)
    };
    world.show(&all(LATE * 3));
    let earlier = |nth: u64| all(LATE * 3 - 1 - nth as i64);
    line("99 addresses of others, each time earlier", &mut world, (0..9).map(earlier));
    let mut world = World::new(OPEN);
    for number in 0..shared {
        world.show(&user(number, device(1), number as i64));
    }
    let again = |nth: u64| user(shared + nth, device(1), LATE + nth as i64);
    line(&format!("a device that {shared} had"), &mut world, (0..9).map(again));
    let mut world = World::new(UNIQUE);
    for number in 0..shared {
        world.show(&user(number, phone(1), LATE + number as i64));
    }
    let early = |nth: u64| user(5_000 + nth, phone(1), LATE - 1 - nth as i64);
    line(&format!("a rebuild beside an address that {shared} had"), &mut world, (0..9).map(early));
    let mut world = World::new(OPEN);
    let session = |number: u64, at: i64| Event {
        session: Some("one".into()),
        ..event(Some(found("shop", number.to_string())), [].into_iter().collect(), at)
    };
    for number in 0..shared {
        world.show(&session(number, number as i64));
    }
    let again = |nth: u64| session(shared + nth, LATE + nth as i64);
    line(&format!("a session that {shared} had"), &mut world, (0..9).map(again));
    let mut world = World::new(OPEN);
    world.show(&pair(1, 2, 0));
    for number in 0..shared {
        world.show(&pair(1, 3 + number, number as i64));
        world.show(&pair(2, 3 + shared + number, number as i64));
    }
    let again = |nth: u64| pair(1, 2, LATE + nth as i64);
    line(&format!("two addresses that {shared} had each"), &mut world, (0..9).map(again));
    let mut world = World::new(
        r#"{"sources": {"shop": {"profile_id": "u"}}, "identity": {"types": {
            "device": {"shared_by": 1000}, "phone": {"unique": true}, "shop": {"unique": true}}},
            "limits": {"identifiers": 1000000}}"#,
    );
    for number in 0..shared.min(20_000) {
        world.show(&with(None, [phone(number % 900), device(number / 900)].into_iter(), 0));
    }
    let all = |nth: u64| {
        let devices = (0..20).map(device);
        with(Some(found("shop", format!("n{nth}"))), devices, LATE + nth as i64)
    };
    line("devices that are nearly hubs", &mut world, (0..9).map(all));
}

fn line(what: &str, world: &mut World, events: impl Iterator<Item = Event>) {
    let took: Vec<Duration> = events.map(|event| world.show(&event)).collect();
    let longest = took.iter().max().copied().unwrap_or_default();
    println!("one event, {what:<52} {:>9.1?}  longest {longest:>9.1?}", median(took));
}
