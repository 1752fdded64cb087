//! How many files and sockets the process may have open. Connections must not take those that the
//! journal, snapshots and erasures need: a segment that cannot be opened ends the program.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of what may be open, a quarter is kept from connections, within these bounds.
const RESERVE: std::ops::RangeInclusive<u64> = 64..=1_024;

/// Raises what may be open to what the system lets us, and gives it back.
pub(super) fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, "the limit of open files stays as it was");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections may be open at a time, of those that the configuration allows.
pub(super) fn connections(allowed: usize, files: u64) -> usize {
    let reserve = (files / 4).clamp(*RESERVE.start(), *RESERVE.end());
    let most = usize::try_from(files.saturating_sub(reserve)).unwrap_or(usize::MAX).max(1);
    if most < allowed {
        tracing::warn!(
            files,
            connections = most,
            allowed,
            "fewer connections than limits.connections: raise the limit of open files (ulimit -n)"
        );
    }
    most.min(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_journal() {
        assert_eq!(connections(10_000, 1_024), 768);
        assert_eq!(connections(100, 1_024), 100);
        assert_eq!(connections(10_000, 100), 36);
        assert_eq!(connections(10_000, 10), 1);
        assert_eq!(connections(10_000, u64::MAX), 10_000);
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_lets_us() {
        let raised = raise();
        assert_eq!(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX), raised);
    }
}
