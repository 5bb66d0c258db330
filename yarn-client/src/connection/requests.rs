use std::time::Duration;

use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponse, ClientResponseBody, LogRequest};
use flink_protocol::overview::LogPiece;

use crate::error::{ClientError, Exit, Result};

/// A connection to the JobManager: one request at a time.
pub(crate) struct Connection {
    inner: flink_transport::Connection,
    next: u64,
    timeout: Duration,
    address: String,
}

impl Connection {
    /// Asks over a connection that is open; an answer may take `timeout`.
    pub(super) fn over(inner: flink_transport::Connection, timeout: Duration, address: &str) -> Self {
        Self { inner, next: 0, timeout, address: address.to_owned() }
    }

    /// Asks and waits for the answer. When this is dropped half-way the connection is of no use any more.
    pub(crate) async fn request(&mut self, body: ClientRequestBody) -> Result<ClientResponseBody> {
        self.request_slow(body, Duration::ZERO).await
    }

    /// Asks for something that takes the JobManager up to `extra` to answer.
    pub(crate) async fn request_slow(
        &mut self,
        body: ClientRequestBody,
        extra: Duration,
    ) -> Result<ClientResponseBody> {
        let allowed = self.timeout + extra;
        match tokio::time::timeout(allowed, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => {
                let more = match extra.as_secs() {
                    0 => String::new(),
                    seconds => format!(" and {seconds} s more"),
                };
                let limit = allowed.as_secs();
                Err(self.lost().because_text(format!("no answer within {limit} s (rpc.ask.timeout{more})")))
            }
        }
    }

    /// Asks for a piece of a log.
    pub(crate) async fn log_piece(&mut self, request: &LogRequest) -> Result<LogPiece> {
        match self.request(ClientRequestBody::RequestLog(request.clone())).await? {
            ClientResponseBody::Log(piece) => Ok(piece),
            _ => Err(unexpected("RequestLog")),
        }
    }

    async fn exchange(&mut self, body: ClientRequestBody) -> Result<ClientResponseBody> {
        let number = self.next;
        self.next += 1;
        let request = ClientRequest { number, body };
        if let Err(error) = self.inner.writer.write(&request).await {
            return Err(self.lost().because(&error));
        }
        loop {
            match self.inner.reader.read::<ClientResponse>().await {
                // The answer to a request that was given up waiting for.
                Ok(Some(response)) if response.number != number => {}
                Ok(Some(response)) => return response.body.map_err(ClientError::failed),
                Ok(None) => return Err(self.lost().because_text("it closed the connection")),
                Err(error) => return Err(self.lost().because(&error)),
            }
        }
    }

    fn lost(&self) -> ClientError {
        ClientError::new(Exit::Unreachable, format!("lost the connection to the JobManager at {}", self.address))
            .hint("see whether it runs with `flink-yarn standalone status`, and its jobs with `flink-yarn list -a`")
    }
}

/// For an answer that does not belong to the question.
pub(crate) fn unexpected(asked: &str) -> ClientError {
    ClientError::failed(format!("the JobManager's answer to {asked} is none"))
        .hint("use the same version of flink-yarn on all hosts")
}
