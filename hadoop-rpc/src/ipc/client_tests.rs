//! The client against servers that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::configuration::Configuration;
use crate::error::{Endpoint, Error};
use crate::ipc::frame::{read_frame, take_message};
use crate::ipc::{Client, Identity, Method, Protocol, RetryPolicy, Settings};
use crate::proto::rpc::{IpcConnectionContextProto, RequestHeaderProto, RpcRequestHeaderProto, RpcResponseHeaderProto};
use crate::proto::security::RenewDelegationTokenResponseProto as Number;
use crate::user::User;
use crate::yarn::ApplicationMaster;

const READ: Method = Method::idempotent("read");
const WRITE: Method = Method::once("write");

/// Starts a server that does something with each connection.
async fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(number, stream));
        }
    });
    address
}

fn client(servers: &[SocketAddr], patience: u64, change: impl FnOnce(&mut Settings)) -> Client {
    let endpoint = |address: &SocketAddr| Endpoint::new("Server", address.ip().to_string(), address.port());
    let identity = Identity { user: User::simple("alice"), token: None, server: None };
    let mut settings = Settings::new(&Configuration::new()).unwrap();
    change(&mut settings);
    let protocol = Protocol { name: "a.b.Protocol", version: 1 };
    let endpoints = servers.iter().map(endpoint).collect();
    Client::new("Server", endpoints, protocol, identity, settings)
        .with_retry(RetryPolicy::patient(Duration::from_millis(patience)))
}

async fn call(client: &Client, method: Method, number: u64) -> Result<u64, Error> {
    let answer: Number = client.call(method, &Number { new_expiry_time: number }).await?;
    Ok(answer.new_expiry_time)
}

/// A call as the server sees it.
struct Call {
    header: RpcRequestHeaderProto,
    method: String,
    number: u64,
}

async fn greet(stream: &mut TcpStream) {
    let mut preamble = [0; 7];
    stream.read_exact(&mut preamble).await.unwrap();
    assert_eq!(preamble, *b"hrpc\x09\0\0");
    let mut frame = read_frame(stream, 1000).await.unwrap().unwrap();
    assert_eq!(take_message::<RpcRequestHeaderProto>(&mut frame).unwrap().call_id, -3);
    let context: IpcConnectionContextProto = take_message(&mut frame).unwrap();
    assert_eq!(context.protocol.as_deref(), Some("a.b.Protocol"));
    assert_eq!(context.user_info.unwrap().effective_user.as_deref(), Some("alice"));
}

async fn read_call(stream: &mut TcpStream) -> Option<Call> {
    let mut frame: Bytes = read_frame(stream, 1000).await.ok()??;
    let header = take_message(&mut frame).unwrap();
    let request: RequestHeaderProto = take_message(&mut frame).unwrap();
    // What else is called has no number.
    let number = take_message(&mut frame).unwrap_or(Number { new_expiry_time: 0 });
    Some(Call { header, method: request.method_name, number: number.new_expiry_time })
}

fn frame(header: &RpcResponseHeaderProto, number: Option<u64>) -> Vec<u8> {
    let mut body = header.encode_length_delimited_to_vec();
    if let Some(new_expiry_time) = number {
        body.extend(Number { new_expiry_time }.encode_length_delimited_to_vec());
    }
    [u32::try_from(body.len()).unwrap().to_be_bytes().as_slice(), &body].concat()
}

fn answer(call: &Call, number: u64) -> Vec<u8> {
    let call_id = u32::try_from(call.header.call_id).unwrap();
    frame(&RpcResponseHeaderProto { call_id, ..RpcResponseHeaderProto::default() }, Some(number))
}

fn exception(call: &Call, class: &str, fatal: bool) -> Vec<u8> {
    exception_saying(call, class, "not now", fatal)
}

fn exception_saying(call: &Call, class: &str, message: &str, fatal: bool) -> Vec<u8> {
    let header = RpcResponseHeaderProto {
        call_id: u32::try_from(call.header.call_id).unwrap(),
        status: if fatal { 2 } else { 1 },
        exception_class_name: Some(class.to_owned()),
        error_msg: Some(format!("{class}: {message}\n\tat a.b.C")),
        error_detail: None,
    };
    frame(&header, None)
}

/// Answers every call with its own number.
async fn echo(mut stream: TcpStream) {
    greet(&mut stream).await;
    while let Some(call) = read_call(&mut stream).await {
        stream.write_all(&answer(&call, call.number)).await.unwrap();
    }
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let address = server(|_, mut stream| async move {
        greet(&mut stream).await;
        let mut calls = Vec::new();
        for _ in 0..50 {
            calls.push(read_call(&mut stream).await.unwrap());
        }
        // One nobody has asked for goes first.
        let stray = RpcResponseHeaderProto { call_id: 7777, ..RpcResponseHeaderProto::default() };
        stream.write_all(&frame(&stray, Some(1))).await.unwrap();
        for call in calls.iter().rev() {
            stream.write_all(&answer(call, call.number * 2)).await.unwrap();
        }
        std::future::pending::<()>().await;
    })
    .await;
    let client = client(&[address], 0, |_| {});
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { assert_eq!(call(&client, READ, number).await.unwrap(), number * 2) })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_call_is_repeated_only_if_that_is_safe() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let address = server(move |number, mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            greet(&mut stream).await;
            let Some(call) = read_call(&mut stream).await else { return };
            counter.fetch_add(1, Ordering::SeqCst);
            if number % 2 == 1 {
                assert_eq!(call.header.retry_count, Some(1), "a repeated call says so");
                stream.write_all(&answer(&call, 5)).await.unwrap();
            }
        }
    })
    .await;
    let first = client(&[address], 3000, |_| {});
    assert_eq!(call(&first, READ, 1).await.unwrap(), 5);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let error = call(&client(&[address], 3000, |_| {}), WRITE, 1).await.unwrap_err();
    assert!(matches!(error, Error::Lost { method: "write", .. }), "{error:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 3, "it was not sent again");
}

/// The ResourceManager takes a registration once; the repeated call finds it done.
#[tokio::test]
async fn a_registration_whose_answer_is_lost_counts() {
    const REFUSED: &str = "org.apache.hadoop.yarn.exceptions.InvalidApplicationMasterRequestException";
    let register = async |message: &'static str| {
        let address = server(move |number, mut stream| async move {
            greet(&mut stream).await;
            let Some(call) = read_call(&mut stream).await else { return };
            assert_eq!(call.method, "registerApplicationMaster");
            if number > 0 {
                stream.write_all(&exception_saying(&call, REFUSED, message, false)).await.unwrap();
            }
        })
        .await;
        ApplicationMaster::over(client(&[address], 3000, |_| {})).register("h", 1, "").await
    };
    assert_eq!(register("Application Master is already registered : application_1_1").await.unwrap(), None);
    let error = register("something else is wrong").await.unwrap_err();
    assert!(error.is_remote("InvalidApplicationMasterRequestException"), "{error}");
}

#[tokio::test]
async fn standby_servers_are_passed_over_and_busy_ones_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let standby = server(move |_, mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            greet(&mut stream).await;
            while let Some(call) = read_call(&mut stream).await {
                counter.fetch_add(1, Ordering::SeqCst);
                let reply = exception(&call, "org.apache.hadoop.ipc.StandbyException", false);
                stream.write_all(&reply).await.unwrap();
            }
        }
    })
    .await;
    let active = server(|_, mut stream| async move {
        greet(&mut stream).await;
        for busy in [true, false, false, false] {
            let Some(call) = read_call(&mut stream).await else { return };
            let reply = if busy {
                exception(&call, "org.apache.hadoop.ipc.RetriableException", false)
            } else {
                answer(&call, call.number)
            };
            stream.write_all(&reply).await.unwrap();
        }
    })
    .await;
    let client = client(&[standby, active], 3000, |_| {});
    assert_eq!(call(&client, WRITE, 3).await.unwrap(), 3);
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(call(&client, WRITE, 4).await.unwrap(), 4);
    assert_eq!(asked.load(Ordering::SeqCst), before, "the active one is not remembered");
}

#[tokio::test]
async fn when_all_servers_fail_all_are_named() {
    let closed = server(|_, stream| async move { drop(stream) }).await;
    let other = server(|_, stream| async move { drop(stream) }).await;
    let began = Instant::now();
    let error = call(&client(&[closed, other], 1000, |_| {}), READ, 1).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30) && began.elapsed() > Duration::from_millis(300));
    let message = error.to_string();
    assert!(matches!(error, Error::Unavailable { .. }), "{message}");
    assert!(message.contains(&closed.to_string()) && message.contains(&other.to_string()), "{message}");
}

#[tokio::test]
async fn exceptions_are_typed_and_fatal_ones_end_the_connection() {
    let address = server(|_, mut stream| async move {
        greet(&mut stream).await;
        while let Some(call) = read_call(&mut stream).await {
            let fatal = call.method == "write";
            stream.write_all(&exception(&call, "a.b.Outer$Bad", fatal)).await.unwrap();
        }
    })
    .await;
    let client = client(&[address], 0, |_| {});
    for method in [READ, WRITE, READ] {
        let error = call(&client, method, 1).await.unwrap_err();
        let exception = error.remote().unwrap();
        assert_eq!((exception.simple_class(), exception.message.as_str()), ("Bad", "not now"));
        assert_eq!(exception.host, address.to_string());
        assert!(error.is_remote("Bad") && !error.is_transient());
    }
}

#[tokio::test]
async fn silence_ends_with_a_time_out_and_does_not_harm_other_calls() {
    let address = server(|_, mut stream| async move {
        greet(&mut stream).await;
        while let Some(call) = read_call(&mut stream).await {
            if call.number > 0 {
                stream.write_all(&answer(&call, call.number)).await.unwrap();
            }
        }
    })
    .await;
    let client = client(&[address], 0, |settings| settings.call_timeout = Duration::from_millis(200));
    let silent = call(&client, READ, 0);
    let (silent, other) = tokio::join!(silent, call(&client, READ, 9));
    assert!(matches!(silent, Err(Error::TimedOut { .. })), "{silent:?}");
    assert_eq!(other.unwrap(), 9);
    assert_eq!(call(&client, READ, 10).await.unwrap(), 10);
}

#[tokio::test]
async fn idle_connections_are_closed_and_made_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let address = server(move |_, stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        echo(stream)
    })
    .await;
    let client = client(&[address], 0, |settings| settings.idle_timeout = Duration::from_millis(400));
    for number in 1..=2 {
        for _ in 0..3 {
            assert_eq!(call(&client, WRITE, 1).await.unwrap(), 1);
        }
        assert_eq!(connections.load(Ordering::SeqCst), number);
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}

#[tokio::test]
async fn whatever_a_server_sends_is_an_error_in_words() {
    let check = async |bytes: &'static [u8], expect: &str| {
        let address = server(move |_, mut stream| async move {
            greet(&mut stream).await;
            let _ = read_call(&mut stream).await;
            stream.write_all(bytes).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let client = client(&[address], 0, |settings| settings.call_timeout = Duration::from_secs(2));
        let error = call(&client, READ, 1).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(b"HTTP/1.1 400 Bad Request\r\n", "web pages").await;
    check(b"\x7f\xff\xff\xff", "not a Hadoop RPC server").await;
    check(b"\0\0\0\x05hello", "not a Hadoop RPC server").await;
    check(b"\0\0\0\x02\x01\x08", "not a Hadoop RPC server").await;
    // An answer to call 0 whose body is cut.
    check(b"\0\0\0\x07\x04\x08\0\x10\0\x05\x08", "cannot be read").await;
}

#[tokio::test]
async fn a_request_that_no_server_takes_is_not_sent() {
    let address = server(|_, stream| echo(stream)).await;
    let client = client(&[address], 0, |settings| settings.largest_request = 1026);
    let error = call(&client, READ, u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { method: "read", .. }), "{error:?}");
    assert_eq!(call(&client, READ, 1).await.map_err(|error| error.to_string()), Ok(1));
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_connection_whole() {
    let address = server(|_, stream| echo(stream)).await;
    let client = client(&[address], 0, |_| {});
    for number in 0..200 {
        let calling = call(&client, READ, number);
        let _ = tokio::time::timeout(Duration::from_micros(number % 7 * 20), calling).await;
    }
    assert_eq!(call(&client, READ, 42).await.unwrap(), 42);
}
