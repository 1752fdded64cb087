//! Promise 7 and the power cut of promise 1, on real file systems that the tests mount themselves.
//!
//! Both need root and mounts (tmpfs; ext4 on a loop device). Where they cannot be had the tests say
//! so on stderr, loudly, and pass: nothing was proven there.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::client::Client;
use support::compare::{Listed, digest, listed};
use support::program::{Home, Program, Start, poll};
use tempfile::TempDir;

const SOURCE: &str = "[[source]]\nid = \"shop\"\nprofile_id = \"u\"\nevent_id = \"id\"\n";
/// The longest that the program may take to notice that the disk is nearly full, or has room again.
const NOTICED: Duration = Duration::from_secs(30);

/// A mounted file system; unmounted when dropped.
struct Mount {
    at: TempDir,
    device: Option<String>,
}

impl Mount {
    fn tmpfs(size: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let is_mounted = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", path(at.path())]);
        is_mounted.then_some(Self { at, device: None })
    }

    /// An ext4 image on a loop device.
    fn image(image: &Path) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let found = Command::new("losetup").args(["-f", "--show", path(image)]).output().ok()?;
        let device = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if !found.status.success() || device.is_empty() {
            return None;
        }
        let is_mounted = run("mount", &[&device, path(at.path())]);
        let mount = Self { at, device: Some(device) };
        is_mounted.then_some(mount)
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What was never mounted cannot be unmounted.
        run("umount", &[path(self.at.path())]);
        if let Some(device) = &self.device {
            run("losetup", &["-d", device]);
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

fn skip(what: &str) {
    eprintln!("\n!!! SKIPPED, NOTHING WAS PROVEN: {what} (root and mounts are needed)\n");
}

/// Posts events with growing numbers until one is refused or no answer comes; the acknowledged ones.
fn post_until_refused(client: &mut Client, numbers: std::ops::Range<u64>) -> (Vec<u64>, Refused) {
    let mut taken = Vec::new();
    for number in numbers {
        // Hardly compressible, so that the disk fills.
        let noise = support::random::Random::new(number).noise(8_000);
        let body = format!(
            "{{\"n\":{number},\"id\":\"e{number}\",\"u\":{},\"x\":\"{noise}\"}}",
            number % 7
        );
        match client.post("/collect/order/shop", &body) {
            Ok(answer) if answer.status == 200 => taken.push(number),
            Ok(answer) => {
                let retry = answer.header("retry-after").is_some();
                return (taken, Refused::Answer(answer.status, answer.code(), retry));
            }
            Err(_) => return (taken, Refused::Gone),
        }
    }
    (taken, Refused::Not)
}

#[derive(Debug, PartialEq)]
enum Refused {
    Answer(u16, String, bool),
    Gone,
    Not,
}

fn assert_all_there(program: &Program, taken: &[u64]) {
    let found = listed(&mut program.client());
    let lost: Vec<_> = taken.iter().filter(|number| !found.contains_key(number)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

#[test]
fn below_the_watermark_collecting_is_refused_and_reading_goes_on() {
    let Some(disk) = Mount::tmpfs("64m") else { return skip("a nearly full disk") };
    let config = format!("{SOURCE}[journal]\nfree_space = \"16MiB\"\nsegment = \"1MiB\"\n");
    let home = Home::on(disk.path().join("data"), &config);
    let program = home.start();
    let mut client = program.client();
    let mut taken = post_until_refused(&mut client, 0..200).0;
    // Somebody else fills the disk.
    let ballast = disk.path().join("ballast");
    assert!(run("fallocate", &["-l", "40M", path(&ballast)]), "no room for the ballast");
    let mut next = 200;
    let refused = poll(NOTICED, || {
        let (more, refused) = post_until_refused(&mut client, next..next + 5);
        taken.extend(&more);
        next += 5;
        (refused != Refused::Not).then_some(refused)
    });
    let expected = Refused::Answer(503, "storage_full".to_owned(), true);
    assert_eq!(refused, Some(expected));
    assert_all_there(&program, &taken);
    let before = digest(&mut client);
    std::fs::remove_file(&ballast).unwrap();
    let again = poll(NOTICED, || {
        let more = post_until_refused(&mut client, next..next + 1).0;
        next += 1;
        more.first().copied()
    });
    taken.push(again.expect("collecting goes on when there is room again"));
    assert_ne!(digest(&mut client), before);
    assert_all_there(&program, &taken);
    program.stop();
    assert_all_there(&home.start(), &taken);
}

#[test]
fn a_disk_that_is_full_ends_the_program_with_a_reason_and_loses_nothing() {
    let Some(disk) = Mount::tmpfs("24m") else { return skip("a full disk") };
    let config = format!("{SOURCE}[journal]\nfree_space = \"0B\"\nsegment = \"1MiB\"\n");
    let home = Home::on(disk.path().join("data"), &config);
    let mut program = home.start();
    let ballast = disk.path().join("ballast");
    assert!(run("fallocate", &["-l", "12M", path(&ballast)]), "no room for the ballast");
    let (taken, refused) = post_until_refused(&mut program.client(), 0..10_000);
    match refused {
        Refused::Answer(503, code, retry) => {
            assert!(matches!(code.as_str(), "storage_failed" | "storage_full"), "{code}");
            assert!(retry, "a 503 says when to try again");
        }
        Refused::Gone => {}
        other => panic!("a full disk answered {other:?}"),
    }
    let status = program.ended(Duration::from_secs(150)).expect("the program ends");
    let stderr = program.stderr();
    assert!(status.code().is_some_and(|code| code > 0 && code != 101), "{status}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(stderr.contains("No space left"), "the reason is not said: {stderr}");
    std::fs::remove_file(&ballast).unwrap();
    let program = home.start();
    assert_all_there(&program, &taken);
    eprintln!("a full disk: {} acknowledged, all there afterwards", taken.len());
}

#[test]
fn after_a_power_cut_every_fsynced_event_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    let is_made = run("truncate", &["-s", "192M", path(&image)])
        && run("mkfs.ext4", &["-q", "-F", path(&image)]);
    let Some(disk) = is_made.then(|| Mount::image(&image)).flatten() else {
        return skip("a power cut");
    };
    let config = format!(
        "{SOURCE}[journal]\nfree_space = \"1MiB\"\nsegment = \"64KiB\"\n\
         [snapshots]\nevery = \"1s\"\nevery_events = 50\n[memory]\nactive_profiles = 3\n"
    );
    let data = disk.path().join("data");
    let home = Home::on(data, &config);
    let program = home.start();
    let cuts = if support::is_long() { 20 } else { 3 };
    let mut cut_images: Vec<(PathBuf, Vec<u64>)> = Vec::new();
    let mut taken = Vec::new();
    for cut in 0..cuts {
        let first = u64::try_from(taken.len()).unwrap();
        taken.extend(post_until_refused(&mut program.client(), first..first + 60 + cut).0);
        let known = taken.clone();
        let copy = folder.path().join(format!("cut-{cut}.img"));
        // What the device holds at this moment is what a power cut would leave: neither a sync nor
        // a freeze, so that whatever only sits in the page cache is lost.
        assert!(run("cp", &["--sparse=always", path(&image), path(&copy)]));
        cut_images.push((copy, known));
    }
    program.kill();
    for (copy, known) in cut_images {
        let Some(left) = Mount::image(&copy) else { return skip("mounting what is left") };
        let home = Home::on(left.path().join("data"), &config);
        let program = home.start();
        let found: BTreeMap<u64, Listed> = listed(&mut program.client());
        let lost: Vec<_> = known.iter().filter(|number| !found.contains_key(number)).collect();
        assert!(lost.is_empty(), "{}: lost {lost:?}\n{}", copy.display(), program.stderr());
        program.stop();
    }
    eprintln!("{cuts} power cuts, {} acknowledged events, none lost", taken.len());
}

#[test]
fn an_erasure_waits_for_room_and_a_full_disk_starts() {
    let Some(disk) = Mount::tmpfs("32m") else { return skip("an erasure on a full disk") };
    let config = format!(
        "{SOURCE}[journal]\nfree_space = \"6MiB\"\nsegment = \"1MiB\"\n[snapshots]\nevery = \"1h\"\n"
    );
    let home = Home::on(disk.path().join("data"), &config);
    let program = home.start();
    let (taken, refused) = post_until_refused(&mut program.client(), 0..20_000);
    assert_eq!(refused, Refused::Answer(503, "storage_full".to_owned(), true));
    let mut client = program.client();
    let body = r#"{"identifier": "shop:3", "suppress": false, "reason": "asked"}"#;
    let erasure = client.post("/api/v1/erasures", body).unwrap();
    assert!((200..300).contains(&erasure.status), "{}", erasure.json());
    let path = format!("/api/v1/erasures/{}", erasure.json()["id"].as_str().unwrap());
    assert_eq!(client.json(&path)["state"], "compacting");
    program.kill();
    // Not a byte is left: the start finds the spare room, and serves reads.
    let filler = disk.path().join("filler");
    run("dd", &["if=/dev/zero", &format!("of={}", self::path(&filler)), "bs=64k"]);
    let program = home.start();
    let mut client = program.client();
    assert_eq!(client.get("/api/v1/profiles?identifier=shop:2").unwrap().status, 200);
    assert_eq!(client.get("/api/v1/profiles?identifier=shop:3").unwrap().status, 404);
    assert_eq!(client.post("/collect/order/shop", "{\"u\":9}").unwrap().code(), "storage_full");
    std::fs::remove_file(filler).unwrap();
    assert!(run("mount", &["-o", "remount,size=96m", self::path(disk.path())]));
    poll(NOTICED, || (client.json(&path)["state"] == "done").then_some(()))
        .expect("an erasure that is done once there is room");
    let kept: Vec<u64> = taken.into_iter().filter(|number| number % 7 != 3).collect();
    assert_all_there(&program, &kept);
    program.stop();
}

#[test]
fn what_is_removed_under_the_program_ends_it() {
    for name in ["", "lock", "journal", "snapshot"] {
        let home = Home::new(SOURCE);
        let mut program = home.start();
        assert_eq!(program.client().post("/collect/order/shop", "{\"u\":1}").unwrap().status, 200);
        let removed = home.data().join(name);
        match removed.is_dir() {
            true => std::fs::remove_dir_all(&removed).unwrap(),
            false => std::fs::remove_file(&removed).unwrap(),
        }
        let status = program.ended(NOTICED).unwrap_or_else(|| panic!("{name:?}: still running"));
        assert_eq!(status.code(), Some(74), "{name:?}: {}", program.stderr());
        assert!(program.stderr().contains("removed or replaced"), "{}", program.stderr());
    }
}

#[test]
fn a_journal_that_lost_its_end_is_refused_with_both_numbers() {
    let home = Home::new(SOURCE);
    let program = home.start();
    post_until_refused(&mut program.client(), 0..5);
    program.stop();
    let journal = home.data().join("journal");
    let older = home.data().join("older");
    assert!(run("cp", &["-r", path(&journal), path(&older)]));
    let program = home.start();
    post_until_refused(&mut program.client(), 5..10);
    program.stop();
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::rename(&older, &journal).unwrap();
    let mut program = home.spawn();
    let status = program.ended(NOTICED).expect("a start that ends");
    let said = program.stderr();
    assert_eq!(status.code(), Some(74), "{said}");
    assert!(said.contains("up to sequence 12") && said.contains("ends at 7"), "{said}");
    assert!(said.contains("--accept-journal-loss"), "{said}");
    let verified = Command::new(env!("CARGO_BIN_EXE_selfsame"))
        .args(["inspect", "verify", "--data", path(home.data())])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(!verified.status.success() && told.contains("only witness"), "{told}");
}

/// Another process (this one) holds the folder, or the lock file in it: nothing is started on it, and
/// nothing in it is changed.
#[test]
fn a_folder_that_another_process_holds_is_refused() {
    use rustix::fs::{FlockOperation, flock};
    let home = Home::new(SOURCE);
    let program = home.start();
    let taken = post_until_refused(&mut program.client(), 0..3).0;
    program.stop();
    for held in [home.data().to_owned(), home.data().join("lock")] {
        let lock = std::fs::File::open(&held).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut program = home.spawn();
        let Start::Ended(status) = program.ready(Duration::from_secs(60)) else {
            panic!("it started on a folder that is held: {}", held.display())
        };
        let stderr = program.stderr();
        assert_eq!(status.code(), Some(74), "{stderr}");
        assert!(stderr.contains("in use by another process"), "{stderr}");
        drop(lock);
        let program = home.start();
        assert_all_there(&program, &taken);
        program.stop();
    }
}

/// A lock file that was removed is no way in: the folder itself is locked.
#[test]
fn a_second_program_is_refused_though_the_lock_file_was_removed() {
    let home = Home::new(SOURCE);
    let program = home.start();
    let taken = post_until_refused(&mut program.client(), 0..3).0;
    std::fs::remove_file(home.data().join("lock")).unwrap();
    // The first one ends as soon as it sees that; while it is there, it is alone.
    let mut second = home.spawn();
    if let Start::Ended(status) = second.ready(Duration::from_secs(60)) {
        assert_eq!(status.code(), Some(74), "{}", second.stderr());
    } else {
        let answer = program.client().post("/collect/order/shop", "{\"u\":1,\"id\":\"x\"}");
        assert!(answer.is_err(), "two programs serve one folder: {answer:?}");
    }
    drop((program, second));
    assert_all_there(&home.start(), &taken);
}
