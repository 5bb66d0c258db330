use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flink_appmaster::job_manager::{self as jm, ClientCall, ConnectionId, EndedJob, JobManager, Now};
use flink_graph::{JobGraph, JobId};
use flink_protocol::client::ClientResponseBody;

use crate::world::{Item, Mutation, Peer, World};

/// A client that could not be served: the store is another JobManager's.
pub(crate) const NOT_KEPT: &str = "the job was not accepted, since it cannot be kept";

type Answer = (ConnectionId, Result<ClientResponseBody, String>);

/// What outlives a JobManager, and what the present one has to do with it, as its shell does: a job is kept before it counts as
/// submitted, a result before anybody is told.
#[derive(Default)]
pub(crate) struct Store {
    graphs: BTreeMap<JobId, JobGraph>,
    ended: BTreeMap<JobId, EndedJob>,
    /// What is on its way, by number.
    writes: BTreeMap<u64, Write>,
    /// Answers that wait for a result to be kept.
    held: BTreeMap<JobId, Vec<Answer>>,
}

enum Write {
    /// The submission, which goes on when it is kept.
    Job(Box<jm::Event>),
    Result(Box<EndedJob>),
}

/// A JobManager that stood still until the next one had taken over, and goes on.
pub(crate) struct Zombie {
    core: JobManager,
    pub(crate) epoch: u64,
    since: Duration,
    /// When it goes on; not known before it has been replaced.
    stopped_until: Option<Duration>,
    /// What it is to hear when it goes on.
    missed: Vec<jm::Event>,
    tick: Option<Duration>,
    /// Jobs that have ended under it, which is not its to say.
    silent: BTreeSet<JobId>,
}

impl Store {
    fn keep(&mut self, job: &EndedJob) {
        self.ended.insert(job.graph.job_id, job.clone());
    }
}

impl World {
    // --- the store of the present JobManager ---

    /// Holds back what a JobManager is told until it is kept; true when it does.
    pub(crate) fn is_kept_first(&mut self, event: &jm::Event) -> bool {
        let (Some(_), Some(job_manager)) = (&self.store, &self.job_manager) else { return false };
        let jm::Event::FromClient { call: ClientCall::SubmitJob { graph, .. }, .. } = event else { return false };
        if job_manager.job_graph(graph.job_id).is_some() {
            return false;
        }
        self.begin_write(Write::Job(Box::new(event.clone())));
        true
    }

    /// A job has ended: its result is kept.
    pub(crate) fn keep_result(&mut self, job: JobId) {
        let Some(ended) = self.job_manager.as_ref().and_then(|job_manager| job_manager.ended_job(job)) else { return };
        let Some(store) = &mut self.store else { return };
        store.held.entry(job).or_default();
        self.begin_write(Write::Result(Box::new(ended)));
    }

    /// Holds an answer back that says more than is kept; true when it does.
    pub(crate) fn holds_back(&mut self, connection: ConnectionId, body: &Result<ClientResponseBody, String>) -> bool {
        let (Some(store), Ok(ClientResponseBody::JobResult(result))) = (&mut self.store, body) else { return false };
        let Some(held) = store.held.get_mut(&result.job) else { return false };
        held.push((connection, body.clone()));
        true
    }

    fn begin_write(&mut self, write: Write) {
        let number = self.next;
        if let Some(store) = &mut self.store {
            store.writes.insert(number, write);
        }
        // In half of the runs that have a store it is a slow one.
        let slowest = if self.seed % 4 == 1 && self.faults_go_on() { 10_000 } else { 100 };
        let pause = Duration::from_millis(1 + self.random.u64(..slowest));
        self.after(pause, Item::Written(self.epoch, number));
    }

    pub(crate) fn written(&mut self, epoch: u64, number: u64) {
        if epoch != self.epoch || self.job_manager.is_none() {
            return;
        }
        let Some(store) = &mut self.store else { return };
        match store.writes.remove(&number) {
            Some(Write::Job(event)) => {
                self.keep_job(&event);
                self.deliver(*event);
            }
            Some(Write::Result(job)) => {
                store.keep(&job);
                store.graphs.remove(&job.graph.job_id);
                let held = store.held.remove(&job.graph.job_id).unwrap_or_default();
                for (connection, body) in held {
                    self.carry(|| Item::ToClient(connection, body.clone()));
                }
            }
            None => {}
        }
    }

    fn keep_job(&mut self, event: &jm::Event) {
        if let (Some(store), jm::Event::FromClient { call: ClientCall::SubmitJob { graph, .. }, .. }) =
            (&mut self.store, event)
            && !store.ended.contains_key(&graph.job_id)
        {
            store.graphs.insert(graph.job_id, (**graph).clone());
        }
    }

    /// The JobManager is gone, and with it what was on its way: some of it has arrived.
    pub(crate) fn writer_is_gone(&mut self) {
        let Some(store) = &mut self.store else { return };
        store.held.clear();
        for (_, write) in std::mem::take(&mut store.writes) {
            let luck = self.random.u64(..3);
            self.happened(if luck == 0 { "write lost" } else { "write without a writer" });
            match write {
                _ if luck == 0 => {}
                Write::Job(event) => self.keep_job(&event),
                Write::Result(job) => {
                    let Some(store) = &mut self.store else { return };
                    store.keep(&job);
                    if luck == 2 {
                        store.graphs.remove(&job.graph.job_id);
                    }
                }
            }
        }
    }

    /// The next JobManager goes on with the jobs, and knows how others have ended.
    pub(crate) fn recover(&mut self) {
        let (Some(store), Some(job_manager)) = (&mut self.store, &mut self.job_manager) else { return };
        if self.mutation == Mutation::StoreForgets {
            (store.graphs, store.ended) = Default::default();
        }
        store.graphs.retain(|job, _| !store.ended.contains_key(job));
        store.ended.values().for_each(|job| job_manager.restore_finished(job.clone()));
        let graphs: Vec<JobGraph> = store.graphs.values().cloned().collect();
        for graph in graphs {
            self.happened("job taken over");
            let call = ClientCall::SubmitJob { graph: Box::new(graph), artifact_present: true };
            // Nobody waits for this answer.
            self.deliver(jm::Event::FromClient { connection: ConnectionId(u64::MAX), number: u64::MAX, call });
        }
        let longest = if self.random.u64(..3) == 0 { 10_000 } else { 200 };
        let (now, until) = (self.now, self.random.u64(..longest));
        if let Some(zombie) = self.zombie.as_mut().filter(|zombie| zombie.stopped_until.is_none()) {
            zombie.stopped_until = Some(now + Duration::from_millis(until));
            let epoch = zombie.epoch;
            self.after(Duration::from_millis(until), Item::ZombieGoesOn(epoch));
            let end = until + 1 + self.random.u64(..20_000);
            self.after(Duration::from_millis(end), Item::ZombieEnds(epoch));
        }
    }

    // --- a JobManager that was replaced ---

    /// The host of the JobManager stands still. Others believe it to be dead, sooner or later.
    pub(crate) fn stop_job_manager(&mut self) {
        let Some(core) = self.job_manager.take() else { return };
        self.happened("JobManager stood still");
        // Of what it was about to keep it hears no more.
        let silent = self.store.iter().flat_map(|store| store.held.keys().copied()).collect();
        self.writer_is_gone();
        let (epoch, since, missed) = (self.epoch, self.job_manager_since, Vec::new());
        self.zombie = Some(Zombie { core, epoch, since, stopped_until: None, missed, tick: None, silent });
        let links: Vec<(ConnectionId, Peer)> =
            self.links.iter().filter(|(_, link)| link.epoch == epoch).map(|(id, link)| (*id, link.peer)).collect();
        for (connection, peer) in links {
            // TaskManagers notice the silence by themselves.
            if matches!(peer, Peer::Client(_)) {
                let pause = Duration::from_millis(self.random.u64(..40_000));
                self.after(pause, Item::LinkLost(connection));
            }
        }
        let pause = Duration::from_millis(100 + self.random.u64(..4_000));
        self.after(pause, Item::JobManagerStarts);
    }

    pub(crate) fn zombie_goes_on(&mut self, epoch: u64) {
        let Some(zombie) = self.zombie.as_mut().filter(|zombie| zombie.epoch == epoch) else { return };
        for event in std::mem::take(&mut zombie.missed) {
            self.zombie_event(event);
        }
        self.zombie_event(jm::Event::Tick);
    }

    pub(crate) fn zombie_ticks(&mut self, epoch: u64) {
        if let Some(zombie) = self.zombie.as_mut().filter(|zombie| zombie.epoch == epoch) {
            zombie.tick = None;
            self.zombie_event(jm::Event::Tick);
        }
    }

    pub(crate) fn zombie_ends(&mut self, epoch: u64) {
        if self.zombie.take_if(|zombie| zombie.epoch == epoch).is_some() {
            self.links_break(epoch);
        }
    }

    pub(crate) fn zombie_event(&mut self, event: jm::Event) {
        let Some(zombie) = &mut self.zombie else { return };
        if zombie.stopped_until.is_none_or(|until| self.now < until) {
            return zombie.missed.push(event);
        }
        if let jm::Event::FromClient { connection, call: ClientCall::SubmitJob { graph, .. }, .. } = &event
            && zombie.core.job_graph(graph.job_id).is_none()
        {
            self.happened("job refused by a replaced JobManager");
            let (connection, body) = (*connection, Ok(ClientResponseBody::JobSubmitFailure(NOT_KEPT.to_owned())));
            return self.carry(|| Item::ToClient(connection, body.clone()));
        }
        let elapsed = self.now - zombie.since;
        let actions = zombie.core.on_event(Now { elapsed, timestamp: self.now.as_millis() as i64 }, event);
        let (epoch, deadline) = (zombie.epoch, zombie.core.next_deadline().map(|at| at.max(elapsed) + zombie.since));
        if let Some(at) = deadline.filter(|at| zombie.tick.is_none_or(|set| *at < set)) {
            zombie.tick = Some(at);
            self.after(at - self.now, Item::ZombieTick(epoch));
        }
        actions.into_iter().for_each(|action| self.zombie_acts(action));
    }

    fn zombie_acts(&mut self, action: jm::Action) {
        let Some(zombie) = &mut self.zombie else { return };
        match &action {
            jm::Action::JobTerminated { job } => {
                zombie.silent.insert(*job);
                self.happened("job ended under a replaced JobManager");
            }
            jm::Action::RespondToClient { body: Ok(ClientResponseBody::JobResult(result)), .. }
                if zombie.silent.contains(&result.job) && self.mutation != Mutation::ZombieTells => {}
            _ => self.job_manager_acts(action),
        }
    }
}
