//! Promise 8: damage to a file is found and named; never a panic of ours, a hang, or a wrong answer.
//!
//! A data folder is made by a run of the real program that is then killed: several journal segments,
//! a snapshot in the midst, a tail behind it. On copies of it one file at a time, of every kind, is
//! given a flipped bit, a zeroed page, a cut end, garbage behind its end, or is taken away. Then the
//! program is started, and one of these must come true:
//!
//! * it starts and answers everything as before: the damage was harmless, or mended by a replay;
//! * it does not start, exits with an error and names the file;
//! * it starts as before and what is damaged answers with a failure (5xx), not with something else;
//! * the end of the last segment was damaged and nothing sound lies behind it: as after a crash the
//!   torn tail is dropped, said so, and the state is the one before those events.
//!
//! About 60 cases by default, 1,500 with `SELFSAME_LONG=1`; a failure names its seed and its case.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::client::Client;
use support::compare::digest;
use support::model::People;
use support::program::{Home, Start};
use support::random::Random;
use support::world::{Size, World};

/// Longer than the watchdog over sled, after which a start goes on without the snapshot.
const NO_HANG: Duration = Duration::from_secs(100);
/// Several segments from a few events; profiles that are read from the snapshot.
const SMALL: &str = "[journal]\nsegment = \"4KiB\"\n[memory]\nactive_profiles = 4\n";
const PAGE: u64 = 4096;

/// A data folder and all that was known of it.
struct Before {
    home: Home,
    world: World,
    /// The digest after each event, beginning with none.
    digests: Vec<String>,
    /// Where the last segment ended after each event; none while there was an earlier segment.
    ends: Vec<Option<u64>>,
    last_segment: PathBuf,
    answers: BTreeMap<String, serde_json::Value>,
}

#[test]
fn damage_to_any_file_is_mended_or_named() {
    let seed = support::first_seed();
    let mut random = Random::new(seed);
    let before = before(seed);
    let rounds = if support::is_long() { 25 } else { 1 };
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..rounds {
        for file in files(&before, &mut random) {
            for harm in HARMS {
                let Some(case) = Case::new(&before, &file, harm, &mut random) else { continue };
                let outcome = case.play(&before, &format!("SELFSAME_SEED={seed}, round {round}"));
                *tally.entry(outcome).or_default() += 1;
            }
        }
    }
    eprintln!("damaged files: {tally:?}");
}

/// A run that leaves all kinds of files behind, and what it answered at its end.
fn before(seed: u64) -> Before {
    let world = World::new(seed, Size { events: 120, users: 12 });
    let home = Home::new(&world.config(SMALL));
    let program = home.start();
    let mut client = program.client();
    let mut digests = vec![digest(&mut client)];
    let mut lengths = vec![lengths(&home)];
    for (at, event) in world.events.iter().enumerate() {
        assert_eq!(client.post(&event.path(), &event.body()).unwrap().status, 200);
        if at == 70 {
            assert_eq!(client.post("/api/v1/snapshots", "").unwrap().status, 200);
        }
        digests.push(digest(&mut client));
        lengths.push(self::lengths(&home));
    }
    let people = People::new(&world.rules, &world.events);
    let answers = answers(&mut client, &people).expect("a sound folder answers everything");
    program.kill();
    let last_segment = lengths.last().unwrap().keys().next_back().unwrap().clone();
    assert!(lengths.last().unwrap().len() > 3, "expected several segments: {lengths:?}");
    let ends = lengths.iter().map(|files| files.get(&last_segment).copied()).collect();
    Before { home, world, digests, ends, last_segment, answers }
}

fn lengths(home: &Home) -> BTreeMap<PathBuf, u64> {
    let files = fs::read_dir(home.data().join("journal")).unwrap().map(Result::unwrap);
    files
        .map(|file| (Path::new("journal").join(file.file_name()), file.metadata().unwrap().len()))
        .collect()
}

/// Everything that is asked before and after; the inner error is a refusal of the server's making.
fn answers(
    client: &mut Client,
    people: &People,
) -> Result<BTreeMap<String, serde_json::Value>, String> {
    let owned = people.owners.iter().filter(|(_, owner)| owner.is_some()).map(|(name, _)| name);
    let mut paths: Vec<String> = owned
        .map(|name| format!("/api/v1/profiles?identifier={}", name.replace('+', "%2B")))
        .collect();
    paths.push("/api/v1/events?limit=250".to_owned());
    paths.push("/api/v1/state/digest".to_owned());
    let mut all = BTreeMap::new();
    for path in paths {
        let answer = client.get(&path).map_err(|error| format!("GET {path}: {error}"))?;
        if answer.status >= 500 {
            return Err(format!("GET {path}: {} {}", answer.status, answer.json()));
        }
        all.insert(path, answer.json());
    }
    Ok(all)
}

/// One file of every kind and place.
fn files(before: &Before, random: &mut Random) -> Vec<PathBuf> {
    let data = before.home.data();
    let mut all = Vec::new();
    walk(data, data, &mut all);
    let journal: Vec<&PathBuf> = all.iter().filter(|path| path.starts_with("journal")).collect();
    let mut chosen = vec![journal[0].clone(), journal[journal.len() - 1].clone()];
    chosen.push(journal[1 + random.below(journal.len() - 2)].clone());
    for folder in ["metadata", "slabs", ""] {
        let parent = Path::new("snapshot").join(folder);
        let holds = |path: &&PathBuf| {
            path.parent() == Some(parent.components().as_path())
                && fs::metadata(data.join(path)).unwrap().len() > 0
        };
        let mut of_kind: Vec<&PathBuf> = all.iter().filter(holds).collect();
        random.shuffle(&mut of_kind);
        chosen.extend(of_kind.into_iter().take(3).cloned());
    }
    let known = |path: &PathBuf| path.starts_with("journal") || path.starts_with("snapshot");
    chosen.extend(all.iter().filter(|path| !known(path)).cloned());
    chosen
}

fn walk(folder: &Path, base: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), base, into),
            false => into.push(entry.path().strip_prefix(base).unwrap().to_owned()),
        }
    }
    into.sort();
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Bit,
    Page,
    Cut,
    Garbage,
    Gone,
}

const HARMS: [Harm; 5] = [Harm::Bit, Harm::Page, Harm::Cut, Harm::Garbage, Harm::Gone];

/// A damaged copy of the folder.
struct Case {
    name: String,
    home: Home,
    file: PathBuf,
    harm: Harm,
    /// What was touched, in bytes.
    from: u64,
    to: u64,
}

impl Case {
    /// None where there is nothing to damage, such as a page that is zero already.
    fn new(before: &Before, file: &Path, harm: Harm, random: &mut Random) -> Option<Self> {
        let home = Home::new(&before.world.config(SMALL));
        copy(before.home.data(), home.data());
        let path = home.data().join(file);
        let bytes = fs::read(&path).unwrap();
        let length = bytes.len() as u64;
        let anywhere = if length == 0 { 0 } else { random.bits() % length };
        let handle = File::options().write(true).open(&path).unwrap();
        let (from, to) = match harm {
            _ if length == 0 && harm != Harm::Gone && harm != Harm::Garbage => return None,
            Harm::Bit => {
                let byte = bytes[usize::try_from(anywhere).unwrap()] ^ (1 << random.below(8));
                handle.write_all_at(&[byte], anywhere).unwrap();
                (anywhere, anywhere + 1)
            }
            Harm::Page => {
                let from = anywhere / PAGE * PAGE;
                let to = (from + PAGE).min(length);
                let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
                if bytes[range.clone()].iter().all(|byte| *byte == 0) {
                    return None;
                }
                handle.write_all_at(&vec![0; range.len()], from).unwrap();
                (from, to)
            }
            Harm::Cut => {
                handle.set_len(anywhere).unwrap();
                (anywhere, length)
            }
            Harm::Garbage => {
                let garbage: Vec<u8> = (0..100).map(|_| random.bits().to_le_bytes()[0]).collect();
                handle.write_all_at(&garbage, length).unwrap();
                (length, length + 100)
            }
            Harm::Gone => {
                fs::remove_file(&path).unwrap();
                (0, length)
            }
        };
        let name = format!("{harm:?} in {} at {from} of {length}", file.display());
        Some(Self { name, home, file: file.to_owned(), harm, from, to })
    }

    /// Starts the program on it and asks; how it went.
    fn play(&self, before: &Before, place: &str) -> &'static str {
        let place = format!("{place}: {}", self.name);
        let mut program = self.home.spawn();
        let start = program.ready(NO_HANG);
        let stderr = program.stderr();
        assert!(!stderr.contains("panicked at src/"), "{place}: {stderr}");
        match start {
            Start::Silent => panic!("{place}: it hangs: {stderr}"),
            Start::Ended(status) => {
                assert!(
                    status.code().is_some_and(|code| code > 0 && code != 101),
                    "{place}: {status}"
                );
                let name = self.file.file_name().unwrap().to_string_lossy().into_owned();
                let is_named = stderr.contains(&name)
                    || (self.harm == Harm::Gone && stderr.contains("journal"));
                assert!(is_named, "{place}: the error does not name the file: {stderr}");
                return "refused by name";
            }
            Start::Ready => {}
        }
        let people = People::new(&before.world.rules, &before.world.events);
        let mut client = program.client();
        let outcome = match answers(&mut client, &people) {
            Ok(answers) => {
                match answers.iter().find(|(path, answer)| before.answers[*path] != **answer) {
                    None => "harmless or mended",
                    Some((path, answer)) => {
                        let start = |value: &serde_json::Value| {
                            value.to_string().chars().take(300).collect::<String>()
                        };
                        let (now, then) = (start(answer), start(&before.answers[path]));
                        let place = format!("{place}: GET {path} answers {now} instead of {then}");
                        self.assert_torn(before, &digest(&mut client), &stderr, &place);
                        "torn tail dropped"
                    }
                }
            }
            Err(_) => "answered by a failure",
        };
        let stderr = program.kill();
        assert!(!stderr.contains("panicked at src/"), "{place}: {stderr}");
        outcome
    }

    /// Other answers than before are right only if the end of the journal was torn.
    fn assert_torn(&self, before: &Before, digest: &str, stderr: &str, place: &str) {
        assert_eq!(self.file, before.last_segment, "{place}: other answers, silently\n{stderr}");
        let end = before.ends.iter().flatten().max().unwrap();
        // A group that begins behind the damage.
        let after = before.ends.iter().flatten().any(|one| *one >= self.to && one < end);
        let is_cut = matches!(self.harm, Harm::Cut | Harm::Gone);
        assert!(is_cut || !after, "{place}: sound groups were dropped\n{stderr}");
        let whole = |end: &Option<u64>| end.is_none_or(|end| end <= self.from);
        let kept = before.ends.iter().take_while(|end| whole(end)).count();
        let at = before.digests.iter().rposition(|one| one == digest);
        let at = at.unwrap_or_else(|| panic!("{place}: a state that never was\n{stderr}"));
        assert!(at + 1 >= kept, "{place}: {at} events are left of {kept} whole ones\n{stderr}");
        // A cut between two groups looks like a journal that was never longer.
        let is_between = before.ends.iter().flatten().any(|end| *end == self.from);
        let is_said = stderr.contains("torn_bytes=") && !stderr.contains("torn_bytes=0 ");
        assert!(is_said || is_between || self.harm == Harm::Gone, "{place}: not a word\n{stderr}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
