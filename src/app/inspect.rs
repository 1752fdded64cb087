//! `selfsame inspect`: what a data folder holds, on stdout; nothing is changed in it.

use super::{Failure, exit};
use crate::cli::{self, InspectWhat};
use crate::domain::id::Identifier;
use crate::engine::{Fault, ProfileRef};
use crate::inspect::{self, Folder, FolderError, Table, journal, journal_folder};
use crate::journal::FIRST_SEQUENCE;
use crate::records::keys::row_kind;
use crate::records::{Genesis, kind};
use crate::telemetry::progress::Progress;
use anyhow::anyhow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Looks into a data folder.
///
/// # Errors
/// When there is none, nothing is found, or something is damaged.
pub fn inspect(flags: &cli::Inspect) -> Result<(), Failure> {
    let data = &flags.data;
    match &flags.what {
        InspectWhat::Stats => stats(data),
        InspectWhat::Profile { id } => profile(data, id),
        InspectWhat::Event { id } => event(data, id),
        InspectWhat::Journal { from, limit, payload } => list(data, *from, *limit, *payload),
        InspectWhat::Verify => verify(data, &flags.panic_on),
        InspectWhat::Digest => digest(data),
    }
}

/// Damage, unless the folder is not there at all.
fn damaged(error: FolderError) -> Failure {
    let code = match error {
        FolderError::NoJournal(_) => exit::NO_INPUT,
        FolderError::Copy { .. } => exit::IO,
        _ => exit::DATA,
    };
    Failure::new(code, error)
}

fn data_error(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(exit::DATA, error)
}

/// stdout may be a pipe that somebody closed: no fault of ours, and nothing left to say.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::IO, error))
        }
        _ => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::new(exit::SOFTWARE, e))?;
    print(&format!("{text}\n"))
}

fn stats(data: &Path) -> Result<(), Failure> {
    let mut progress = Progress::new("reading", "bytes");
    let told = &mut |at: crate::journal::Progress| progress.set(at.bytes_done, at.bytes_total);
    let stats =
        journal::stats(&journal_folder(data).map_err(damaged)?, told).map_err(data_error)?;
    progress.finish();
    print(&format!(
        "{}\n{}\n{}\n",
        stats.summary(),
        stats.kinds_table(|number| kind::name(number).to_owned()),
        stats.segments_table()
    ))?;
    let folder = Folder::open(data).map_err(damaged)?;
    print(&snapshot_table(&folder)?.to_string())
}

fn snapshot_table(folder: &Folder) -> Result<Table, Failure> {
    let mut table = Table::new(&["snapshot", ""]);
    let Some(store) = folder.snapshot().map_err(damaged)? else {
        table.row(["none".to_owned()]);
        return Ok(table);
    };
    let mut fact = |name: &str, value: u64| table.row([name.to_owned(), value.to_string()]);
    fact("sequence", store.sequence().unwrap_or(0));
    fact("file bytes", store.size_bytes().map_err(|e| Failure::new(exit::IO, e))?);
    fact("rows", store.rows());
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in store.scan_prefix(&[]) {
        let (key, value) = row.map_err(data_error)?;
        let (rows, bytes) = kinds.entry(row_kind(&key)).or_default();
        *rows += 1;
        *bytes += (key.len() + value.len()) as u64;
    }
    for (name, (rows, bytes)) in kinds {
        fact(&format!("rows of {name}"), rows);
        fact(&format!("bytes of {name}"), bytes);
    }
    drop(store); // before another handle opens the same copy
    let counts = folder.state().map_err(damaged)?.counts();
    let facts = [
        ("profiles", counts.profiles),
        ("fragments", counts.fragments),
        ("identifiers", counts.identifiers),
        ("pairs of them", counts.edges),
        ("events", counts.events),
        ("profile-less", counts.profile_less),
        ("quarantined", counts.quarantined),
        ("changes", counts.changes),
    ];
    for (name, value) in facts {
        fact(&format!("{name}, tail included"), value);
    }
    Ok(table)
}

fn profile(data: &Path, id: &str) -> Result<(), Failure> {
    let by = match Identifier::parse(id) {
        Some(identifier) => ProfileRef::Identifier(identifier),
        None => ProfileRef::Id(id.to_owned()),
    };
    let folder = Folder::open(data).map_err(damaged)?;
    let state = folder.state().map_err(damaged)?;
    match state.profile(&by, true).map_err(data_error)? {
        Some(profile) => print_json(&profile),
        None => Err(data_error(anyhow!("no profile has that id or identifier"))),
    }
}

fn digest(data: &Path) -> Result<(), Failure> {
    let state = Folder::open(data).and_then(|folder| folder.state()).map_err(damaged)?;
    print_json(&state.digest().map_err(data_error)?)
}

fn event(data: &Path, id: &str) -> Result<(), Failure> {
    let folder = Folder::open(data).map_err(damaged)?;
    let state = folder.state().map_err(damaged)?;
    match state.event(folder.reader(), id).map_err(data_error)? {
        Some(event) => print_json(&event),
        None => Err(data_error(anyhow!("no event has that id"))),
    }
}

fn list(data: &Path, from: u64, limit: Option<u64>, with_payload: bool) -> Result<(), Failure> {
    let folder = Folder::open(data).map_err(damaged)?;
    let first = folder.reader().read(FIRST_SEQUENCE).map_err(data_error)?;
    let genesis = first
        .filter(|record| record.kind == kind::GENESIS)
        .map(|record| Genesis::decode(record.version, &record.bytes));
    let key = genesis.transpose().map_err(data_error)?.map(|genesis| genesis.id_key);
    let limit = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for found in folder.reader().scan(from).take(limit) {
        let (sequence, record) = found.map_err(data_error)?;
        let line = inspect::line(sequence, &record, key, with_payload)
            .map_err(|error| data_error(anyhow!("the record at sequence {sequence}: {error}")))?;
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            outcome => outcome.map_err(|e| Failure::new(exit::IO, e))?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::IO, error))
        }
        _ => Ok(()),
    }
}

fn verify(data: &Path, faults: &[Fault]) -> Result<(), Failure> {
    let verdict = inspect::verify(data, faults).map_err(|error| match error {
        inspect::Unverifiable::Folder(error) => damaged(error),
        error => data_error(error),
    })?;
    for sentence in &verdict.holds {
        print(&format!("holds: {sentence}\n"))?;
    }
    for sentence in &verdict.wrong {
        print(&format!("wrong: {sentence}\n"))?;
    }
    match verdict.wrong.len() {
        0 => Ok(()),
        count => Err(data_error(anyhow!("{count} things do not hold"))),
    }
}
