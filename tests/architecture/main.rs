//! The rules of `ARCHITECTURE.md` that a text search can check: who may name whom, heads, sizes.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod imports;

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Lines of the longest file.
const LINES_MAX: usize = 600;

/// What code in a folder, or a file, must not name; and what of it is still allowed to.
struct Rule {
    place: &'static str,
    never: &'static [&'static str],
    except: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        place: "src/domain",
        never: &[
            "actix",
            "sled",
            "tokio",
            "std::fs",
            "std::net",
            "SystemTime",
            "Instant",
            "rand::",
            "getrandom",
            "crate::engine",
            "crate::http",
            "crate::journal",
            "crate::snapshot",
            "crate::app",
            "crate::config",
            "crate::telemetry",
            "crate::records",
        ],
        except: &[],
    },
    Rule {
        place: "src/journal",
        never: &["actix", "sled", "crate::engine", "crate::http"],
        except: &[],
    },
    Rule { place: "src/snapshot", never: &["actix", "crate::engine", "crate::http"], except: &[] },
    Rule {
        place: "src/records",
        never: &["actix", "sled::", "crate::engine", "crate::http"],
        except: &[],
    },
    Rule {
        place: "src/decode",
        never: &["actix", "sled", "crate::engine", "crate::http"],
        except: &[],
    },
    Rule {
        place: "src/engine",
        never: &["actix_web", "sled::", "crate::http", "crate::config"],
        except: &[],
    },
    Rule {
        place: "src/http",
        never: &["sled", "crate::journal", "crate::snapshot", "Addr<", "crate::inspect"],
        except: &[],
    },
    // What follows from the journal alone. Two tables are shared with readers, behind locks.
    Rule {
        place: "src/engine/state",
        never: &[
            "actix",
            "tokio",
            "crossbeam",
            "std::thread",
            "std::fs",
            "Mutex",
            "RwLock",
            "crate::journal",
            "crate::snapshot",
            "crate::clock",
        ],
        except: &["src/engine/state/revisions.rs", "src/engine/state/campaigns/unsaved.rs"],
    },
    Rule {
        place: "src/engine",
        never: &["Addr<IdentityActor>", "Addr<RouterActor>"],
        except: &["src/engine/handle.rs", "src/engine/start", "src/engine/identity"],
    },
    // A stored event reads as it was sent, or as an act read it again: few may ask.
    Rule {
        place: "src",
        never: &["decode_event("],
        except: &[
            "src/engine/store",
            "src/engine/history",
            "src/engine/identity/erasure.rs",
            "src/engine/profile/rebuild.rs",
            "src/engine/state/acts.rs",
            "src/inspect/listing.rs",
            "src/records",
        ],
    },
    Rule {
        place: "src/outbound",
        never: &[
            "crate::engine",
            "crate::http",
            "crate::journal",
            "crate::snapshot",
            "crate::config",
        ],
        except: &[],
    },
    Rule {
        place: "src/rehearse",
        never: &["crate::engine", "crate::http", "crate::journal", "crate::snapshot"],
        except: &[],
    },
    Rule {
        place: "src/config",
        never: &["crate::engine", "crate::http", "crate::journal", "crate::snapshot", "actix"],
        except: &[],
    },
    Rule {
        place: "src/telemetry",
        never: &[
            "crate::engine",
            "crate::http",
            "crate::journal",
            "crate::snapshot",
            "crate::config",
        ],
        except: &[],
    },
    Rule { place: "src/inspect", never: &["actix", "sled::", "crate::http"], except: &[] },
    Rule { place: "src", never: &["sled::"], except: &["src/snapshot/store.rs", "src/snapshot"] },
    // How long something took is another question than what time it is.
    Rule {
        place: "src",
        never: &["SystemTime", "now_utc", "UtcDateTime"],
        except: &["src/clock.rs"],
    },
    Rule {
        place: "src",
        never: &["todo!", "unimplemented!", "dbg!", ".do_send(Ingest"],
        except: &[],
    },
];

fn files(place: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(ROOT).join(place)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(ROOT).unwrap().to_string_lossy().into_owned()
}

/// The lines of code outside comments and tests, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    // Tests stand at the end of a file, behind the last `#[cfg(test)]` that opens a module there.
    let is_tests = |at: usize| {
        lines[at].trim() == "#[cfg(test)]"
            && lines.get(at + 1).is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
    };
    let end = (0..lines.len()).find(|at| is_tests(*at)).unwrap_or(lines.len());
    lines
        .into_iter()
        .enumerate()
        .take(end)
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line.split(" // ").next().unwrap_or(line)))
}

/// Whether a file as a whole is a test: a child module of its own.
fn is_test_file(file: &Path) -> bool {
    let name = file.file_stem().unwrap().to_string_lossy();
    name.ends_with("tests") || file.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn the_search_sees_code_but_no_comments_and_no_tests() {
    let text = "//! sled\nuse sled::Db; // tokio\n    // actix\n#[cfg(test)]\nmod tests;\nlet x = 1;\n\
                #[cfg(test)]\nmod tests {\n    use sled;\n}\n";
    let seen: Vec<(usize, &str)> = code(text).collect();
    let expected =
        [(2, "use sled::Db;"), (4, "#[cfg(test)]"), (5, "mod tests;"), (6, "let x = 1;")];
    assert_eq!(seen, expected);
}

#[test]
fn every_folder_names_only_what_it_may() {
    let mut wrong = Vec::new();
    for rule in RULES {
        for file in files(rule.place) {
            let name = shown(&file);
            if rule.except.iter().any(|except| name.starts_with(except)) || is_test_file(&file) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                for never in rule.never.iter().filter(|never| line.contains(**never)) {
                    wrong.push(format!(
                        "{name}:{number} names {never}, which {} must not",
                        rule.place
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(files);
    let silent: Vec<String> = all
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert!(silent.is_empty(), "without a `//!` head: {silent:?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(files);
    let long: Vec<String> = all
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), shown(&file)))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, name)| format!("{name}: {lines}"))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines: {long:?}");
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut wrong = Vec::new();
    for file in files("src").into_iter().filter(|file| !is_test_file(file)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            if line.contains(".unwrap()") || line.contains("panic!(") {
                wrong.push(format!("{}:{number}: {}", shown(&file), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_map_names_every_folder() {
    let map = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap();
    let missing: Vec<String> = fs::read_dir(Path::new(ROOT).join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| !map.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
}

/// A mailbox takes what it is sent without a word, however much that is.
#[test]
fn whatever_is_sent_without_waiting_says_what_bounds_it() {
    let mut silent = Vec::new();
    for file in files("src/engine").into_iter().filter(|file| !is_test_file(file)) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, _) in code(&text).filter(|(_, line)| line.contains(".do_send(")) {
            let above = &lines[number.saturating_sub(4)..number];
            if !above.iter().any(|line| line.contains("// BOUND: ")) {
                silent.push(format!("{}:{number}", shown(&file)));
            }
        }
    }
    assert!(silent.is_empty(), "`do_send` without `// BOUND:` {silent:#?}");
}

/// The page is kept true: a module that it names is there.
#[test]
fn the_page_names_only_modules_that_exist() {
    let page = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap();
    let all: Vec<String> = files("src").iter().map(|file| shown(file)).collect();
    let exists = |module: &str| {
        let path = format!("src/{}", module.replace("::", "/"));
        all.iter()
            .any(|file| *file == format!("{path}.rs") || file.starts_with(&format!("{path}/")))
    };
    let mut wrong = Vec::new();
    for named in page.split('`').skip(1).step_by(2).filter(|named| named.contains("::")) {
        let is_name = |part: &&str| part.chars().all(|one| one.is_ascii_lowercase() || one == '_');
        let module: Vec<&str> = named.split("::").take_while(is_name).collect();
        if module.is_empty() || !exists(module[0]) {
            continue; // of a library
        }
        // The last one may be a function.
        let upto = module.len() - usize::from(module.len() == named.split("::").count());
        let parent = module[..upto.max(1)].join("::");
        if !exists(&module.join("::")) && !exists(&parent) {
            wrong.push(named);
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what is not there: {wrong:?}");
}
