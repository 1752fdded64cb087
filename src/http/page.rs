//! Pages of lists: `?limit=` and the opaque `cursor`.

use crate::code::Code;
use crate::domain::view::EventView;
use crate::engine::{PageRequest, Paged};
use crate::http::problem::Problem;
use crate::http::shared::Http;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// What a page holds when nothing is said.
pub const DEFAULT_LIMIT: usize = 50;
/// What a page holds at most; asking for more is 400.
pub const MAX_LIMIT: usize = 250;

const VERSION: u8 = 1;

/// The query of every list.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PageQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

/// A list's answer.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// This page.
    pub items: Vec<T>,
    /// The cursor of the next; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl PageQuery {
    /// How many are asked for.
    ///
    /// # Errors
    /// 400 unless a number from 1 to [`MAX_LIMIT`].
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = &self.limit else { return Ok(DEFAULT_LIMIT) };
        text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
            Problem::invalid(format!(
                "expected a limit from 1 to {MAX_LIMIT}, found something else"
            ))
        })
    }

    /// The page of a list that is ordered by sequence.
    ///
    /// # Errors
    /// 400 for a bad limit or cursor.
    pub fn by_sequence(&self) -> Result<PageRequest, Problem> {
        let before = match &self.cursor {
            None => None,
            Some(cursor) => {
                let bytes = read(cursor)?;
                Some(u64::from_be_bytes(bytes.try_into().map_err(|_| bad())?))
            }
        };
        Ok(PageRequest { limit: self.limit()?, before })
    }

    /// The page of a list that is ordered by numbers: how many, and behind which one.
    ///
    /// # Errors
    /// 400 for a bad limit or cursor.
    pub fn by_number(&self) -> Result<(usize, u64), Problem> {
        let after = match &self.cursor {
            None => 0,
            Some(cursor) => {
                let text = String::from_utf8(read(cursor)?).map_err(|_| bad())?;
                text.parse().map_err(|_| bad())?
            }
        };
        Ok((self.limit()?, after))
    }

    /// The page of a list that is ordered by id: those after the cursor's.
    ///
    /// # Errors
    /// 400 for a bad limit or cursor.
    pub fn by_id<T>(&self, ids: impl Iterator<Item = (String, T)>) -> Result<List<T>, Problem> {
        let limit = self.limit()?;
        let after = match &self.cursor {
            None => None,
            Some(cursor) => Some(String::from_utf8(read(cursor)?).map_err(|_| bad())?),
        };
        let mut rest = ids.skip_while(|(id, _)| after.as_ref().is_some_and(|after| id <= after));
        let page: Vec<(String, T)> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(page.last()).map(|(id, _)| write(id.as_bytes()));
        Ok(List { items: page.into_iter().map(|(_, item)| item).collect(), next })
    }
}

impl<T> List<T> {
    /// A page of a list that is ordered by numbers; one more item than fits says that there is a
    /// next one.
    pub fn numbered(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> &str) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more);
        let next = last.map(|last| write(format!("{:0>20}", id(last)).as_bytes()));
        Self { items, next }
    }
}

impl<T> From<Paged<T>> for List<T> {
    fn from(page: Paged<T>) -> Self {
        Self { items: page.items, next: page.next.map(|next| write(&next.to_be_bytes())) }
    }
}

/// An answer up to so many bytes waits for nobody once it is made.
const SMALL: usize = 64 * 1024;

/// The right to hold one page of events in memory; there are `limits.pages` of them.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits for its turn.
    ///
    /// # Errors
    /// 503 when others take longer than `limits.slow_request`.
    pub async fn take(http: &Http) -> Result<Self, Problem> {
        if let Ok(place) = Arc::clone(&http.pages).try_acquire_owned() {
            return Ok(Self { _place: place });
        }
        http.metrics.pages_waited.inc();
        let places = Arc::clone(&http.pages).acquire_owned();
        let place = tokio::time::timeout(http.limits.slow_request.duration(), places).await;
        let busy = || Problem::new(Code::Overloaded, "other pages of events are still being sent");
        let place = place.ok().and_then(Result::ok);
        place.map(|place| Self { _place: place }).ok_or_else(busy)
    }

    /// Answers with a page of events, and holds on until it is sent.
    ///
    /// # Errors
    /// When the page is no JSON, which does not happen.
    pub fn answer(self, events: Paged<EventView>) -> Result<HttpResponse, Problem> {
        // Grown by doubling, it would be half as large again.
        let bytes = events.items.iter().map(size).sum();
        let page = List::from(events);
        let mut json = Vec::with_capacity(bytes);
        serde_json::to_writer(&mut json, &page)
            .map_err(|_| Problem::new(Code::Internal, "the page cannot be written as JSON"))?;
        let turn = (json.len() > SMALL).then_some(self);
        let body = Held { left: json.into(), _turn: turn };
        Ok(HttpResponse::Ok().content_type("application/json").body(body))
    }
}

/// About how many bytes an event takes as JSON.
fn size(event: &EventView) -> usize {
    let properties = event.properties.as_ref().map_or(0, |json| json.get().len());
    let named: usize = event.identifiers.iter().map(|one| one.len() + 3).sum();
    let texts = [&event.body_base64, &event.raw_query].into_iter().flatten();
    1_024 + properties + texts.map(String::len).sum::<usize>() + named
}

/// A body that is given away in pieces, so that it lies in no buffer a second time.
struct Held {
    left: Bytes,
    _turn: Option<Turn>,
}

impl MessageBody for Held {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let piece = self.left.len().min(SMALL);
        let piece = self.left.split_to(piece);
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

fn bad() -> Problem {
    Problem::invalid("the cursor is not one that this list gave out; begin without one")
}

/// Version, content, and four bytes of a checksum: against typing, not against malice.
fn write(content: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(cursor: &str) -> Result<Vec<u8>, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or_else(bad)?;
    let right = crc32c::crc32c(content).to_be_bytes() == *checksum;
    match content.split_first() {
        Some((&VERSION, content)) if right => Ok(content.to_vec()),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(limit: Option<&str>, cursor: Option<&str>) -> PageQuery {
        PageQuery { limit: limit.map(Into::into), cursor: cursor.map(Into::into) }
    }

    #[test]
    fn a_limit_has_its_bounds() {
        assert_eq!(query(None, None).limit().unwrap(), 50);
        assert_eq!(query(Some("250"), None).limit().unwrap(), 250);
        for bad in ["251", "0", "-1", "many", ""] {
            assert!(query(Some(bad), None).limit().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_by_id_goes_on_where_it_stopped() {
        let all = || ["a", "b", "c"].into_iter().map(|id| (id.to_owned(), id));
        let first = query(Some("2"), None).by_id(all()).unwrap();
        assert_eq!(first.items, ["a", "b"]);
        let second = query(Some("2"), first.next.as_deref()).by_id(all()).unwrap();
        assert_eq!(second.items, ["c"]);
        assert_eq!(second.next, None);
    }

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_place(sequence: u64) {
            let list: List<()> = Paged { items: vec![], next: Some(sequence) }.into();
            let page = query(None, list.next.as_deref()).by_sequence().unwrap();
            prop_assert_eq!(page.before, Some(sequence));
        }

        #[test]
        fn any_other_text_is_refused(text in ".{0,40}") {
            prop_assert!(query(None, Some(&text)).by_sequence().is_err());
        }
    }
}
