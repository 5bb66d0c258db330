use std::fmt::Write as _;
use std::time::Duration;

use flink_appmaster::job_manager::{self as jm, ConnectionId};
use flink_graph::TaskManagerId;
use flink_protocol::Envelope;
use flink_protocol::task_manager::{HardwareDescription, ProcessStatistics, ToTaskManager};
use flink_taskmanager::task_manager::{self as tm, TaskManagerConfig, TaskManagerCore};

use crate::workers::Worker;
use crate::world::{Item, Link, Mutation, Peer, TaskManagerProcess, World, configuration};

impl World {
    pub(crate) fn start_task_manager(&mut self, index: usize) {
        let life = self.next;
        let mut own = configuration();
        own.set("taskmanager.numberOfTaskSlots", self.slots.to_string());
        let id = TaskManagerId(format!("tm-{index}-{life}"));
        let hardware = HardwareDescription::default();
        let Ok(config) = TaskManagerConfig::from_configuration(&own, id, format!("host-{index}"), hardware) else {
            return;
        };
        let core = TaskManagerCore::new(config, self.now);
        let process = TaskManagerProcess { core, link: None, stopped_until: Duration::ZERO, tick: None, life };
        self.task_managers[index] = Some(process);
        self.connect_later(index, life);
        self.task_manager_event(index, life, tm::Event::Tick);
    }

    pub(crate) fn connect_later(&mut self, index: usize, life: u64) {
        let pause = Duration::from_millis(20 + self.random.u64(..200));
        self.after(pause, Item::Connect(index, life));
    }

    pub(crate) fn connect_task_manager(&mut self, index: usize, life: u64) {
        let Some(process) = &self.task_managers[index] else { return };
        if process.life != life || process.link.is_some() {
            return;
        }
        if process.stopped_until > self.now {
            let pause = process.stopped_until - self.now;
            return self.after(pause, Item::Connect(index, life));
        }
        let Some(link) = self.open_link(Peer::TaskManager(index)) else { return self.connect_later(index, life) };
        if let Some(process) = &mut self.task_managers[index] {
            process.link = Some(link);
        }
        self.task_manager_event(index, life, tm::Event::Connected);
    }

    pub(crate) fn deliver_to_task_manager(&mut self, link: ConnectionId, envelope: Envelope<ToTaskManager>) {
        let Some(Link { peer: Peer::TaskManager(index), at_peer: true, .. }) = self.links.get(&link) else { return };
        let index = *index;
        let Some(process) = self.task_managers[index].as_ref().filter(|process| process.link == Some(link)) else {
            return;
        };
        if process.stopped_until > self.now {
            let pause = process.stopped_until - self.now;
            return self.after(pause, Item::ToTaskManager(link, envelope));
        }
        let life = process.life;
        self.task_manager_event(index, life, tm::Event::FromJobManager(envelope));
    }

    pub(crate) fn tick_task_manager(&mut self, index: usize, life: u64) {
        let Some(process) = self.task_managers[index].as_mut().filter(|process| process.life == life) else { return };
        process.tick = None;
        self.task_manager_event(index, life, tm::Event::Tick);
    }

    pub(crate) fn task_manager_event(&mut self, index: usize, life: u64, event: tm::Event) {
        let Some(process) = self.task_managers[index].as_mut().filter(|process| process.life == life) else { return };
        if process.stopped_until > self.now {
            let pause = process.stopped_until - self.now;
            return self.retry_when_running(index, life, event, pause);
        }
        if self.with_log {
            let _ = writeln!(self.report.log, "{:?} tm-{index}-{life} {event:?}", self.now);
        }
        let actions = process.core.on_event(self.now, event);
        actions.into_iter().for_each(|action| self.task_manager_acts(index, life, action));
        let Some(process) = self.task_managers[index].as_mut().filter(|process| process.life == life) else { return };
        let deadline = process.core.next_deadline().map(|at| at.max(self.now));
        if let Some(at) = deadline.filter(|at| process.tick.is_none_or(|set| *at < set)) {
            process.tick = Some(at);
            self.after(at - self.now, Item::TaskManagerTick(index, life));
        }
    }

    /// A process that is stopped (SIGSTOP) handles what came in the meantime when it goes on.
    pub(crate) fn retry_when_running(&mut self, index: usize, life: u64, event: tm::Event, pause: Duration) {
        match event {
            tm::Event::FromWorker { worker, message } => {
                self.after(pause, Item::FromWorker((index, life, worker.0), message));
            }
            tm::Event::WorkerExited { worker, reason } => {
                self.after(pause, Item::WorkerExits((index, life, worker.0), reason));
            }
            tm::Event::TokensStored { epoch, version } => {
                self.after(pause, Item::TokensStored(index, life, epoch, version));
            }
            tm::Event::Tick => {
                if let Some(process) = &mut self.task_managers[index] {
                    process.tick = Some(self.now + pause);
                }
                self.after(pause, Item::TaskManagerTick(index, life));
            }
            // Connections of a stopped process are opened and lost when it runs again.
            _ => {}
        }
    }

    /// A worker's `main` may do something else first, for longer than the heartbeat's time-out, or for ever.
    fn pause_before_boot(&mut self) -> Duration {
        if !self.chance(self.profile.late_worker) {
            return Duration::from_millis(5 + self.random.u64(..300));
        }
        if self.random.u64(..8) == 0 {
            self.happened("worker never started");
            return Duration::from_hours(1);
        }
        self.happened("worker started late");
        Duration::from_millis(5_000 + self.random.u64(..20_000))
    }

    pub(crate) fn task_manager_acts(&mut self, index: usize, life: u64, action: tm::Action) {
        if self.with_log {
            let _ = writeln!(self.report.log, "  does {action:?}");
        }
        let link = self.task_managers[index].as_ref().and_then(|process| process.link);
        match action {
            tm::Action::SendToJobManager(envelope) => {
                if let Some(connection) = link {
                    let event = jm::Event::FromTaskManager { connection, envelope };
                    self.carry(|| Item::ToJobManager(connection, Box::new(event.clone())));
                }
            }
            tm::Action::CloseConnection => {
                link.iter().for_each(|link| self.close_by_peer(*link));
                if let Some(process) = &mut self.task_managers[index] {
                    process.link = None;
                }
                self.connect_later(index, life);
            }
            tm::Action::SpawnWorker { worker, information } => {
                let key = (index, life, worker.0);
                let address = format!("tm-{index}-{life}:{}", worker.0);
                self.workers.insert(key, Worker::new(address, &information.graph));
                let pause = self.pause_before_boot();
                self.after(pause, Item::WorkerBoots(key));
            }
            tm::Action::SendToWorker { worker, message } => {
                self.after(Duration::from_millis(1), Item::ToWorker((index, life, worker.0), message));
            }
            tm::Action::KillWorker { worker, .. } if self.mutation != Mutation::WorkersNeverStop => {
                self.worker_gone((index, life, worker.0), "killed");
            }
            tm::Action::CollectStatistics => {
                self.task_manager_event(index, life, tm::Event::Statistics(ProcessStatistics::default()));
            }
            tm::Action::StoreTokens { .. } if self.faults_go_on() && self.chance_of_tokens.u64(..5) == 0 => {
                self.happened("tokens not stored");
            }
            tm::Action::StoreTokens { epoch, tokens } => {
                let pause = Duration::from_millis(1 + self.chance_of_tokens.u64(..100));
                self.after(pause, Item::TokensStored(index, life, epoch, tokens.version));
            }
            tm::Action::Terminate { .. } => self.kill_task_manager(index),
            _ => {}
        }
    }
}
