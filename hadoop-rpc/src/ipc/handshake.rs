use std::io;
use std::thread;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::{AuthenticationError, Endpoint, Error};
use crate::ipc::frame::{self, FrameError, Reply};
use crate::ipc::identity::Identity;
use crate::ipc::sasl::{AuthenticationMode, Negotiation, Step};
use crate::ipc::settings::Settings;
use crate::ipc::stream::{FrameReader, FrameWriter, read_sasl};
use crate::kerberos::{ANSWER_LIMIT, KerberosError};
use crate::proto::rpc::{IpcConnectionContextProto, RpcSaslProto, UserInformationProto};

/// Connects, authenticates, and says which protocol will be spoken.
pub(crate) async fn open(
    endpoint: &Endpoint,
    protocol: &str,
    identity: &Identity,
    settings: &Settings,
    client: &[u8; 16],
) -> Result<(FrameReader, FrameWriter), Error> {
    let stream = connect(endpoint, settings).await?;
    let (input, output) = stream.into_split();
    let mut ends = (FrameReader::new(input, settings.largest_response), FrameWriter::new(output));
    let exchange = exchange(endpoint, protocol, identity, settings, client, &mut ends);
    match timeout(settings.handshake_timeout, exchange).await {
        Ok(result) => result.map(|()| ends),
        Err(_) => {
            let within = settings.handshake_timeout;
            Err(Error::TimedOut { endpoint: endpoint.clone(), method: "the first message of the connection", within })
        }
    }
}

async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<TcpStream, Error> {
    let failed = |cause: String| Error::Connect { endpoint: endpoint.clone(), cause };
    let host = endpoint.host.trim_matches(['[', ']']);
    let connecting = TcpStream::connect((host, endpoint.port));
    let connected = timeout(settings.connect_timeout, connecting).await;
    let stream = connected
        .map_err(|_| failed(format!("no answer within {} s", settings.connect_timeout.as_secs_f32())))?
        .map_err(|error| failed(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    Ok(stream)
}

async fn exchange(
    endpoint: &Endpoint,
    protocol: &str,
    identity: &Identity,
    settings: &Settings,
    client: &[u8; 16],
    ends: &mut (FrameReader, FrameWriter),
) -> Result<(), Error> {
    let broken = |error: io::Error| Error::Connect { endpoint: endpoint.clone(), cause: error.to_string() };
    let mode = identity.mode();
    ends.1.write_raw(&frame::preamble(mode == AuthenticationMode::Sasl)).await.map_err(broken)?;
    let simple = match mode {
        AuthenticationMode::Simple => true,
        AuthenticationMode::Sasl => negotiate(endpoint, identity, settings, ends).await?,
    };
    let user_info =
        simple.then(|| UserInformationProto { effective_user: Some(identity.user.name().to_owned()), real_user: None });
    let context = IpcConnectionContextProto { user_info, protocol: Some(protocol.to_owned()) };
    ends.1.write(&frame::plain_frame(&frame::context_header(client), &context)).await.map_err(broken)
}

/// The SASL exchange; whether the server takes our word for who we are.
async fn negotiate(
    endpoint: &Endpoint,
    identity: &Identity,
    settings: &Settings,
    (reader, writer): &mut (FrameReader, FrameWriter),
) -> Result<bool, Error> {
    let broken = |error: io::Error| Error::Connect { endpoint: endpoint.clone(), cause: error.to_string() };
    let mut negotiation = Negotiation::new(identity.clone(), settings.clone(), &endpoint.host);
    let mut reply = negotiation.first();
    loop {
        writer.write(&frame::plain_frame(&frame::sasl_header(), &reply)).await.map_err(broken)?;
        let received = match read_sasl(reader, &endpoint.authority()).await {
            Ok(Ok(received)) => received,
            Ok(Err(reply)) => return Err(refused(endpoint, reply)),
            Err(error) => return Err(unreadable(endpoint, error)),
        };
        let step;
        (negotiation, step) = take_step(negotiation, received).await;
        let step =
            step.map_err(|reason| Error::Authentication { endpoint: endpoint.clone(), reason: Box::new(reason) })?;
        match step {
            Step::Reply(next) => reply = next,
            Step::Simple => return Ok(true),
            Step::Finished(layer) => {
                if let Some((sealer, opener)) = layer.split() {
                    writer.seal(sealer);
                    reader.seal(opener);
                }
                return Ok(false);
            }
        }
    }
}

/// Kerberos asks its own servers: that is done where it blocks nobody, and is not waited for longer than people wait.
async fn take_step(
    mut negotiation: Negotiation,
    received: RpcSaslProto,
) -> (Negotiation, Result<Step, AuthenticationError>) {
    if !negotiation.may_block() {
        let step = negotiation.step(received);
        return (negotiation, step);
    }
    let spare = negotiation.without_progress();
    let (teller, told) = oneshot::channel();
    // A thread of its own rather than the runtime's: the end of a program would wait for that one.
    let started = thread::Builder::new().name("kerberos-step".to_owned()).spawn(move || {
        let step = negotiation.step(received);
        // Nobody listens when it was too late.
        let _ = teller.send((negotiation, step));
    });
    let failed = |error: String| (spare, Err(AuthenticationError::Kerberos(error)));
    if let Err(error) = started {
        return failed(format!("no thread for it: {error}"));
    }
    match timeout(ANSWER_LIMIT, told).await {
        Ok(Ok(stepped)) => stepped,
        Ok(Err(_)) => failed("the step was stopped".to_owned()),
        Err(_) => failed(KerberosError::NoAnswer { within: ANSWER_LIMIT }.to_string()),
    }
}

/// An exception during authentication. Those that say that another server should be asked are passed on as they are.
fn refused(endpoint: &Endpoint, reply: Reply) -> Error {
    let Reply::Exception { exception, .. } = reply else {
        let reason = AuthenticationError::Protocol("an answer without a message".to_owned());
        return Error::Authentication { endpoint: endpoint.clone(), reason: Box::new(reason) };
    };
    if matches!(exception.simple_class(), "StandbyException" | "RetriableException") {
        return exception.into();
    }
    let reason = AuthenticationError::Refused { class: exception.class, message: exception.message };
    Error::Authentication { endpoint: endpoint.clone(), reason: Box::new(reason) }
}

/// What cannot be read as a first answer is rarely Hadoop's.
pub(crate) fn unreadable(endpoint: &Endpoint, error: FrameError) -> Error {
    let endpoint = endpoint.clone();
    match error {
        FrameError::Io(error) => Error::Connect { endpoint, cause: closed(&error) },
        FrameError::TooLarge { begins: [b'H', b'T', b'T', b'P'], .. } => {
            let found = "HTTP; this is the port of its web pages, the RPC port is another one".to_owned();
            Error::OtherProtocol { endpoint, found }
        }
        FrameError::TooLarge { begins, .. } => Error::OtherProtocol { endpoint, found: format!("bytes {begins:02x?}") },
        FrameError::Malformed(found) => Error::OtherProtocol { endpoint, found },
    }
}

fn closed(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    }
}
