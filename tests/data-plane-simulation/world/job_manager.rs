//! What the JobManager and the TaskManagers do: deploy, answer, cancel; and what goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flink_graph::{ExecutionState, InputSplit};
use flink_protocol::task_manager::{FailureKind, TaskFailure, TaskStateUpdate};
use flink_taskmanager::clock::Clock;
use flink_taskmanager::operator::TaskFlags;
use flink_taskmanager::setup::TaskSetup;
use flink_taskmanager::task::{Task, TaskCounters};

use super::{Event, World};
use crate::cluster::FaultKind;
use crate::network::Connector;

impl World<'_> {
    pub(super) fn on_update(&mut self, index: usize, update: TaskStateUpdate) {
        let seat = &mut self.seats[index];
        assert!(!seat.state.is_terminal(), "{} after {}", update.state, seat.state);
        seat.state = update.state;
        match update.state {
            ExecutionState::Finished => {
                let metrics = update.metrics.expect("figures of a task that ended");
                self.records.0 += metrics.records_out;
                self.records.1 += metrics.records_in;
                self.parts.insert(index, metrics.accumulators);
                self.deploy_those_that_waited_for(index);
            }
            ExecutionState::Failed => {
                let failure = update.failure.expect("the reason of a failure");
                self.failures.push((index, failure));
                self.cancel_all();
            }
            // What was opened before this is on the worker: the views of its queues are the observers of their bounds.
            ExecutionState::Running => self.observe(index),
            _ => {}
        }
    }

    fn deploy_those_that_waited_for(&mut self, finished: usize) {
        for index in 0..self.seats.len() {
            let awaited = &self.deployment.subtasks[index].awaited;
            let all = awaited.iter().all(|other| self.seats[*other].state == ExecutionState::Finished);
            if awaited.contains(&finished) && all {
                let delay = self.delay(self.settings.deployment);
                self.at(delay, Event::Deploy(index));
            }
        }
    }

    /// Makes a task from its descriptor, as a worker does.
    pub(super) fn deploy(&mut self, index: usize) {
        if self.seats[index].state.is_terminal() {
            return;
        }
        let descriptor = self.deployment.descriptor(index);
        let (attempt, worker) = (descriptor.attempt, self.deployment.subtasks[index].worker);
        let seat = &mut self.seats[index];
        let counters = TaskCounters::default();
        let mut setup = TaskSetup {
            vertex: self.graph.vertex(attempt.vertex).cloned().expect("a vertex of the job"),
            configuration: self.graph.configuration.clone(),
            descriptor,
            graph: self.graph.clone(),
            flags: Arc::new(TaskFlags::default()),
            waker: seat.waker.clone(),
            clock: virtual_clock(&self.clock),
            counters: counters.clone(),
            splits: seat.splits.clone(),
            partitions: self.partitions[worker].clone(),
            connector: Arc::new(Connector { worker, network: self.network.clone() }),
            directory: self.directory.to_owned(),
        };
        let (updates, partitions) = (self.updates.clone(), self.partitions[worker].clone());
        let report = move |update: TaskStateUpdate| {
            if update.state.is_terminal() && update.state != ExecutionState::Finished {
                partitions.release_of(attempt);
            }
            updates.lock().unwrap().push(update);
        };
        let program = self.program.clone();
        let build = Box::new(move || program.build_task(attempt.vertex, &mut setup));
        seat.task = Some(Task::new(attempt, build, seat.mailbox.clone(), counters, Box::new(report)));
        seat.state = ExecutionState::Deploying;
        seat.ready.store(true, Ordering::Release);
    }

    pub(super) fn answer_split(&mut self, subtask: usize, request: u64) {
        let splits = self.unassigned.get_mut(&self.deployment.subtasks[subtask].vertex).expect("a source");
        let place = self.random.below(splits.len());
        let split = splits.remove(place);
        if self.settings.doubled_answers {
            let delay = self.delay(self.settings.max_split_delay * 2);
            self.at(delay, Event::RepeatAnswer { subtask, request, split: split.clone() });
        }
        self.give_split(subtask, request, split);
    }

    pub(super) fn give_split(&mut self, subtask: usize, request: u64, split: Option<InputSplit>) {
        let seat = &self.seats[subtask];
        seat.splits.answer(request, split);
        seat.waker.wake();
    }

    pub(super) fn cancel(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if seat.task.is_some() {
            seat.mailbox.cancel();
            seat.waker.wake();
        } else if !seat.state.is_terminal() {
            seat.state = ExecutionState::Canceled;
        }
    }

    /// The JobManager cancels what is left of a job, each task with a message of its own.
    fn cancel_all(&mut self) {
        for index in 0..self.seats.len() {
            let delay = self.delay(self.settings.deployment * 4);
            self.at(delay, Event::Cancel(index));
        }
    }

    pub(super) fn inject_fault(&mut self) {
        let Some(fault) = self.fault.take_if(|fault| fault.after <= self.steps) else { return };
        self.fault_fired = self.strike(fault.kind);
        if !self.fault_fired {
            // There was nothing to strike yet.
            self.fault = Some(fault);
        }
    }

    fn strike(&mut self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::CancelJob => self.cancel_all(),
            FaultKind::FailTask => {
                let seat = &self.seats[self.random.below(self.seats.len())];
                if seat.task.is_none() {
                    return false;
                }
                seat.mailbox.fail("the JobManager said so".to_owned());
                seat.waker.wake();
            }
            FaultKind::Sever => {
                self.severed = self.network.sever(self.random.below(16));
                return self.severed.is_some();
            }
            FaultKind::KillWorker => return self.kill_worker(),
        }
        true
    }

    /// A worker is gone with its tasks; the others see their connections end, the JobManager hears of it.
    fn kill_worker(&mut self) -> bool {
        let worker = self.random.below(self.settings.workers);
        let before = self.failures.len();
        for index in 0..self.seats.len() {
            if self.deployment.subtasks[index].worker == worker && !self.seats[index].state.is_terminal() {
                self.seats[index].task = None;
                self.seats[index].state = ExecutionState::Failed;
                let failure = TaskFailure { kind: FailureKind::TaskManagerLost, message: "killed".to_owned() };
                self.failures.push((index, failure));
            }
        }
        let struck = self.failures.len() > before;
        if struck {
            self.network.kill(worker);
            self.cancel_all();
        }
        struck
    }
}

/// Shows virtual time, since a moment in 2001.
fn virtual_clock(nanos: &Arc<AtomicU64>) -> Clock {
    const BEGIN: Duration = Duration::from_secs(1_000_000_000);
    let nanos = nanos.clone();
    Clock::new(move || BEGIN + Duration::from_nanos(nanos.load(Ordering::Relaxed)))
}
