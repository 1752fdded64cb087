//! The state digest, taken in parts between which events are served.
//!
//! All profiles are gone over, some at a time; the graph notes meanwhile which of them change, and
//! those are looked at again, until few are left. These few are looked at in one go, together with
//! the counts, so the digest is that of one sequence. There is one such walk at a time: each caller who asks
//! while one is under way shares the next one with all others that wait.

use crate::domain::graph::{ClusterView, FragmentIndex};
use crate::domain::id::Sequence;
use crate::domain::profile::Folded;
use crate::domain::view::DigestView;
use crate::engine::api::reading::unreadable;
use crate::engine::handle::Engine;
use crate::engine::identity::actor::IdentityActor;
use crate::engine::profile::message::Op;
use crate::engine::receipt::Refusal;
use crate::engine::state::Core;
use crate::engine::state::views::Viewed;
use crate::engine::store::fragments::RowError;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;

/// Fragments looked at in one go: about a millisecond of the identity actor.
const PART: usize = 512;
/// Profiles that changed and are looked at in the last go, at most at first.
const LAST: usize = 256;
/// After so many goes that found more than that, twice as many will do: it has to end.
const PATIENCE: u32 = 64;

/// A profile whose part is on its way.
enum Coming {
    /// Its actor will answer.
    Active(oneshot::Receiver<Viewed>),
    /// It is at rest; its fragments are still to be read.
    Resting(ClusterView),
    /// It was at rest, and has been read.
    Read(u128),
}

/// What is said beside the profiles.
struct Head {
    sequence: Sequence,
    profiles: u64,
    events: u64,
    loose: u128,
}

impl Head {
    fn of(core: &Core) -> Self {
        Self {
            sequence: core.applied,
            profiles: core.graph.profiles(),
            events: core.counters.events,
            loose: core.counters.loose_content,
        }
    }
}

/// One go.
struct Part {
    /// Profiles that are not what they were.
    gone: Vec<FragmentIndex>,
    profiles: Vec<(FragmentIndex, Coming)>,
    /// Whether nothing is left for another go.
    is_last: bool,
    /// With the last go of all.
    head: Option<Head>,
}

/// What was found so far.
#[derive(Default)]
struct Sums {
    /// Of each profile, by its leading fragment.
    parts: Vec<u128>,
    /// Those that could not be read: they must have changed, or something is damaged.
    unread: Vec<(FragmentIndex, RowError)>,
    sum: u128,
}

impl Sums {
    fn set(&mut self, lead: FragmentIndex, part: u128) {
        let at = lead as usize;
        if self.parts.len() <= at {
            self.parts.resize(at + 1, 0);
        }
        self.sum = self.sum.wrapping_sub(self.parts[at]).wrapping_add(part);
        self.parts[at] = part;
        self.unread.retain(|(known, _)| *known != lead);
    }
}

impl Engine {
    /// A hash over everything that the state means.
    ///
    /// # Errors
    /// When the engine is stopping, or a row is damaged.
    pub async fn digest(&self) -> Result<DigestView, Refusal> {
        let digests = &self.0.digests;
        let own = digests.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut last = digests.last.lock().await;
        if let Some((asked, view)) = last.as_ref().filter(|(asked, _)| *asked >= own) {
            tracing::debug!(asked, "a digest is shared");
            return Ok(view.clone());
        }
        let asked = digests.asked.load(Ordering::Acquire);
        let view = self.walk().await?;
        *last = Some((asked, view.clone()));
        Ok(view)
    }

    async fn walk(&self) -> Result<DigestView, Refusal> {
        loop {
            // Held until the walk is over, or nobody waits for it any more.
            let walk = Arc::new(());
            let held = Arc::downgrade(&walk);
            self.ask(move |identity, _| identity.watch(held)).await?;
            let mut sums = Sums::default();
            // Another graph, or other rules, are another beginning.
            if let Some(head) = self.go_over(&mut sums).await? {
                if let Some((_, error)) = sums.unread.first() {
                    return Err(unreadable(error));
                }
                let Head { sequence, profiles, events, loose } = head;
                return Ok(digest_view(sequence, profiles, events, sums.sum, loose));
            }
        }
    }

    async fn go_over(&self, sums: &mut Sums) -> Result<Option<Head>, Refusal> {
        let mut from = 0;
        loop {
            let part = self.ask(move |identity, _| identity.part_of_all(from, PART));
            let Some(part) = part.await? else { return Ok(None) };
            let is_last = part.is_last;
            self.add(sums, part).await?;
            if is_last {
                break;
            }
            from += PART;
        }
        for go in 0u32.. {
            let most = LAST.saturating_mul(1usize.checked_shl(go / PATIENCE).unwrap_or(usize::MAX));
            let part = self.ask(move |identity, _| identity.part_of_changed(most));
            let Some(mut part) = part.await? else { return Ok(None) };
            let head = part.head.take();
            self.add(sums, part).await?;
            if head.is_some() {
                return Ok(head);
            }
        }
        Ok(None)
    }

    async fn add(&self, sums: &mut Sums, part: Part) -> Result<(), Refusal> {
        for lead in part.gone {
            sums.set(lead, 0);
        }
        let mut resting = Vec::new();
        for (lead, coming) in part.profiles {
            match coming {
                Coming::Active(answer) => {
                    let Viewed { cluster, folded, .. } = self.heard(answer).await?;
                    sums.set(lead, folded.digest(&cluster));
                }
                Coming::Resting(cluster) => resting.push((lead, cluster)),
                Coming::Read(part) => sums.set(lead, part),
            }
        }
        if resting.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.running()?.shared);
        let set_values = self.effective()?.compiled.rules.limits.set_values;
        let read = move || {
            let read = |(lead, cluster): (FragmentIndex, ClusterView)| {
                let fragments = cluster.fragments.iter().map(|(one, _)| shared.rest.load(*one));
                let fragments: Result<Vec<_>, RowError> = fragments.collect();
                let digest = |all: Vec<_>| Folded::new(all.iter(), set_values).digest(&cluster);
                (lead, fragments.map(digest))
            };
            resting.into_iter().map(read).collect::<Vec<_>>()
        };
        for (lead, part) in self.running()?.shared.readers.run(read).await? {
            match part {
                Ok(part) => sums.set(lead, part),
                // One that has changed since is looked at again.
                Err(error) => {
                    sums.set(lead, 0);
                    sums.unread.push((lead, error));
                }
            }
        }
        Ok(())
    }
}

impl IdentityActor {
    /// From now on notes which profiles change, for as long as somebody holds on.
    fn watch(&mut self, held: Weak<()>) {
        self.digesting = held;
        self.core.graph.watch();
    }

    /// Notes no more when nobody holds on.
    pub(in crate::engine) fn unwatch_unheld(&mut self) {
        if self.digesting.strong_count() == 0 {
            self.core.graph.unwatch();
        }
    }

    /// The profiles among the fragments from this one on.
    fn part_of_all(&mut self, from: usize, most: usize) -> Option<Part> {
        let graph = &self.core.graph;
        if !graph.is_watched() {
            return None;
        }
        let leads = graph.leads_within(from, most);
        let is_last = from + most >= graph.fragment_count();
        let profiles = leads.into_iter().map(|lead| (lead, self.coming(lead))).collect();
        Some(Part { gone: Vec::new(), profiles, is_last, head: None })
    }

    /// Some of the profiles that changed; if these are all, they are looked at here and now.
    fn part_of_changed(&mut self, most: usize) -> Option<Part> {
        if !self.core.graph.is_watched() {
            return None;
        }
        let touched = self.core.graph.take_touched(most);
        let coming = touched.leads.into_iter().map(|lead| (lead, self.coming(lead)));
        let mut profiles: Vec<(FragmentIndex, Coming)> = coming.collect();
        if touched.is_all {
            for (_, coming) in &mut profiles {
                if let Coming::Resting(cluster) = coming {
                    *coming = Coming::Read(self.resting_digest(cluster.lead));
                }
            }
        }
        let head = touched.is_all.then(|| Head::of(&self.core));
        Some(Part { gone: touched.gone, profiles, is_last: touched.is_all, head })
    }

    fn coming(&mut self, lead: FragmentIndex) -> Coming {
        let cluster = self.core.graph.view(lead, false);
        if !self.profiles.is_active(lead) {
            return Coming::Resting(cluster);
        }
        let (reply, answer) = oneshot::channel();
        let set_values = self.core.graph.rules().limits.set_values;
        self.tell_awake(lead, Op::View(cluster, set_values, reply));
        Coming::Active(answer)
    }

    fn resting_digest(&self, lead: FragmentIndex) -> u128 {
        match self.core.viewed_at_rest(&self.shared.rest, lead, false) {
            Ok(Viewed { cluster, folded, .. }) => folded.digest(&cluster),
            Err(error) => {
                self.shared.fail(error.to_string());
                0 // nobody hears it: the process is ending
            }
        }
    }
}

/// The digest of a state from its parts.
pub(in crate::engine) fn digest_view(
    sequence: Sequence,
    profiles: u64,
    events: u64,
    sum: u128,
    loose: u128,
) -> DigestView {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&sum.to_le_bytes()).update(&loose.to_le_bytes());
    hasher.update(&profiles.to_le_bytes()).update(&events.to_le_bytes());
    let digest = hex::encode(&hasher.finalize().as_bytes()[..16]);
    DigestView { sequence, profiles, events, digest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::options::Options;
    use crate::engine::tests::operators::{random_act, random_step};
    use crate::engine::tests::{Dice, open, options, resolved};
    use std::time::Duration;

    /// A walk in which anything may happen between two parts; the digest and what it took.
    async fn disturbed(engine: &Engine, dice: &mut Dice) -> (DigestView, usize) {
        for beginning in 1.. {
            let walk = Arc::new(());
            let held = Arc::downgrade(&walk);
            engine.ask(move |identity, _| identity.watch(held)).await.unwrap();
            let mut sums = Sums::default();
            if let Some(head) = disturbed_walk(engine, dice, &mut sums).await {
                assert!(sums.unread.is_empty(), "{:?}", sums.unread);
                let Head { sequence, profiles, events, loose } = head;
                return (digest_view(sequence, profiles, events, sums.sum, loose), beginning);
            }
        }
        unreachable!("it ends once it can")
    }

    async fn disturbed_walk(engine: &Engine, dice: &mut Dice, sums: &mut Sums) -> Option<Head> {
        let mut from = 0;
        loop {
            let most = 1 + dice.roll(8) as usize;
            let part = engine.ask(move |identity, _| identity.part_of_all(from, most));
            let part = part.await.unwrap()?;
            let is_last = part.is_last;
            // What happens before a part is read, and between two of them.
            disturb(engine, dice).await;
            engine.add(sums, part).await.unwrap();
            disturb(engine, dice).await;
            if is_last {
                break;
            }
            from += most;
        }
        for go in 0.. {
            let most = 1 + dice.roll(3) as usize + go / 20;
            let part = engine.ask(move |identity, _| identity.part_of_changed(most));
            let mut part = part.await.unwrap()?;
            let head = part.head.take();
            if head.is_none() && go < 10 {
                disturb(engine, dice).await;
            }
            engine.add(sums, part).await.unwrap();
            if head.is_some() {
                return head;
            }
        }
        None
    }

    async fn disturb(engine: &Engine, dice: &mut Dice) {
        match dice.roll(12) {
            0..6 => {}
            6..11 => random_step(engine, dice).await,
            _ => random_act(engine, dice).await,
        }
    }

    #[test]
    fn whatever_happens_between_its_parts_a_digest_is_that_of_one_moment() {
        let (mut walks, mut beginnings) = (0, 0);
        for seed in 0..8 {
            let folder = tempfile::tempdir().unwrap();
            actix::System::new().block_on(async {
                let mut dice = Dice(seed);
                let engine = open(Options { active_profiles: 5, ..options(folder.path()) }).await;
                for round in 0..12 {
                    for _ in 0..10 {
                        random_step(&engine, &mut dice).await;
                    }
                    let (walked, begun) = disturbed(&engine, &mut dice).await;
                    let now = engine.digest().await.unwrap();
                    // A switch or a receipt in the background may have come behind it.
                    if now.sequence == walked.sequence {
                        let both = (&walked.digest, walked.profiles, walked.events);
                        let wanted = (&now.digest, now.profiles, now.events);
                        assert_eq!(both, wanted, "seed {seed}, round {round}");
                        walks += 1;
                    }
                    beginnings += begun;
                }
                resolved(&engine).await;
                engine.stop(Duration::from_secs(5)).await;
            });
        }
        assert!(walks > 50, "only {walks} of 96 walks were compared");
        eprintln!("{walks} walks compared, {beginnings} beginnings");
    }

    #[test]
    fn who_asks_at_the_same_time_shares_a_walk() {
        let folder = tempfile::tempdir().unwrap();
        actix::System::new().block_on(async {
            let engine = open(options(folder.path())).await;
            let mut dice = Dice(1);
            for _ in 0..50 {
                random_step(&engine, &mut dice).await;
            }
            let all = (0..16).map(|_| engine.digest());
            let all = futures_util::future::join_all(all).await;
            let first = all[0].as_ref().unwrap().digest.clone();
            assert!(all.iter().all(|one| one.as_ref().unwrap().digest == first));
            let asked = engine.0.digests.last.lock().await.as_ref().unwrap().0;
            assert_eq!(asked, 16, "the last walk counts for all that waited");
            engine.stop(Duration::from_secs(5)).await;
        });
    }
}
