//! The acceptance tests: every scenario file, played against the real program.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use selfsame::rehearse::{Options, check, rehearse, scenario_files};
use std::path::{Path, PathBuf};

/// The project's own scenarios.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
/// The contract's, in a folder beside the project that need not be there.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/scenarios");
/// Those of the contract's that must hold by now; a folder stands for all files in it.
///
/// All do but one, `cases/04-times-with-blank-zone.toml`: its ninth step wants the earlier received of
/// two values with one time, where design.md (5, *Values*) lets the greater JSON win.
const SHARED_THAT_HOLD: [&str; 11] = [
    "collect",
    "campaigns",
    "identity",
    "cases/02-session-placeholder.toml",
    "cases/03-form-charset.toml",
    "cases/07-slashes.toml",
    "cases/09-mail-with-name.toml",
    "cases/10-lookup-with-plus.toml",
    "cases/12-half-an-emoji.toml",
    "cases/13-numbers-of-messengers.toml",
    "cases/14-merge-keeps-all.toml",
];
/// The project's own that wait for what is not built yet: folders.
const NOT_YET: [&str; 1] = ["verify"];

fn files() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from(OWN)];
    let shared = SHARED_THAT_HOLD.map(|name| PathBuf::from(SHARED).join(name));
    paths.extend(shared.into_iter().filter(|path| path.exists()));
    let mut files = scenario_files(&paths).unwrap();
    files
        .retain(|file| !NOT_YET.iter().any(|folder| file.starts_with(Path::new(OWN).join(folder))));
    files
}

#[test]
fn every_scenario_file_can_be_read() {
    let folders = [OWN, SHARED].map(PathBuf::from).into_iter().filter(|folder| folder.exists());
    let folders: Vec<PathBuf> = folders.collect();
    let wrong: Vec<_> = scenario_files(&folders)
        .unwrap()
        .iter()
        .filter_map(|file| check(file).err())
        .map(|errors| errors.to_string())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_scenario_holds() {
    let options = Options::new(PathBuf::from(env!("CARGO_BIN_EXE_selfsame")));
    let summary = rehearse(&files(), &options);
    assert_eq!(summary.exit_code(), 0, "\n{summary}");
    assert!(summary.passed() > 20, "only {} scenarios were found", summary.passed());
}
