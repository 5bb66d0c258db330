use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::frame::FrameError;
use crate::handshake::Connection;

/// One end of a connection as a pair of channels: the same for a socket and for two parts of one process.
#[derive(Debug)]
pub struct ChannelPair<In, Out> {
    /// What the other side says; ends when the connection does.
    pub incoming: mpsc::Receiver<In>,
    /// What is said to the other side. Dropping it ends the connection once all of it is sent.
    pub outgoing: mpsc::Sender<Out>,
}

/// Two ends that are connected in memory; messages are handed over without being encoded.
#[must_use]
pub fn in_memory<A, B>(capacity: usize) -> (ChannelPair<A, B>, ChannelPair<B, A>) {
    let (a_sender, a_receiver) = mpsc::channel(capacity);
    let (b_sender, b_receiver) = mpsc::channel(capacity);
    (ChannelPair { incoming: a_receiver, outgoing: b_sender }, ChannelPair { incoming: b_receiver, outgoing: a_sender })
}

impl Connection {
    /// Moves the messages in a task of its own. `read_ahead` messages are taken from the socket before somebody wants
    /// them, `send_queue` wait for the peer; one that takes nothing for `write_timeout` is disconnected.
    #[must_use]
    pub fn into_channels<In, Out>(
        self,
        read_ahead: usize,
        send_queue: usize,
        write_timeout: Duration,
    ) -> ChannelPair<In, Out>
    where
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + Sync + 'static,
    {
        let (received, incoming) = mpsc::channel(read_ahead);
        let (outgoing, to_send) = mpsc::channel(send_queue);
        tokio::spawn(async move {
            let peer = self.peer;
            if let Err(error) = pump(self, to_send, received, write_timeout).await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
        ChannelPair { incoming, outgoing }
    }
}

/// Ends when the other side has closed, when ours has nothing more to say, or with an error.
async fn pump<In, Out>(
    connection: Connection,
    mut to_send: mpsc::Receiver<Out>,
    received: mpsc::Sender<In>,
    write_timeout: Duration,
) -> Result<(), FrameError>
where
    In: DeserializeOwned,
    Out: Serialize,
{
    let Connection { mut reader, mut writer, .. } = connection;
    let reading = async {
        while let Some(message) = reader.read().await? {
            if received.send(message).await.is_err() {
                // Nobody listens, but what is still to be sent is sent.
                return std::future::pending().await;
            }
        }
        Ok(())
    };
    let writing = async {
        while let Some(message) = to_send.recv().await {
            let sent = tokio::time::timeout(write_timeout, async {
                writer.feed(&message).await?;
                if to_send.is_empty() { writer.flush().await } else { Ok(()) }
            });
            sent.await.map_err(|_| {
                std::io::Error::new(std::io::ErrorKind::TimedOut, "the other side does not read what it is sent")
            })??;
        }
        let _ = tokio::time::timeout(write_timeout, writer.shutdown()).await;
        Ok(())
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}
