use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flink_graph::{ExecutionAttemptId, ExecutionState, InputSplit};
use flink_protocol::task_manager::ToTaskManager;

use super::JobMaster;
use crate::job_manager::context::Context;
use crate::job_manager::execution_graph::ExecutionGraph;
use crate::job_manager::timing::Timer;

/// What a task that wants a split is answered.
pub(crate) enum SplitAnswer {
    /// The split, or that there is none left.
    Next(Option<InputSplit>),
    /// Nothing: the request is out of date.
    Silence,
    /// The attempt does not count (any more) and must end.
    Unknown,
}

/// A subtask that finds no split on its own host, while others that run have some on theirs. It holds back for a moment
/// and leaves them to those: they would read them from their own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalityDelay {
    /// Its request is answered later.
    Waiting { attempt: ExecutionAttemptId, request: u64, until: Duration },
    /// It has waited in vain, and reads whatever there is.
    Spent(ExecutionAttemptId),
}

pub(super) fn bytes_by_host(graph: &ExecutionGraph) -> BTreeMap<String, u64> {
    let mut bytes = BTreeMap::new();
    for splits in graph.vertices.iter().filter_map(|vertex| vertex.splits.as_ref()) {
        splits.add_bytes_by_host(&mut bytes);
    }
    bytes
}

impl JobMaster {
    /// Bytes of the job's input by the host that has them.
    pub(crate) fn input_hosts(&self) -> Arc<BTreeMap<String, u64>> {
        self.input_hosts.clone()
    }

    /// A task on `host` wants its next split.
    pub(crate) fn next_split(
        &mut self,
        attempt: ExecutionAttemptId,
        request: u64,
        host: &str,
        cx: &mut Context,
    ) -> SplitAnswer {
        let Some(subtask) = self.graph.current(attempt) else { return SplitAnswer::Unknown };
        match self.state(subtask) {
            ExecutionState::Deploying | ExecutionState::Initializing | ExecutionState::Running => {}
            ExecutionState::Failed | ExecutionState::Canceled => return SplitAnswer::Unknown,
            _ => return SplitAnswer::Silence,
        }
        if self.delays_for_locality(subtask, request, host, cx) {
            return SplitAnswer::Silence;
        }
        let vertex = self.graph.subtasks[subtask].vertex;
        let Some(splits) = &mut self.graph.vertices[vertex].splits else { return SplitAnswer::Next(None) };
        let answer = splits.next(attempt, request, host);
        if !splits.has_free() {
            self.end_waiting(vertex, cx);
        }
        answer.map_or(SplitAnswer::Silence, SplitAnswer::Next)
    }

    /// Whether a request is answered later, since what is left is better read by others.
    fn delays_for_locality(&mut self, subtask: usize, request: u64, host: &str, cx: &mut Context) -> bool {
        let attempt = self.graph.subtasks[subtask].current.id;
        let Some(splits) = &self.graph.vertices[self.graph.subtasks[subtask].vertex].splits else { return false };
        if splits.is_answered(attempt, request) {
            return false;
        }
        if splits.has_free_on(host) || !splits.has_free() {
            self.locality_delays.remove(&subtask);
            return false;
        }
        if self.settings.locality_wait.is_zero() || !self.has_local_reader(subtask, cx) {
            return false;
        }
        let now = cx.now.elapsed;
        match self.locality_delays.get(&subtask) {
            Some(LocalityDelay::Spent(spent)) if *spent == attempt => false,
            Some(LocalityDelay::Waiting { attempt: waiting, until, .. }) if *waiting == attempt && *until <= now => {
                self.locality_delays.insert(subtask, LocalityDelay::Spent(attempt));
                false
            }
            Some(LocalityDelay::Waiting { attempt: waiting, request: asked, .. })
                if *waiting == attempt && *asked == request =>
            {
                true
            }
            _ => {
                let until = now + self.settings.locality_wait;
                self.locality_delays.insert(subtask, LocalityDelay::Waiting { attempt, request, until });
                cx.agenda.set(until, Timer::Split(self.id(), subtask));
                true
            }
        }
    }

    /// Whether another subtask that runs has a free split on its host.
    fn has_local_reader(&self, subtask: usize, cx: &Context) -> bool {
        let vertex = &self.graph.vertices[self.graph.subtasks[subtask].vertex];
        let Some(splits) = &vertex.splits else { return false };
        vertex.subtasks().filter(|other| *other != subtask).any(|other| {
            let runs = (ExecutionState::Deploying..=ExecutionState::Running).contains(&self.state(other));
            runs && self.place(other).is_some_and(|place| splits.has_free_on(&cx.host(place)))
        })
    }

    /// A subtask may have waited for long enough.
    pub(crate) fn on_split_timer(&mut self, subtask: usize, cx: &mut Context) {
        if let Some(LocalityDelay::Waiting { attempt, request, until }) = self.locality_delays.get(&subtask).copied()
            && until <= cx.now.elapsed
        {
            self.answer_late(subtask, attempt, request, cx);
        }
    }

    /// Nothing is left to wait for.
    fn end_waiting(&mut self, vertex: usize, cx: &mut Context) {
        let waiting: Vec<_> =
            self.locality_delays.extract_if(self.graph.vertices[vertex].subtasks(), |_, _| true).collect();
        for (subtask, delay) in waiting {
            if let LocalityDelay::Waiting { attempt, request, .. } = delay {
                self.answer_late(subtask, attempt, request, cx);
            }
        }
    }

    fn answer_late(&mut self, subtask: usize, attempt: ExecutionAttemptId, request: u64, cx: &mut Context) {
        if self.graph.subtasks.get(subtask).is_none_or(|subtask| subtask.current.id != attempt) {
            self.locality_delays.remove(&subtask);
            return;
        }
        let host = self.place(subtask).map(|place| cx.host(place)).unwrap_or_default();
        if let SplitAnswer::Next(split) = self.next_split(attempt, request, &host, cx) {
            self.tell(subtask, ToTaskManager::NextInputSplit { attempt, request, split }, cx);
        }
    }
}
