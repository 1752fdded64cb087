//! Which of a snapshot folder's stores counts.
//!
//! After an erasure the whole store is written again, because sled keeps freed bytes in its slots.
//! The new one lies beside the old one until it is whole: folders `1`, `2`, … and a mark `2.done`.
//! The highest mark counts; without a mark, `1` does. All others are leftovers.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The number of the store that counts.
fn current(root: &Path) -> io::Result<u32> {
    let mut highest = 1;
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".done")?.parse::<u32>().ok());
        highest = number.map_or(highest, |number| highest.max(number));
    }
    Ok(highest)
}

/// The folder of the store that counts; leftovers are removed.
pub(super) fn settle(root: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(root)?;
    let number = current(root)?;
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let other = name.split('.').next().and_then(|name| name.parse::<u32>().ok());
        if other.is_none_or(|other| other == number) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(root.join(number.to_string()))
}

/// The folder of the store after the one that counts, emptied.
pub(super) fn next(root: &Path) -> io::Result<(u32, PathBuf)> {
    let number = current(root)? + 1;
    let path = root.join(number.to_string());
    if path.try_exists()? {
        std::fs::remove_dir_all(&path)?;
    }
    Ok((number, path))
}

/// Makes a store count from now on.
pub(super) fn mark(root: &Path, number: u32) -> io::Result<()> {
    File::create(root.join(format!("{number}.done")))?.sync_all()?;
    File::open(root)?.sync_all()
}
