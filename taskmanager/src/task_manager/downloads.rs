use std::time::Duration;

use flink_graph::Artifact;
use flink_protocol::task_manager::ToJobManager;

use super::event::Action;
use super::resend::Resend;
use super::state_machine::TaskManagerCore;

/// Requests for one piece before the artifact is given up.
const TRIES: u32 = 10;

/// An artifact on its way here.
#[derive(Debug)]
pub(super) struct Download {
    size: u64,
    state: DownloadState,
}

/// ```text
/// Finding ─► Receiving ─► Checking ─► (here, or given up)
///    └──────────────────────────────► (here already)
/// ```
#[derive(Debug)]
enum DownloadState {
    /// The shell looks whether it is here.
    Finding,
    /// The piece at this offset is asked for.
    Receiving { offset: u64, resend: Resend },
    /// The shell checks its hash.
    Checking,
}

impl Download {
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match &self.state {
            DownloadState::Receiving { resend, .. } => Some(resend.due()),
            DownloadState::Finding | DownloadState::Checking => None,
        }
    }
}

impl TaskManagerCore {
    pub(super) fn find_artifact(&mut self, artifact: Artifact) {
        if self.downloads.contains_key(&artifact.sha256) {
            return;
        }
        let download = Download { size: artifact.size, state: DownloadState::Finding };
        self.downloads.insert(artifact.sha256.clone(), download);
        self.actions.push(Action::FindArtifact(artifact));
    }

    pub(super) fn artifact_found(&mut self, now: Duration, sha256: &str, present: bool) {
        let receiving = DownloadState::Receiving { offset: 0, resend: self.piece_timer(now) };
        let Some(download) = self.downloads.get_mut(sha256) else { return };
        if present {
            self.artifact_is_here(now, sha256);
        } else if matches!(download.state, DownloadState::Finding) {
            download.state = receiving;
        }
    }

    pub(super) fn artifact_piece(&mut self, now: Duration, sha256: &str, at: u64, bytes: Result<Vec<u8>, String>) {
        let resend = self.piece_timer(now);
        let Some(download) = self.downloads.get_mut(sha256) else { return };
        let DownloadState::Receiving { offset, .. } = download.state else { return };
        let bytes = match bytes {
            // The answer to a request that was sent twice.
            Ok(_) if offset != at => return,
            Ok(bytes) => bytes,
            Err(reason) => return self.give_up_download(sha256, &reason),
        };
        let next = at + bytes.len() as u64;
        if next > download.size || (bytes.is_empty() && next < download.size) {
            let reason = format!("it should have {} bytes, and the JobManager has another number", download.size);
            return self.give_up_download(sha256, &reason);
        }
        let last = next == download.size;
        download.state = if last { DownloadState::Checking } else { DownloadState::Receiving { offset: next, resend } };
        self.actions.push(Action::StoreArtifactPiece { sha256: sha256.to_owned(), offset: at, bytes, last });
    }

    pub(super) fn artifact_stored(&mut self, now: Duration, sha256: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.artifact_is_here(now, sha256),
            Err(reason) => self.give_up_download(sha256, &reason),
        }
    }

    fn artifact_is_here(&mut self, now: Duration, sha256: &str) {
        self.downloads.remove(sha256);
        for job in self.jobs_that_wait_for(sha256) {
            self.spawn_worker(now, job);
        }
    }

    fn give_up_download(&mut self, sha256: &str, reason: &str) {
        if self.downloads.remove(sha256).is_some() {
            let reason = format!("the program (SHA-256 {sha256}) cannot be fetched: {reason}");
            self.give_up_workers_that_wait_for(sha256, &reason);
        }
    }

    /// Downloads that no worker waits for any more are left as they are.
    pub(super) fn forget_unwanted_downloads(&mut self) {
        let unwanted: Vec<String> =
            self.downloads.keys().filter(|sha256| self.jobs_that_wait_for(sha256).is_empty()).cloned().collect();
        for sha256 in unwanted {
            self.downloads.remove(&sha256);
        }
    }

    pub(super) fn resume_downloads(&mut self, now: Duration) {
        let timer = self.piece_timer(now);
        for download in self.downloads.values_mut() {
            if let DownloadState::Receiving { resend, .. } = &mut download.state {
                *resend = timer;
            }
        }
    }

    pub(super) fn send_artifact_requests(&mut self, now: Duration) {
        let mut requests = Vec::new();
        let mut given_up = Vec::new();
        for (sha256, download) in &mut self.downloads {
            if let DownloadState::Receiving { offset, resend } = &mut download.state
                && resend.take(now)
            {
                if resend.sent() > TRIES {
                    given_up.push(sha256.clone());
                } else {
                    requests.push(ToJobManager::RequestArtifact { sha256: sha256.clone(), offset: *offset });
                }
            }
        }
        requests.into_iter().for_each(|request| self.send(request));
        let reason = format!("the JobManager did not answer {TRIES} requests");
        given_up.iter().for_each(|sha256| self.give_up_download(sha256, &reason));
    }

    /// A piece is large and takes a while: patience for it is longer than for ordinary messages.
    fn piece_timer(&self, now: Duration) -> Resend {
        Resend::with_pauses(now, self.config.resend_pause * 4, self.config.longest_resend_pause)
    }
}
