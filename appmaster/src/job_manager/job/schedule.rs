use std::collections::{BTreeMap, BTreeSet};

use flink_graph::{DistributionPattern, ExecutionState, JobStatus, RuntimeMode, SlotId, TaskManagerId};
use flink_protocol::task_manager::{TaskDeploymentDescriptor, ToTaskManager};

use super::{JobMaster, RegionState, taken};
use crate::job_manager::context::Context;
use crate::job_manager::execution_graph::PartitionState;
use crate::job_manager::timing::Timer;

/// How many slots some regions take.
pub(crate) struct SlotDemand {
    /// All that they run in.
    pub(crate) total: usize,
    /// Those of them that the job does not hold yet.
    pub(crate) missing: usize,
}

impl JobMaster {
    /// Asks for slots for all regions whose inputs are there. Those of a streaming job run for ever, so they start
    /// together or not at all; those of a batch job can run one after the other.
    pub(super) fn queue_ready_regions(&mut self, cx: &mut Context) {
        let ready: Vec<usize> = (0..self.regions.len()).filter(|region| self.is_ready(*region)).collect();
        for region in &ready {
            self.region_states[*region] = RegionState::Queued;
            for subtask in self.regions.members(*region) {
                self.graph.transition(*subtask, ExecutionState::Scheduled, cx.now.timestamp);
            }
        }
        let (sequence, job) = (self.sequence, self.id());
        match self.information.graph.mode {
            RuntimeMode::Batch => ready.into_iter().for_each(|region| cx.queue.push(sequence, job, vec![region])),
            _ if ready.is_empty() => {}
            _ => cx.queue.push(sequence, job, ready),
        }
    }

    fn is_ready(&self, region: usize) -> bool {
        self.region_states[region] == RegionState::Waiting
            && self.regions.members(region).iter().all(|subtask| {
                self.state(*subtask) == ExecutionState::Created
                    && !self.pending_restart.as_ref().is_some_and(|pending| pending.subtasks.contains(subtask))
                    && self.graph.is_input_ready(*subtask)
            })
    }

    /// Slots that the job waits for, or will once the delay before a restart is over.
    pub(crate) fn missing_slots(&self) -> usize {
        if !matches!(self.status, JobStatus::Created | JobStatus::Running | JobStatus::Restarting) {
            return 0;
        }
        let restarts = |region: usize| {
            let pending = self.pending_restart.as_ref();
            let comes_back = |subtask: &usize| pending.is_some_and(|pending| pending.subtasks.contains(subtask));
            self.region_states[region] == RegionState::Waiting && self.regions.members(region).iter().any(comes_back)
        };
        let waits = |region: &usize| self.region_states[*region] == RegionState::Queued || restarts(*region);
        let waiting: Vec<usize> = (0..self.regions.len()).filter(waits).collect();
        self.demand(&waiting).missing
    }

    /// How many slots regions take.
    pub(crate) fn demand(&self, regions: &[usize]) -> SlotDemand {
        let slots = self.sharing.of_all(regions.iter().flat_map(|region| self.regions.members(*region)));
        let missing = slots.iter().filter(|slot| self.sharing.physical(**slot).is_none()).count();
        SlotDemand { total: slots.len(), missing }
    }

    /// Gives regions their slots: all of them, or none when they are too few after all.
    pub(crate) fn allocate(&mut self, regions: &[usize], cx: &mut Context) -> bool {
        let subtasks: Vec<usize> = regions.iter().flat_map(|region| self.regions.members(*region)).copied().collect();
        let mut taken = Vec::new();
        for shared in self.sharing.of_all(&subtasks) {
            if self.sharing.physical(shared).is_some() {
                continue;
            }
            let Some(slot) = cx.task_managers.allocate(self.id(), &self.inputs_near(shared, &subtasks)) else {
                taken.into_iter().for_each(|shared| self.release_slot(shared, cx));
                return false;
            };
            self.sharing.assign(shared, slot);
            taken.push(shared);
            self.locate(shared, &subtasks);
        }
        subtasks.into_iter().for_each(|subtask| self.occupy(subtask, cx));
        regions.iter().for_each(|region| self.region_states[*region] = RegionState::Starting);
        true
    }

    /// Notes where the subtasks of a shared slot will be, so that their consumers can come near.
    fn locate(&mut self, shared: usize, subtasks: &[usize]) {
        let slot = self.sharing.physical(shared).cloned();
        for subtask in self.sharing.subtasks(shared).iter().filter(|subtask| subtasks.contains(subtask)) {
            self.graph.subtasks[*subtask].current.location.clone_from(&slot);
        }
    }

    fn occupy(&mut self, subtask: usize, cx: &mut Context) {
        let slot = self.sharing.physical(self.sharing.of(subtask)).cloned();
        let execution = &mut self.graph.subtasks[subtask].current;
        if let Some(task_manager) = slot.as_ref().and_then(|slot| cx.task_managers.get_mut(&slot.task_manager)) {
            task_manager.attempts.insert(execution.id);
        }
        execution.location = slot;
    }

    /// On which TaskManagers the producers are that the subtasks of a shared slot read pointwise.
    fn inputs_near(&self, shared: usize, subtasks: &[usize]) -> BTreeMap<TaskManagerId, usize> {
        let mut near = BTreeMap::new();
        for subtask in self.sharing.subtasks(shared).iter().filter(|subtask| subtasks.contains(subtask)) {
            for result in &self.graph.vertex_of(*subtask).inputs {
                let strategy = self.graph.results[*result].consumer.map(|(_, strategy)| strategy.pattern());
                if strategy != Some(DistributionPattern::Pointwise) {
                    continue;
                }
                for producer in self.graph.producers(*subtask, *result) {
                    if let Some(slot) = &self.graph.subtasks[producer].current.location {
                        *near.entry(slot.task_manager.clone()).or_default() += 1;
                    }
                }
            }
        }
        near
    }

    /// Sends out the tasks of regions whose workers all listen; starts those workers that are missing.
    pub(super) fn deploy_started_regions(&mut self, cx: &mut Context) {
        for region in 0..self.regions.len() {
            if self.region_states[region] != RegionState::Starting {
                continue;
            }
            let places: BTreeSet<TaskManagerId> =
                self.regions.members(region).iter().filter_map(|subtask| self.place(*subtask).cloned()).collect();
            let started = places.iter().filter(|place| cx.require_worker(place, &self.information)).count();
            if started == places.len() {
                self.deploy(region, cx);
            }
        }
    }

    fn deploy(&mut self, region: usize, cx: &mut Context) {
        let members = self.regions.members(region).to_vec();
        let descriptors: Vec<_> = members.iter().filter_map(|subtask| self.descriptor(*subtask, cx)).collect();
        if descriptors.len() < members.len() {
            return self.inputs_vanished(region, cx);
        }
        self.region_states[region] = RegionState::Deployed;
        if self.status == JobStatus::Created {
            self.set_status(cx, JobStatus::Running, None);
        }
        for (subtask, descriptor) in members.into_iter().zip(descriptors) {
            self.graph.transition(subtask, ExecutionState::Deploying, cx.now.timestamp);
            let resend = cx.first_sending(Timer::Subtask(self.id(), subtask));
            let execution = &mut self.graph.subtasks[subtask].current;
            execution.unanswered = Some(resend);
            execution.last_seen = cx.now.elapsed;
            self.log_deployment(subtask);
            self.tell(subtask, ToTaskManager::SubmitTask(Box::new(descriptor)), cx);
        }
    }

    /// Where each task went is known for as long as the log is kept: `flink-yarn logs --task` looks for this line.
    fn log_deployment(&self, subtask: usize) {
        let execution = &self.graph.subtasks[subtask].current;
        let vertex = &self.graph.vertex_of(subtask).vertex;
        let Some(slot) = &execution.location else { return };
        tracing::info!(
            job = %self.id(),
            vertex = %vertex.id,
            subtask = execution.id.subtask,
            attempt = execution.id.attempt,
            task_manager = %slot.task_manager,
            name = vertex.name,
            "deploying task"
        );
    }

    pub(super) fn descriptor(&self, subtask: usize, cx: &Context) -> Option<TaskDeploymentDescriptor> {
        self.graph.descriptor(subtask, |task_manager| cx.task_managers.data_address(task_manager, self.id()))
    }

    /// A worker with blocking inputs of a region is not there: they must be produced again.
    fn inputs_vanished(&mut self, region: usize, cx: &mut Context) {
        for subtask in self.regions.members(region).to_vec() {
            for result in self.graph.vertex_of(subtask).inputs.clone() {
                for producer in self.graph.producers(subtask, result) {
                    let place = self.place(producer);
                    let there = place.and_then(|place| cx.task_managers.data_address(place, self.id()));
                    if there.is_none() && self.graph.partition(producer, result) == PartitionState::Available {
                        self.graph.set_partition(producer, result, PartitionState::Lost);
                    }
                }
            }
        }
        let first = self.regions.members(region).first().copied().unwrap_or_default();
        self.fail_subtasks(vec![first], &taken("the worker with its input is gone"), cx);
    }

    /// Sends a message to where a subtask is.
    pub(super) fn tell(&self, subtask: usize, message: ToTaskManager, cx: &mut Context) {
        if let Some(place) = self.place(subtask) {
            cx.send(place, message);
        }
    }

    pub(super) fn place(&self, subtask: usize) -> Option<&TaskManagerId> {
        self.graph.subtasks[subtask].current.location.as_ref().map(|slot| &slot.task_manager)
    }

    /// A subtask has ended: its TaskManager is not expected to have it, and its slot goes when it was the last in it.
    pub(super) fn vacate(&mut self, subtask: usize, cx: &mut Context) {
        let execution = &mut self.graph.subtasks[subtask].current;
        execution.unanswered = None;
        if let Some(SlotId { task_manager, .. }) = &execution.location
            && let Some(task_manager) = cx.task_managers.get_mut(task_manager)
        {
            task_manager.attempts.remove(&execution.id);
        }
        self.release_slot_when_empty(self.sharing.of(subtask), cx);
    }

    fn release_slot_when_empty(&mut self, shared: usize, cx: &mut Context) {
        let in_use = self.sharing.subtasks(shared).iter().any(|subtask| {
            let execution = &self.graph.subtasks[*subtask].current;
            execution.location.is_some() && !execution.state.is_terminal()
        });
        if !in_use {
            self.release_slot(shared, cx);
        }
    }

    pub(super) fn release_slot(&mut self, shared: usize, cx: &mut Context) {
        if let Some(slot) = self.sharing.release(shared) {
            cx.task_managers.free(&slot);
            cx.queue.changed = true;
        }
    }

    /// Ends workers that the job needs no more: it holds no slot there, nobody will read what is there, and no restart
    /// is about to come back to it.
    pub(crate) fn stop_idle_workers(&mut self, cx: &mut Context) {
        if self.pending_restart.is_some() {
            return;
        }
        let mut needed: BTreeSet<&TaskManagerId> = self.sharing.held().map(|(_, slot)| &slot.task_manager).collect();
        if !matches!(self.status, JobStatus::Canceling | JobStatus::Failing) {
            let outputs = (0..self.graph.subtasks.len()).filter(|subtask| self.graph.is_output_needed(*subtask));
            needed.extend(outputs.filter_map(|subtask| self.place(subtask)));
        }
        let job = self.id();
        let idle: Vec<TaskManagerId> = cx
            .task_managers
            .iter()
            .filter(|(id, task_manager)| task_manager.workers.contains_key(&job) && !needed.contains(id))
            .map(|(id, _)| id.clone())
            .collect();
        idle.iter().for_each(|id| cx.stop_worker(id, job));
    }
}
