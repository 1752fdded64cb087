//! The rehearsal protocol: a line on stdout when ready, then commands on stdin, one per line.
//!
//! `advance <ms>` moves the clock and answers `ok <now in ms>`; `stop` ends gracefully; the end of
//! stdin ends too, so that no engine outlives its rehearsal.

use crate::clock::Clock;
use std::io::Write;
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// Says on stdout where the program is ready.
pub fn announce(address: SocketAddr, admin: SocketAddr) {
    say(&serde_json::json!({ "ready": { "address": address, "admin": admin } }).to_string());
}

/// Does as it is told until it is told to stop.
pub async fn follow(clock: &Clock) {
    let (sender, mut lines) = mpsc::channel(1);
    // A thread of its own: the runtime's could not end before the other side writes or closes, and
    // the program is to end by itself when its storage fails.
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.map(|line| sender.blocking_send(line)).take_while(Result::is_ok).count()
    });
    while let Some(line) = lines.recv().await {
        match line.split_once(' ').map_or((line.as_str(), ""), |(word, rest)| (word, rest.trim())) {
            ("stop", _) => return,
            ("advance", ms) => match ms.parse() {
                Ok(ms) => {
                    clock.advance(ms);
                    say(&format!("ok {}", clock.now().0));
                }
                Err(_) => say("error expected: advance <milliseconds>"),
            },
            _ => say("error expected: advance <milliseconds>, or stop"),
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the end of stdin will say so as well.
    let _written = writeln!(out, "{line}").and_then(|()| out.flush());
}
