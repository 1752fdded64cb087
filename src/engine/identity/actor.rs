//! The identity actor: the index of identification points, and what triggers merges.
//!
//! Owns the [`Core`] and decides, in journal order, which profile an event belongs to and whether
//! profiles join or part; then tells the profile actors. It is the only one that activates and
//! passivates them, and every read goes through it, so that a reader sees what it was told is
//! stored.

mod taking;

use crate::domain::event::Event;
use crate::domain::graph::{FragmentIndex, Move};
use crate::domain::id::Sequence;
use crate::engine::context::{Alive, Shared};
use crate::engine::delivery::sending::Sending;
use crate::engine::fault::{Panicked, Stage, walled};
use crate::engine::identity::sagas::{Cause, Drafting, Gatherings, Mending};
use crate::engine::identity::snapshotter::SnapshotDone;
use crate::engine::intake::entry::{Append, Committed, Then};
use crate::engine::intake::router::{Pass, RouterActor};
use crate::engine::profile::directory::Profiles;
use crate::engine::profile::message::{Broken, Op, Passivated, Report, SetAside};
use crate::engine::state::Core;
use crate::engine::state::campaigns::question::Question as AskedOfProfile;
use crate::engine::state::change_log::Totals;
use crate::engine::store::collector::{Collector, Job};
use crate::records::ActRecord;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use crossbeam_channel::Sender;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot};

/// Looks at the identity actor, between two groups, and changes nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Look(pub(in crate::engine) Box<dyn FnOnce(&IdentityActor) + Send>);

/// Something to do on the identity actor.
pub(in crate::engine) type Question =
    Box<dyn FnOnce(&mut IdentityActor, &mut Context<IdentityActor>) + Send>;

/// Runs on the identity actor, between two groups: how everything is read.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Ask(pub(in crate::engine) Question);

/// What a snapshot came to: its sequence, its rows, and how long it took.
pub(in crate::engine) type Taken = (Sequence, usize, Duration);

/// When snapshots are taken.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Cadence {
    pub(in crate::engine) every: Duration,
    pub(in crate::engine) every_events: u64,
}

/// The identity actor.
pub(in crate::engine) struct IdentityActor {
    pub(in crate::engine) core: Core,
    pub(in crate::engine) profiles: Profiles,
    pub(in crate::engine) shared: Arc<Shared>,
    pub(in crate::engine) router: Option<Addr<RouterActor>>,
    /// Receives the configuration in force whenever it changes.
    pub(in crate::engine) publish: Arc<crate::engine::context::Published>,
    pub(in crate::engine) stream: broadcast::Sender<crate::engine::state::stored::Stored>,
    snapshots: Sender<Job>,
    cadence: Cadence,
    last_snapshot: Instant,
    is_writing: bool,
    waiting: Vec<oneshot::Sender<Taken>>,
    /// Snapshots asked for while one is being written.
    pub(in crate::engine) asked: bool,
    step: u64,
    /// The state that will replace this one, while it is being made or waits for its switch.
    pub(in crate::engine) draft: Drafting,
    /// The configuration under which a re-resolution panicked.
    pub(in crate::engine) unresolved: Option<Sequence>,
    /// Segments are about to go: no re-resolution begins that would have to read them.
    pub(in crate::engine) is_cutting: bool,
    /// Who waits for an erasure to be in force.
    pub(in crate::engine) erasures: BTreeMap<Sequence, oneshot::Sender<()>>,
    /// Erasures that wait for a snapshot of its own store.
    pub(in crate::engine) to_renew: Vec<Sequence>,
    /// Whether the next snapshot is to be a store of its own.
    pub(in crate::engine) renew: bool,
    /// Erasures whose persons the snapshot under way leaves out.
    pub(in crate::engine) renewing: Vec<Sequence>,
    /// The live side of campaigns.
    pub(in crate::engine) sending: Sending,
    /// The changes of identity that are counted, by kind.
    counted: Totals,
    /// Threads that gather what a draft starts from.
    pub(in crate::engine) gatherings: Gatherings,
    /// Alive while a digest is being taken.
    pub(in crate::engine) digesting: std::sync::Weak<()>,
    /// Its own address, once it runs.
    pub(in crate::engine) address: Option<Addr<Self>>,
    /// What is known of panics.
    pub(in crate::engine) mending: Mending,
    _alive: Alive,
}

impl IdentityActor {
    pub(in crate::engine) fn new(
        core: Core,
        profiles: Profiles,
        shared: Arc<Shared>,
        publish: Arc<crate::engine::context::Published>,
        stream: broadcast::Sender<crate::engine::state::stored::Stored>,
        (snapshots, cadence): (Sender<Job>, Cadence),
        sending: Sending,
    ) -> Self {
        Self {
            counted: core.changes.totals(),
            mending: Mending::behind(core.applied),
            _alive: Alive::new(&shared, "the identity actor"),
            core,
            profiles,
            shared,
            router: None,
            publish,
            stream,
            snapshots,
            cadence,
            last_snapshot: Instant::now(),
            is_writing: false,
            waiting: Vec::new(),
            asked: false,
            step: 0,
            draft: Drafting::default(),
            unresolved: None,
            is_cutting: false,
            erasures: BTreeMap::new(),
            to_renew: Vec::new(),
            renew: false,
            renewing: Vec::new(),
            sending,
            gatherings: Gatherings::default(),
            digesting: std::sync::Weak::new(),
            address: None,
        }
    }

    /// Counts what changed since it last counted.
    pub(in crate::engine) fn count_changes(&mut self) {
        let now = self.core.changes.totals();
        let metrics = &self.shared.metrics;
        let before = self.counted;
        metrics.count_identity_changes(since(now.kinds, before.kinds));
        metrics.count_link_refusals(since(now.refusals, before.refusals));
        self.counted = now;
    }

    /// The fragments that a profile has to fetch when it wakes; not those that are just being made.
    pub(in crate::engine) fn at_rest(
        &self,
        lead: FragmentIndex,
        except: &[FragmentIndex],
    ) -> Vec<FragmentIndex> {
        if self.profiles.is_active(lead) {
            return Vec::new();
        }
        let mut all = self.core.graph.fragments_of(lead);
        all.retain(|fragment| !except.contains(fragment));
        all
    }

    /// Moves fragments between profiles. Each giver is told before any taker waits, so a taker only
    /// ever waits for steps before its own and nobody waits in a ring.
    /// `unborn` are fragments that no row or actor has yet.
    pub(in crate::engine) fn regroup(&mut self, moves: &[Move], unborn: &[FragmentIndex]) {
        self.rejudge_turns(moves);
        self.gatherings.witness_moves(moves);
        self.step += 1;
        let step = self.step;
        let mut given: BTreeMap<(FragmentIndex, FragmentIndex), Vec<FragmentIndex>> =
            BTreeMap::new();
        for one in moves {
            given.entry((one.from, one.to)).or_default().push(one.fragment);
        }
        let moving: BTreeSet<FragmentIndex> = moves.iter().map(|one| one.fragment).collect();
        let mut givers: BTreeMap<FragmentIndex, usize> = BTreeMap::new();
        let mut loads: BTreeMap<FragmentIndex, Vec<FragmentIndex>> = BTreeMap::new();
        let takers: BTreeSet<FragmentIndex> = moves.iter().map(|one| one.to).collect();
        // Before any taker wakes: a profile that both takes and gives may be at rest now, and what
        // it gives is then fetched from there.
        let awake: BTreeSet<FragmentIndex> = moves
            .iter()
            .map(|one| one.from)
            .filter(|from| self.profiles.is_active(*from))
            .collect();
        for taker in &takers {
            let mut own = self.at_rest(*taker, unborn);
            own.retain(|fragment| !moving.contains(fragment));
            self.profiles.active(*taker, &self.core, own);
        }
        for ((from, to), fragments) in given {
            let target = self.profiles.active(to, &self.core, Vec::new());
            match self.profiles.find(from).filter(|_| awake.contains(&from)) {
                Some(giver) => {
                    // BOUND: as the moves of one record.
                    giver.do_send(Op::Release { fragments, to: target.recipient(), step });
                    *givers.entry(to).or_default() += 1;
                }
                None => loads.entry(to).or_default().extend(fragments),
            }
        }
        for (taker, givers) in givers {
            self.tell(taker, Op::Expect { step, givers });
        }
        for (taker, fragments) in loads {
            self.tell(taker, Op::Load(fragments));
        }
        let gone: BTreeSet<FragmentIndex> = moves
            .iter()
            .map(|one| one.from)
            .filter(|from| self.core.graph.lead(*from) != *from)
            .collect();
        for lead in gone {
            self.profiles.stop(lead);
        }
    }

    fn tell(&mut self, lead: FragmentIndex, op: Op) {
        if let Some(profile) = self.profiles.find(lead) {
            // BOUND: one for each record or question that is taken.
            profile.do_send(op);
        }
    }

    /// Sends a profile something, waking it first.
    pub(in crate::engine) fn tell_awake(&mut self, lead: FragmentIndex, op: Op) {
        let at_rest = self.at_rest(lead, &[]);
        let profile = self.profiles.active(lead, &self.core, at_rest);
        // BOUND: one for each record or question that is taken.
        profile.do_send(op);
    }

    fn tell_stream(&self, sequence: Sequence, event: &Event, profile: Option<FragmentIndex>) {
        if self.stream.receiver_count() > 0 {
            let _ = self.stream.send(crate::engine::state::stored::Stored::of(
                sequence,
                event,
                profile.is_some(),
            ));
        }
    }

    /// Begins to count changes from the state as it is.
    pub(in crate::engine) fn recount_from_now(&mut self) {
        self.counted = self.core.changes.totals();
    }

    /// After the state was rebuilt: the snapshot under way is of the one before, and is taken again.
    pub(in crate::engine) fn take_snapshot_back(&mut self, is_wanted: bool) {
        let was_writing = std::mem::take(&mut self.is_writing);
        self.to_renew.append(&mut self.renewing);
        self.renew |= !self.to_renew.is_empty();
        if is_wanted || was_writing || self.asked || self.renew || !self.waiting.is_empty() {
            self.snapshot(None);
        }
    }

    /// Takes a snapshot of the present state; `reply` hears when it is durable.
    pub(in crate::engine) fn snapshot(&mut self, reply: Option<oneshot::Sender<Taken>>) {
        // The person's own values are in a pending erasure, so nothing is written until it is known.
        if self.is_writing || !self.core.pending.is_empty() {
            self.asked |= reply.is_some() || self.renew;
            self.waiting.extend(reply);
            return;
        }
        self.waiting.extend(reply);
        // What a record that is passed over left out must not be known to a snapshot alone.
        if self.core.passed.has_unsaid() {
            self.asked = true;
            return;
        }
        if !self.sending.is_quiet() {
            self.sending.wants_snapshot = true;
            return;
        }
        self.asked = false;
        self.is_writing = true;
        self.last_snapshot = Instant::now();
        let fragments: Vec<FragmentIndex> =
            std::mem::take(&mut self.core.fresh.fragments).into_iter().collect();
        let purge = self.core.fresh.purge;
        let gone = std::mem::take(&mut self.core.fresh.gone);
        let renew = std::mem::take(&mut self.renew);
        self.renewing = if renew { std::mem::take(&mut self.to_renew) } else { Vec::new() };
        let rows = match crate::engine::store::rows::take_rows(&mut self.core) {
            Ok(rows) => rows,
            Err(error) => return self.shared.fail(format!("gathering a snapshot: {error}")),
        };
        let mut active: BTreeMap<FragmentIndex, Vec<FragmentIndex>> = BTreeMap::new();
        let mut resting = Vec::new();
        for fragment in &fragments {
            let lead = self.core.graph.lead(*fragment);
            if self.profiles.is_active(lead) {
                active.entry(lead).or_default().push(*fragment);
            } else if let Some(newer) = self.shared.rest.newer(*fragment) {
                resting.extend(newer.keyed(*fragment));
            }
        }
        let job = Job {
            era: self.shared.era(),
            sequence: self.core.applied,
            rows,
            started: Instant::now(),
            purge,
            gone,
            renew,
        };
        let collector = Collector::new(job, active.len(), self.snapshots.clone());
        for (lead, fragments) in active {
            self.tell(lead, Op::Save(fragments, Arc::clone(&collector)));
        }
        collector.add(resting);
    }

    fn tick(&mut self) {
        let metrics = &self.shared.metrics;
        metrics.profiles.set(self.core.graph.profiles() as i64);
        metrics.graph_bytes.set(self.core.graph.memory() as i64);
        metrics.active_profiles.set(self.profiles.count() as i64);
        metrics.queue_depth.set(self.shared.in_flight.now().0 as i64);
        self.count_deliveries();
        self.profiles.stop_left();
        self.unwatch_unheld();
        let is_due = self.last_snapshot.elapsed() >= self.cadence.every
            || self.core.fresh.events >= self.cadence.every_events;
        // On a disk that is nearly full none is begun: the journal holds all that it would hold.
        let has_room = !self.shared.storage_full.load(Ordering::Acquire);
        if is_due && has_room && (self.core.fresh.events > 0 || self.core.fresh.configuration) {
            self.snapshot(None);
        }
    }
}

impl Actor for IdentityActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(Duration::from_secs(1), |identity, context| {
            identity.guarded(context, |identity, _| identity.tick());
        });
        self.address = Some(context.address());
    }
}

impl IdentityActor {
    /// Takes up what a stop interrupted, now that there is a router to append what comes of it: a
    /// re-resolution, erasures, deliveries.
    pub(in crate::engine) fn begin(
        &mut self,
        router: Addr<RouterActor>,
        context: &mut Context<Self>,
    ) {
        self.router = Some(router);
        self.begin_sending(context);
        self.configured(context);
        self.resume_erasures(context);
    }
}

impl Handler<Committed> for IdentityActor {
    type Result = ();

    fn handle(&mut self, Committed(group): Committed, context: &mut Self::Context) {
        self.shared.faults.strike(Stage::Identity, "");
        for (sequence, then) in group {
            self.take_or_hold(sequence, then, context);
        }
        self.guarded(context, |identity, context| {
            identity.profiles.stop_left();
            if identity.sending.is_stirred {
                identity.dispatch(context);
            }
            identity.profiles.passivate_idle();
        });
    }
}

impl Handler<Ask> for IdentityActor {
    type Result = ();

    fn handle(&mut self, Ask(ask): Ask, context: &mut Self::Context) {
        let asked = walled(|| ask(self, context));
        // Who asks hears it by the answer that is dropped. What it may have changed nobody knows.
        if asked == Err(Panicked) {
            self.mend(Cause::Call, context);
        }
    }
}

impl Handler<Report> for IdentityActor {
    type Result = ();

    fn handle(&mut self, report: Report, context: &mut Self::Context) {
        let is_of_now = |question: &AskedOfProfile| question.era == self.shared.era();
        match report {
            Report::Passivated(one) => {
                self.guarded(context, |identity, _| identity.passivated(one))
            }
            Report::SetAside(one) => self.journal_set_aside(&one, context),
            Report::Broken(Broken { era }) if era == self.shared.era() => {
                self.mend(Cause::Turn, context);
            }
            Report::Answered(question, told) if is_of_now(&question) => {
                self.guarded(context, |identity, context| {
                    identity.answered(&question, Some(told), context);
                });
            }
            Report::Unanswered(question) if is_of_now(&question) => self
                .guarded(context, |identity, context| identity.answered(&question, None, context)),
            Report::Broken(_) | Report::Answered(..) | Report::Unanswered(_) => {}
        }
    }
}

impl IdentityActor {
    /// Journals an act of the engine's own; the one place that encodes one.
    pub(in crate::engine) fn journal(&self, act: ActRecord) {
        let Some(router) = &self.router else { return };
        match act.encode() {
            Ok(bytes) => {
                let then = Then::Act { act, reply: None };
                // BOUND: each answers something that is bounded itself: an attempt, a timer, a draft.
                router.do_send(Append { kind: crate::records::kind::ACT, bytes, then });
            }
            Err(error) => self.shared.fail(format!("an act of the engine's own: {error}")),
        }
    }

    fn journal_set_aside(
        &mut self,
        SetAside { sequence, era }: &SetAside,
        context: &mut Context<Self>,
    ) {
        let act = ActRecord::SetAside { at: self.shared.clock.now(), sequence: *sequence };
        self.journal(act);
        if *era != self.shared.era() {
            // The state may have been rebuilt with it meanwhile; this one is made without.
            self.mend(Cause::Call, context);
        }
    }
}

impl Handler<Look> for IdentityActor {
    type Result = ();

    fn handle(&mut self, Look(look): Look, _: &mut Self::Context) {
        // Nothing changed, and who asks hears it by the answer that is dropped.
        let _looked = walled(|| look(self));
    }
}

impl IdentityActor {
    fn passivated(&mut self, passivated: Passivated) {
        let Passivated { lead, stamp, rows, epoch } = passivated;
        if epoch != self.shared.rest.epoch() {
            return; // every fragment was replaced meanwhile
        }
        let is_idle = self.profiles.may_rest(lead, stamp);
        for (fragment, rows) in rows {
            // Chunks left the fragment's own memory either way.
            if !is_idle {
                self.shared.rest.put_chunks(epoch, fragment, &rows.chunks);
                if !rows.chunks.is_empty() {
                    self.core.fresh.fragments.insert(fragment);
                }
            } else if self.core.fresh.fragments.contains(&fragment) || !rows.chunks.is_empty() {
                self.core.fresh.fragments.insert(fragment);
                self.shared.rest.put(fragment, rows);
            } else if !self.is_writing {
                self.shared.rest.forget(fragment); // the snapshot holds this very state
            } else {
                self.shared.rest.put(fragment, rows);
            }
        }
        if is_idle {
            self.profiles.stop(lead);
        }
    }
}

impl Handler<SnapshotDone> for IdentityActor {
    type Result = ();

    fn handle(&mut self, done: SnapshotDone, context: &mut Self::Context) {
        self.guarded(context, |identity, context| identity.snapshot_done(done, context));
    }
}

impl IdentityActor {
    fn snapshot_done(&mut self, done: SnapshotDone, context: &mut Context<Self>) {
        let SnapshotDone { era, sequence, rows, took, retire, renewed } = done;
        if era != self.shared.era() {
            return; // another one is on its way
        }
        self.is_writing = false;
        if let (Some(before), Some(router)) =
            (retire.filter(|_| self.may_cut(sequence)), &self.router)
        {
            // BOUND: one for each snapshot.
            router.do_send(Pass(Then::Retire(before)));
            self.is_cutting = true;
        }
        self.shared.metrics.observe_snapshot(took);
        self.shared.rest.keep_only(&self.core.fresh.fragments);
        self.shared.kept.written();
        match renewed {
            Some(false) => self.not_renewed(context),
            _ => self.renewed(),
        }
        if self.asked {
            return self.snapshot(None);
        }
        for reply in self.waiting.drain(..) {
            let _ = reply.send((sequence, rows, took));
        }
        self.dispatch(context);
    }
}

/// By how much counts have grown.
fn since<const N: usize>(now: [u64; N], before: [u64; N]) -> [u64; N] {
    std::array::from_fn(|at| now[at].saturating_sub(before[at]))
}
