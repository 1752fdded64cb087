//! Who may read the data folder: its owner, nobody else. What is made is private from the first
//! moment on; what is there with wider rights is narrowed, or told of where it is not ours.

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What others may do, in the bits of a mode.
const OTHERS: u32 = 0o077;
/// A folder that many share, such as `/tmp`.
const STICKY: u32 = 0o1000;
/// How the names of our own files and folders begin; others may lie beside them.
const OURS: [&str; 7] =
    ["lock", "spare", "journal", "snapshot", "checkpoint", "erasures.log", "secrets."];

/// What was found and done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    narrowed: usize,
    left: usize,
}

/// Makes everything that this process makes private to its owner, and a data folder that is there.
pub(super) fn keep_private(data: &Path) {
    umask(Mode::from_raw_mode(OTHERS));
    match narrow(data) {
        Ok(found) => found.tell(data),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {} // it is yet to be made
        Err(error) => tracing::warn!("who may read {} is not known: {error}", data.display()),
    }
}

impl Found {
    fn tell(&self, data: &Path) {
        if self.narrowed > 0 {
            let (count, data) = (self.narrowed, data.display());
            tracing::warn!(
                "others could read {count} files and folders of {data}; now their owner only can"
            );
        }
        if self.left > 0 {
            let (count, data) = (self.left, data.display());
            tracing::warn!(
                "others may read {count} files and folders of {data}, which belong to somebody else \
                 or are shared; give this program a folder of its own with mode 0700"
            );
        }
    }

    /// Narrows the rights of one; links are left alone.
    fn narrow(&mut self, path: &Path, of: &Metadata) -> io::Result<()> {
        let mode = of.mode();
        if of.is_symlink() || mode & OTHERS == 0 {
            return Ok(());
        }
        let user = geteuid();
        if mode & STICKY != 0 || (of.uid() != user.as_raw() && !user.is_root()) {
            self.left += 1;
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode & 0o700))?;
        self.narrowed += 1;
        Ok(())
    }

    fn below(&mut self, folder: &Path, is_meant: &dyn Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(is_meant) {
                continue;
            }
            // What is removed meanwhile has no rights any more.
            let Ok(found) = entry.metadata() else { continue };
            self.narrow(&entry.path(), &found)?;
            if found.is_dir() {
                self.below(&entry.path(), &|_| true)?;
            }
        }
        Ok(())
    }
}

fn narrow(data: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    found.narrow(data, &fs::metadata(data)?)?;
    found.below(data, &|name| OURS.iter().any(|ours| name.starts_with(ours)))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_ours_is_narrowed_and_what_lies_beside_it_is_not() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        fs::create_dir_all(data.join("journal")).unwrap();
        let outside = root.path().join("outside");
        let files =
            [data.join("lock"), data.join("journal/a"), data.join("notes"), outside.clone()];
        for file in &files {
            fs::write(file, "x").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        for folder in [&data, &data.join("journal")] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::symlink(&outside, data.join("secrets.key")).unwrap();
        assert_eq!(narrow(&data).unwrap(), Found { narrowed: 4, left: 0 });
        assert_eq!(narrow(&data).unwrap(), Found::default());
        assert_eq!((mode(&data), mode(&data.join("journal"))), (0o700, 0o700));
        assert_eq!((mode(&files[0]), mode(&files[1])), (0o600, 0o600));
        assert_eq!((mode(&files[2]), mode(&outside)), (0o644, 0o644));
    }

    #[test]
    fn a_folder_that_many_share_is_left_as_it_is() {
        let shared = tempfile::tempdir().unwrap();
        fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(narrow(shared.path()).unwrap(), Found { narrowed: 0, left: 1 });
        assert_eq!(mode(shared.path()), 0o1777);
    }
}
