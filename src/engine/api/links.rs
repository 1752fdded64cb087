//! The operators' links as they are shown: those between two identifiers, and cuts.

use crate::domain::id::Identifier;
use crate::domain::view::LinkView;
use crate::engine::handle::Engine;
use crate::engine::receipt::Refusal;
use crate::records::{CutRow, LinkRow};

impl Engine {
    /// All links, in the order in which they were laid.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn links(&self) -> Result<Vec<LinkView>, Refusal> {
        self.ask(|identity, _| {
            let core = &identity.core;
            let mut all: Vec<(u64, LinkView)> =
                core.links.values().map(|link| (link.number, link_view(link))).collect();
            all.extend(core.cuts.values().map(|cut| (cut.number, cut_view(cut))));
            all.sort_by_key(|(number, _)| *number);
            all.into_iter().map(|(_, view)| view).collect()
        })
        .await
    }

    /// The links behind a number, in the order in which they were laid; at most so many.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn links_after(&self, after: u64, most: usize) -> Result<Vec<LinkView>, Refusal> {
        let from = after.saturating_add(1);
        self.ask(move |identity, _| {
            let core = &identity.core;
            let links = core.links.range(from..).take(most);
            let cuts = core.cuts.range(from..).take(most);
            let mut all: Vec<(u64, LinkView)> =
                links.map(|(number, link)| (*number, link_view(link))).collect();
            all.extend(cuts.map(|(number, cut)| (*number, cut_view(cut))));
            all.sort_by_key(|(number, _)| *number);
            all.into_iter().take(most).map(|(_, view)| view).collect()
        })
        .await
    }

    /// A link.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn link(&self, id: &str) -> Result<Option<LinkView>, Refusal> {
        let Ok(number) = id.parse::<u64>() else { return Ok(None) };
        self.ask(move |identity, _| {
            let core = &identity.core;
            let link = core.links.get(&number).map(link_view);
            link.or_else(|| core.cuts.get(&number).map(cut_view))
        })
        .await
    }
}

pub(in crate::engine) fn link_view(link: &LinkRow) -> LinkView {
    LinkView {
        id: link.number.to_string(),
        kind: if link.joins { "must" } else { "cannot" },
        a: link.a.to_string(),
        b: link.b.to_string(),
        parts: None,
        reason: link.reason.clone(),
        at: link.at.to_string(),
    }
}

/// A cut is shown as the cannot-link that it is, with all its parts; its ends are the first two.
fn cut_view(cut: &CutRow) -> LinkView {
    let spelt = |part: &Vec<Identifier>| part.iter().map(ToString::to_string).collect();
    let parts: Vec<Vec<String>> = cut.parts.iter().map(spelt).collect();
    let end = |at: usize| parts.get(at).and_then(|part| part.first()).cloned().unwrap_or_default();
    LinkView {
        id: cut.number.to_string(),
        kind: "cannot",
        a: end(0),
        b: end(1),
        parts: Some(parts),
        reason: cut.reason.clone(),
        at: cut.at.to_string(),
    }
}
