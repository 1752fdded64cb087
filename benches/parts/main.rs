//! Parts of the program, each alone and in process, measured by criterion.
//!
//! ```text
//! cargo bench --bench parts                          # all of them
//! cargo bench --bench parts -- journal               # or snapshot, extract, fold, campaign
//! cargo bench --bench parts -- journal/reading       # what of it has this in its name
//! cargo bench --bench parts -- --help                # and criterion's flags
//! ```

mod campaign;
mod extract;
mod fold;
mod journal;
mod snapshot;
#[path = "../load/workload.rs"]
mod workload;

use criterion::Criterion;
use std::process::ExitCode;

/// A part: every name that it measures under begins with its own and a slash.
struct Part {
    name: &'static str,
    about: &'static str,
    measure: fn(&mut Criterion),
}

const PARTS: [Part; 5] = [
    Part { name: "journal", about: "append and sync by group size, scan", measure: journal::all },
    Part { name: "snapshot", about: "commit, load, open", measure: snapshot::all },
    Part { name: "extract", about: "body to event", measure: extract::all },
    Part { name: "fold", about: "event to fragment, fragments to profile", measure: fold::all },
    Part { name: "campaign", about: "judging an event by 100 campaigns", measure: campaign::all },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{}\nWhat else can be said is criterion's:\n", help());
    }
    let chosen = match chosen(&arguments) {
        Ok(chosen) => chosen,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let mut criterion = Criterion::default().configure_from_args();
    for part in chosen {
        (part.measure)(&mut criterion);
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// The parts that are named; all where none is. Only their preparations are made, while criterion
/// takes the same word as what the names have to contain.
fn chosen(arguments: &[String]) -> Result<Vec<&'static Part>, String> {
    let names = |part: &Part, argument: &String| argument.split('/').next() == Some(part.name);
    let is_named = |part: &&Part| arguments.iter().any(|argument| names(part, argument));
    let named: Vec<_> = PARTS.iter().filter(is_named).collect();
    match arguments.first() {
        _ if !named.is_empty() => Ok(named),
        // A word further behind may be the value of a flag.
        Some(word) if !word.starts_with('-') => {
            Err(format!("expected the name of a part, found {word:?}\n\n{}", help()))
        }
        _ => Ok(PARTS.iter().collect()),
    }
}

fn help() -> String {
    let parts = PARTS.iter().map(|part| format!("  {:<10} {}\n", part.name, part.about));
    let parts: String = parts.collect();
    format!("With cargo: cargo bench --bench parts -- [PART[/NAME]] [FLAGS]\n\nParts:\n{parts}")
}
