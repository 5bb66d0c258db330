use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flink_api::{ExecuteError, JobId};
use flink_appmaster::job_manager::ClientCall;
use flink_appmaster::server::Handle;
use flink_console::{CANCEL_TIMEOUT, Signals};
use flink_protocol::client::ClientResponseBody;
use tokio::runtime::{Builder, Runtime};

use super::RESULT_WAIT;
use super::cluster::LocalCluster;

/// Exit code of a process that was ended by Ctrl-C or SIGTERM; `flink-yarn` has the same.
const INTERRUPTED: i32 = 130;

/// The jobs of this process, and a thread that cancels them when it is told to end: what they have written stays hidden or is
/// taken away, and then the process leaves. `main` does not go on behind a job that was ended so.
pub(super) struct Interrupts(Mutex<State>);

struct State {
    /// There is a thread for it.
    listening: bool,
    jobs: Vec<Job>,
    /// The process ends as soon as its jobs have.
    ending: bool,
}

/// A job that runs.
#[derive(Clone)]
struct Job {
    id: JobId,
    /// Name and id.
    title: String,
    job_manager: Handle,
}

static OF_PROCESS: Interrupts = Interrupts(Mutex::new(State { listening: false, jobs: Vec::new(), ending: false }));

impl Interrupts {
    /// Those of this process, which listens from the first call on.
    ///
    /// # Errors
    /// It cannot listen.
    pub(super) fn of_process() -> Result<&'static Self, ExecuteError> {
        let mut state = OF_PROCESS.state();
        if !state.listening {
            let failed = |error| ExecuteError::Environment(format!("cannot watch for Ctrl-C: {error}"));
            OF_PROCESS.start_to_listen().map_err(failed)?;
            state.listening = true;
        }
        Ok(&OF_PROCESS)
    }

    fn start_to_listen(&'static self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _within = runtime.enter();
            Signals::new()?
        };
        let listen = move || self.listen(&runtime, signals);
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
    }

    /// Starts a job, to be canceled when the process is told to end. While it does so, none is started any more.
    pub(super) fn guard(
        &self,
        id: JobId,
        title: String,
        start: impl FnOnce() -> Result<LocalCluster, ExecuteError>,
    ) -> Result<LocalCluster, ExecuteError> {
        let mut state = self.state();
        if state.ending {
            drop(state);
            stay();
        }
        let cluster = start()?;
        state.jobs.push(Job { id, title, job_manager: cluster.handle() });
        Ok(cluster)
    }

    /// A job has ended. One that was canceled because the process ends is the last that `main` has seen.
    pub(super) fn ended(&self, job: JobId) {
        let mut state = self.state();
        state.jobs.retain(|running| running.id != job);
        if state.ending {
            drop(state);
            stay();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, runtime: &Runtime, mut signals: Signals) -> ! {
        runtime.block_on(async {
            signals.end_wanted(|| self.question()).await;
            let jobs = self.begin_to_end();
            if !jobs.is_empty() {
                let names = names(&jobs);
                eprintln!("Canceling job {names}; Ctrl-C again leaves without waiting");
                let ended = tokio::select! {
                    ended = tokio::time::timeout(CANCEL_TIMEOUT, cancel(&jobs)) => ended.is_ok(),
                    _ = signals.next() => false,
                };
                let how = if ended { "was canceled" } else { "had not ended when its process did" };
                eprintln!("error: job {names} {how}");
            }
        });
        std::process::exit(INTERRUPTED)
    }

    fn question(&self) -> Option<String> {
        let jobs = self.state().jobs.clone();
        (!jobs.is_empty()).then(|| format!("Cancel job {}?", names(&jobs)))
    }

    fn begin_to_end(&self) -> Vec<Job> {
        let mut state = self.state();
        state.ending = true;
        state.jobs.clone()
    }
}

fn names(jobs: &[Job]) -> String {
    jobs.iter().map(|job| job.title.as_str()).collect::<Vec<_>>().join(" and job ")
}

/// Cancels all, and waits until they have ended. One whose JobManager has gone has ended before.
async fn cancel(jobs: &[Job]) {
    for job in jobs {
        let _ = job.job_manager.call(ClientCall::CancelJob(job.id)).await;
    }
    for job in jobs {
        let ask = || job.job_manager.call(ClientCall::RequestJobResult { job: job.id, wait: RESULT_WAIT });
        while let Ok(Ok(ClientResponseBody::JobRunning(_))) = ask().await {}
    }
}

/// Waits for the end of the process.
fn stay() -> ! {
    loop {
        std::thread::park();
    }
}
