use std::time::Duration;

use flink_appmaster::job_manager::{self as jm, ConnectionId};
use flink_taskmanager::task_manager as tm;

use crate::world::{Item, Link, Peer, World};

impl World {
    pub(crate) fn open_link(&mut self, peer: Peer) -> Option<ConnectionId> {
        self.job_manager.as_ref()?;
        let connection = ConnectionId(self.next_link);
        self.next_link += 1;
        self.links.insert(connection, Link { peer, epoch: self.epoch, at_job_manager: true, at_peer: true });
        let address = format!("{peer:?}");
        self.job_manager_event(jm::Event::Connected { connection, address });
        Some(connection)
    }

    /// Carries a message, unless it gets lost; perhaps twice; the later may overtake the earlier.
    pub(crate) fn carry(&mut self, item: impl Fn() -> Item) {
        if self.chance(self.profile.lost) {
            return self.happened("message lost");
        }
        let copies = if self.chance(self.profile.doubled) { 2 } else { 1 };
        if copies == 2 {
            self.happened("message doubled");
        }
        for _ in 0..copies {
            let slowest = if self.faults_go_on() { self.profile.slowest_ms } else { 1 };
            let pause = Duration::from_millis(1 + self.random.u64(..slowest));
            self.after(pause, item());
        }
    }

    pub(crate) fn close_by_peer(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        link.at_peer = false;
        self.tell_job_manager_of_loss(connection);
    }

    pub(crate) fn tell_job_manager_of_loss(&mut self, connection: ConnectionId) {
        if self.links.get(&connection).is_some_and(|link| link.at_job_manager) {
            // Nothing is delivered after the loss was noticed.
            self.event_of_link(connection, jm::Event::Disconnected { connection });
        }
        if let Some(link) = self.links.get_mut(&connection) {
            link.at_job_manager = false;
        }
    }

    pub(crate) fn peer_notices(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection).filter(|link| link.at_peer) else { return };
        let peer = link.peer;
        if let Peer::TaskManager(index) = peer
            && let Some(process) = self.task_managers[index].as_mut().filter(|process| process.link == Some(connection))
        {
            if process.stopped_until > self.now {
                let pause = process.stopped_until - self.now;
                return self.after(pause, Item::LinkLost(connection));
            }
            process.link = None;
            let life = process.life;
            self.task_manager_event(index, life, tm::Event::Disconnected);
            self.connect_later(index, life);
        }
        if let Some(link) = self.links.get_mut(&connection) {
            link.at_peer = false;
        }
    }
}
