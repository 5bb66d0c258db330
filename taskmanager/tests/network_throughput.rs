//! What the exchange costs over loopback, with and without TLS. Run alone and in a release build:
//!
//! `cargo test --release -p flink-taskmanager --test network_throughput -- --ignored --nocapture --test-threads 1`

// Helpers of a test may fail like the test itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flink_graph::{ExecutionAttemptId, JobId, JobVertexId, PartitionId};
use flink_protocol::task_manager::TaskFailure;
use flink_taskmanager::network::endpoint::ConnectionSettings;
use flink_taskmanager::network::frame::Hello;
use flink_taskmanager::network::{
    ChannelHandle, DataPlane, DataPlaneConfig, DataPlaneTls, OpenError, PartitionDirectory, ReadOutcome, RemoteChannel,
    SubpartitionView,
};
use flink_transport::{CertificateAuthority, Role};

const JOB: JobId = JobId::from_u128(7);

fn partition() -> PartitionId {
    let vertex = JobVertexId::from_u128(1);
    PartitionId { output: 0, producer: ExecutionAttemptId { job: JOB, vertex, subtask: 0, attempt: 0, epoch: 1 } }
}

/// Elements of one size without end, up to a total.
struct Generator {
    element: Vec<u8>,
    left: AtomicU64,
}

impl SubpartitionView for Generator {
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        buffer.extend_from_slice(&self.element);
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            return ReadOutcome::Event { last: true };
        }
        ReadOutcome::Data
    }

    fn backlog(&self) -> u32 {
        4
    }

    fn set_listener(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        listener();
    }

    fn close(&self, _reason: &str) {}
}

type Listener = Arc<dyn Fn() + Send + Sync>;

/// Sends what it is told to, for round trips.
#[derive(Default)]
struct Pipe {
    queue: Mutex<(Vec<Bytes>, Option<Listener>)>,
}

impl Pipe {
    fn push(&self, element: Bytes) {
        let listener = {
            let mut queue = self.queue.lock().unwrap();
            queue.0.push(element);
            queue.1.clone()
        };
        if let Some(listener) = listener {
            listener();
        }
    }
}

impl SubpartitionView for Pipe {
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        let mut queue = self.queue.lock().unwrap();
        if queue.0.is_empty() {
            return ReadOutcome::Empty;
        }
        buffer.extend_from_slice(&queue.0.remove(0));
        ReadOutcome::Data
    }

    fn backlog(&self) -> u32 {
        0
    }

    fn set_listener(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        self.queue.lock().unwrap().1 = Some(listener);
    }

    fn close(&self, _reason: &str) {}
}

struct Directory(Vec<Arc<dyn SubpartitionView>>);

impl PartitionDirectory for Directory {
    fn open(&self, _partition: PartitionId, subpartition: u32) -> Result<Arc<dyn SubpartitionView>, OpenError> {
        self.0.get(subpartition as usize).cloned().ok_or(OpenError::NotFound)
    }

    fn set_listener(&self, _listener: Arc<dyn Fn() + Send + Sync>) {}
}

fn plane(directory: Directory, tls: Option<DataPlaneTls>) -> DataPlane {
    let settings = ConnectionSettings::new(Hello { job: JOB, epoch: 1, worker: "bench".to_owned() });
    DataPlane::listen(DataPlaneConfig::new("127.0.0.1", settings), Arc::new(directory), tls).unwrap()
}

fn tls(secured: bool) -> Option<DataPlaneTls> {
    secured.then(|| {
        let authority = CertificateAuthority::new("bench").unwrap();
        DataPlaneTls::from_material(&authority.issue(Role::Worker, "w", 1).unwrap()).unwrap()
    })
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn throughput(size: usize, channels: u32, total_bytes: u64, secured: bool) {
    let count = total_bytes / size as u64 / u64::from(channels);
    let views = (0..channels).map(|_| {
        Arc::new(Generator { element: vec![7; size], left: AtomicU64::new(count) }) as Arc<dyn SubpartitionView>
    });
    let tls = tls(secured);
    let producer = plane(Directory(views.collect()), tls.clone());
    let consumer = plane(Directory(Vec::new()), tls);
    let address = producer.local_address().to_string();
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let (sender, receiver) = channel::<(u32, Bytes)>();
    struct Tagged(u32, Sender<(u32, Bytes)>);
    impl RemoteChannel for Tagged {
        fn on_element(&self, element: Bytes) {
            self.1.send((self.0, element)).ok();
        }
        fn on_failure(&self, failure: TaskFailure) {
            panic!("{failure:?}");
        }
    }
    let handles: Vec<ChannelHandle> = (0..channels)
        .map(|c| consumer.open_channel(&address, partition(), c, 8, Arc::new(Tagged(c, sender.clone()))))
        .collect();
    drop(sender);
    let mut received = 0;
    for _ in 0..count * u64::from(channels) {
        let (channel, element) = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        received += element.len();
        drop(element);
        handles[channel as usize].add_credit(1);
    }
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let gigabytes = received as f64 / 1e9;
    println!(
        "elements of {size} bytes, {channels} channels, TLS {secured}: {:.2} GB/s, {:.2} GB per CPU second, {:.2} M elements/s",
        gigabytes / wall,
        gigabytes / cpu,
        count as f64 * f64::from(channels) / wall / 1e6
    );
}

fn round_trips(secured: bool) {
    let (ping, pong) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let tls = tls(secured);
    let left = plane(Directory(vec![ping.clone()]), tls.clone());
    let right = plane(Directory(vec![pong.clone()]), tls);
    struct Echo(Arc<Pipe>, Mutex<Option<ChannelHandle>>);
    impl RemoteChannel for Echo {
        fn on_element(&self, element: Bytes) {
            self.0.push(element);
            if let Some(handle) = &*self.1.lock().unwrap() {
                handle.add_credit(1);
            }
        }
        fn on_failure(&self, _failure: TaskFailure) {}
    }
    let echo = Arc::new(Echo(pong, Mutex::new(None)));
    let handle = right.open_channel(&left.local_address().to_string(), partition(), 0, 8, echo.clone());
    *echo.1.lock().unwrap() = Some(handle);
    let (sender, receiver) = channel();
    struct Last(Sender<Bytes>);
    impl RemoteChannel for Last {
        fn on_element(&self, element: Bytes) {
            self.0.send(element).ok();
        }
        fn on_failure(&self, _failure: TaskFailure) {}
    }
    let back = left.open_channel(&right.local_address().to_string(), partition(), 0, 8, Arc::new(Last(sender)));
    let mut times: Vec<u128> = (0..20_000)
        .map(|_| {
            let start = Instant::now();
            ping.push(Bytes::from_static(&[1; 64]));
            receiver.recv_timeout(Duration::from_secs(5)).unwrap();
            back.add_credit(1);
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    println!(
        "round trip of 64 bytes through four threads, TLS {secured}: p50 {:.1} us, p99 {:.1} us",
        times[times.len() / 2] as f64 / 1e3,
        times[times.len() * 99 / 100] as f64 / 1e3
    );
}

#[test]
#[ignore = "a measurement"]
fn cost_of_the_exchange() {
    for secured in [false, true] {
        throughput(32 * 1024, 1, 8 << 30, secured);
        throughput(32 * 1024, 4, 8 << 30, secured);
        throughput(1024, 4, 1 << 30, secured);
        throughput(64, 4, 1 << 26, secured);
        round_trips(secured);
    }
}

#[test]
fn both_kinds_of_connection_carry_elements() {
    for secured in [false, true] {
        throughput(10_000, 3, 1 << 24, secured);
    }
}
