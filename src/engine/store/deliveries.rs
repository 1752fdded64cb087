//! What is kept of deliveries, read: where it waits for a snapshot, or from the store.

use crate::domain::campaign::Rendered;
use crate::engine::state::campaigns::unsaved::{Kept, attempt_key};
use crate::engine::store::fragments::{Rest, RowError};
use crate::records;
use crate::records::{Attempt, keys};
use bytes::Bytes;

impl Kept {
    fn get(&self, rest: &Rest, key: &[u8]) -> Result<Option<Bytes>, RowError> {
        if let Some(row) = self.newer(key) {
            return Ok(row);
        }
        // A row leaves the layers above only when the store holds it.
        Ok(rest.store().get(key)?.map(Bytes::from))
    }

    /// What is sent; none, where the delivery is not there any more.
    ///
    /// # Errors
    /// When the store fails or the row does not decode.
    pub(in crate::engine) fn rendered(
        &self,
        rest: &Rest,
        number: u64,
    ) -> Result<Option<Rendered>, RowError> {
        let row = self.get(rest, &keys::numbered(keys::RENDERED, number))?;
        Ok(row.map(|row| records::decode("what is sent", &row)).transpose()?)
    }

    /// The attempts of a delivery that had so many.
    ///
    /// # Errors
    /// When the store fails or a row does not decode.
    pub(in crate::engine) fn attempts(
        &self,
        rest: &Rest,
        number: u64,
        count: u32,
    ) -> Result<Vec<Attempt>, RowError> {
        let mut all = Vec::new();
        for place in 0..count {
            if let Some(row) = self.get(rest, &attempt_key(number, place))? {
                all.push(records::decode("an attempt", &row)?);
            }
        }
        Ok(all)
    }

    /// Why a delivery is over.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::engine) fn reason(
        &self,
        rest: &Rest,
        number: u64,
    ) -> Result<Option<String>, RowError> {
        let row = self.get(rest, &keys::numbered(keys::REASON, number))?;
        Ok(row.map(|row| String::from_utf8_lossy(&row).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(url: &str) -> Rendered {
        Rendered { url: url.to_owned(), body: None }
    }

    #[test]
    fn rows_are_readable_before_while_and_after_they_are_written_and_counted_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            crate::snapshot::open(folder.path(), std::time::Duration::from_secs(20)).unwrap();
        let (kept, rest) = (Kept::default(), Rest::new(store.clone()));
        let url = |number| kept.rendered(&rest, number).unwrap().map(|one| one.url);
        kept.put_rendered(7, &rendered("https://a.example/")).unwrap();
        kept.put_rendered(7, &rendered("https://b.example/")).unwrap();
        kept.put_reason(7, Some("why"));
        assert!(kept.bytes() > 0);
        assert_eq!(url(7).unwrap(), "https://b.example/");
        let rows = kept.take_rows();
        assert_eq!(url(7).unwrap(), "https://b.example/");
        kept.put_reason(7, None);
        store.commit(rows, 1).unwrap();
        kept.written();
        assert_eq!(url(7).unwrap(), "https://b.example/");
        assert_eq!(kept.reason(&rest, 7).unwrap(), None);
        kept.remove(7, 1);
        assert_eq!(url(7), None);
        store.commit(kept.take_rows(), 2).unwrap();
        kept.written();
        assert_eq!(kept.bytes(), 0);
        assert_eq!(store.rows(), 0);
    }
}
