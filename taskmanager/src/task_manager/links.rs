use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connector::{Connector, JobManagerLink};

/// Opens connections when asked, one at a time.
pub(super) struct Links {
    pub(super) wanted: mpsc::Sender<()>,
    pub(super) opened: mpsc::Receiver<Result<JobManagerLink, String>>,
    task: JoinHandle<()>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn spawn_connecting(mut connector: Box<dyn Connector>, first_pause: Duration) -> Links {
    let (wanted, mut requests) = mpsc::channel(1);
    let (sender, opened) = mpsc::channel(1);
    let first_pause = first_pause.max(Duration::from_millis(1));
    let task = tokio::spawn(async move {
        while requests.recv().await.is_some() {
            let mut pause = first_pause;
            loop {
                let link = connector.connect().await;
                let is_open = link.is_ok();
                if sender.send(link).await.is_err() {
                    return;
                }
                if is_open {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(first_pause * 32);
            }
        }
    });
    Links { wanted, opened, task }
}
