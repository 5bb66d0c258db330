use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::task::Poll;
use std::time::Duration;

use hdfs_native::HdfsError;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that unpack and check what comes from DataNodes; more are of no use to one process.
const MAX_THREADS: usize = 2;

/// One for the process: its threads are few, and connections belong to the runtime that made them.
static RUNTIME: LazyLock<Result<Runtime, String>> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("hdfs").enable_all().build();
    runtime.map_err(|error| format!("cannot start the threads that speak to HDFS: {error}"))
});

/// Why something on the runtime has no result.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It took longer than allowed.
    Late(Duration),
    /// It panicked; the message is on stderr.
    Panicked,
    /// There is no runtime.
    NotStarted(String),
}

/// The runtime.
pub(crate) fn handle() -> Result<&'static Handle, Ended> {
    match &*RUNTIME {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(Ended::NotStarted(error.clone())),
    }
}

/// Runs something to its end while this thread waits, on whatever thread this is.
pub(crate) fn wait<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Ended> {
    let (sender, receiver) = sync_channel(1);
    let task = handle()?.spawn(async move {
        // Nobody waits any more when this fails.
        let _ = sender.send(work.await);
    });
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            task.abort();
            Ended::Late(limit)
        }
        RecvTimeoutError::Disconnected => Ended::Panicked,
    })
}

/// Runs something on the runtime, from whatever runtime this is.
pub(crate) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Ended> {
    handle()?.spawn(work).await.map_err(|_| Ended::Panicked)
}

/// A call of the client beneath. That one panics where an answer is not what it expects: when a DataNode refuses the token of
/// a block, because it has expired or is of a key that the DataNode has not heard of yet. Such a panic is an error like
/// others, and what failed may be tried again.
pub(crate) async fn caught<T>(call: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    let mut call = pin!(call);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let reason =
                format!("an answer was not understood, which may be a refusal of the block's token ({message})");
            Poll::Ready(Err(HdfsError::DataTransferError(reason)))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_in_time_or_is_given_up() {
        assert_eq!(wait(Duration::from_secs(5), async { 7 }).unwrap(), 7);
        let never = wait(Duration::from_millis(20), std::future::pending::<()>());
        assert!(matches!(never, Err(Ended::Late(_))));
        let panicked = wait(Duration::from_secs(5), async { panic!("as the test wants") });
        assert!(matches!(panicked, Err::<(), _>(Ended::Panicked)));
    }

    #[test]
    fn it_works_from_within_another_runtime() {
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(
            other.block_on(async {
                wait(Duration::from_secs(5), async { 1 }).unwrap() + run(async { 2 }).await.unwrap()
            }),
            3
        );
    }

    #[test]
    fn a_panic_of_the_client_is_an_error() {
        let answer = Vec::<u8>::new();
        let call = async move { Ok(answer.into_iter().next().unwrap()) };
        let error = wait(Duration::from_secs(5), caught(call)).unwrap().unwrap_err().to_string();
        assert!(error.contains("token") && error.contains("on a `None` value"), "{error}");
        assert_eq!(wait(Duration::from_secs(5), caught(async { Ok(1) })).unwrap().unwrap(), 1);
    }
}
