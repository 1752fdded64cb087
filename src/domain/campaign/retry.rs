//! What an attempt's outcome means, and when the next one is made. Pure.

use crate::domain::time::Timestamp;
use std::time::UNIX_EPOCH;

/// How much of a wait is added at most, in hundredths.
const JITTER: i64 = 20;
/// The longest wait that `Retry-After` can ask for, in milliseconds.
const RETRY_AFTER: i64 = 24 * 3_600_000;

/// What an outcome means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered.
    Delivered,
    /// The receiver wants no more (410): the endpoint is disabled until somebody enables it.
    Disable,
    /// It is tried again.
    Again,
    /// Trying again would not help: it is dead.
    Final,
}

impl Verdict {
    /// What a status means.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Disable,
            408 | 409 | 425 | 429 | 500..=599 => Self::Again,
            _ => Self::Final,
        }
    }

    /// Whether it counts as a failure of the endpoint, for its breaker.
    pub fn is_failure(self) -> bool {
        self == Self::Again
    }
}

/// How long to wait after the `attempts`-th attempt (from 1), in milliseconds; `None` when there is
/// no further one. `waits` is what the webhook says, without jitter. The jitter follows from delivery and attempt, so that a replay waits as long.
pub fn wait_ms(
    waits: &[i64],
    webhook_id: &str,
    attempts: u32,
    retry_after_ms: Option<i64>,
) -> Option<i64> {
    let base = *waits.get(usize::try_from(attempts.checked_sub(1)?).ok()?)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(webhook_id.as_bytes());
    hasher.update(&attempts.to_le_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    let share = i64::from(u32::from_le_bytes(first) % 1_000);
    // A wait is at most days long, so nothing here comes near an overflow.
    let wait = base + base * JITTER * share / 100_000;
    Some(wait.max(retry_after_ms.unwrap_or(0).min(RETRY_AFTER)))
}

/// How long a `Retry-After` asks to wait from `now` on, in milliseconds up to 24 h: seconds or a
/// date (RFC 9110, section 10.2.3). `None` where it is neither, in the past, or of a status for
/// which it does not count (all but 429 and 503).
pub fn retry_after_ms(status: u16, header: Option<&str>, now: Timestamp) -> Option<i64> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    let text = header?.trim();
    let ms = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().map_or(RETRY_AFTER, |seconds| seconds.saturating_mul(1_000))
    } else {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(at.as_millis()).ok()?.saturating_sub(now.0)
    };
    (ms > 0).then_some(ms.min(RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::Calling;
    use proptest::prelude::*;

    #[test]
    fn statuses_mean_what_the_contract_says() {
        let of = Verdict::of_status;
        assert!([200, 204, 299].iter().all(|status| of(*status) == Verdict::Delivered));
        assert_eq!(of(410), Verdict::Disable);
        let again = [408, 409, 425, 429, 500, 503, 599];
        assert!(again.iter().all(|status| of(*status) == Verdict::Again));
        let last = [301, 302, 307, 308, 400, 401, 403, 404, 413, 422, 600, 999];
        assert!(last.iter().all(|status| of(*status) == Verdict::Final));
    }

    #[test]
    fn nine_waits_follow_the_first_ten_attempts() {
        let waits = Calling::default().waits;
        assert_eq!(wait_ms(&waits, "msg_a", 0, None), None);
        assert_eq!(wait_ms(&waits, "msg_a", 10, None), None);
        assert_eq!(wait_ms(&waits, "msg_a", 10, Some(1)), None);
        assert_ne!(wait_ms(&waits, "msg_a", 2, None), wait_ms(&waits, "msg_b", 2, None));
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_only_where_it_counts() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:00Z").unwrap();
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after_ms(503, date, now), Some(37_000));
        assert_eq!(retry_after_ms(503, date, now.plus_ms(60_000)), None);
        assert_eq!(retry_after_ms(429, Some(" 120 "), now), Some(120_000));
        assert_eq!(retry_after_ms(429, Some("99999999999999999999"), now), Some(RETRY_AFTER));
        assert_eq!(retry_after_ms(429, Some("-5"), now), None);
        assert_eq!(retry_after_ms(429, Some("soon"), now), None);
        assert_eq!(retry_after_ms(500, Some("120"), now), None);
    }

    proptest! {
        #[test]
        fn a_wait_is_lengthened_by_a_fifth_at_most_and_never_shortened(id: String, attempt in 1u32..10, after in prop::option::of(0i64..200_000_000)) {
            let waits = Calling::default().waits;
            let base = waits[attempt as usize - 1];
            let plain = wait_ms(&waits, &id, attempt, None).unwrap();
            prop_assert!(plain >= base && plain <= base + base / 5);
            let asked = wait_ms(&waits, &id, attempt, after).unwrap();
            prop_assert_eq!(asked, plain.max(after.unwrap_or(0).min(RETRY_AFTER)));
        }
    }
}
