use super::super::frame::{ChannelFailure, Element, Failure, Frame, MAX_HELLO_BODY, PartitionRequest};
use super::super::simulated::decode_all;
use super::*;

fn sample(random: &mut Rng) -> Vec<Frame> {
    let mut frames = vec![Frame::Hello(settings("a worker").hello)];
    for _ in 0..random.usize(..6) {
        let channel = random.usize(..5) as u32;
        let text = "é".repeat(random.usize(..40));
        frames.push(match random.usize(..7) {
            0 => Frame::AddCredit { channel, credit: random.u32(..) },
            1 => Frame::CancelChannel { channel },
            2 => Frame::Failure(Failure { channel, kind: ChannelFailure::NotFound, message: text }),
            3 => Frame::Ping,
            4 => {
                let partition = partition(random.u32(..));
                Frame::PartitionRequest(PartitionRequest { channel, partition, subpartition: 1, credit: 2 })
            }
            _ => {
                let payload = Bytes::from(vec![random.u8(..); random.usize(..40_000)]);
                let (event, last) = (random.usize(..2) == 0, random.usize(..2) == 0);
                Frame::Element(Element { channel, sequence: random.u32(..), backlog: 1, event, last, payload })
            }
        });
    }
    frames
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut out));
    out
}

#[test]
fn frames_survive_any_cutting() {
    use super::super::decoder::{FrameDecoder, SegmentPool};
    let mut random = Rng::with_seed(5);
    let pool = Arc::new(SegmentPool::default());
    for _ in 0..300 {
        let frames = sample(&mut random);
        let bytes = encode(&frames);
        let mut decoder = FrameDecoder::for_elements(Arc::clone(&pool), 1 << 20);
        let mut decoded = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let limit = 1 << random.usize(..17);
            let (piece, others) = rest.split_at((1 + random.usize(..limit)).min(rest.len()));
            rest = others;
            decoder.extend(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                decoded.push(frame);
            }
        }
        assert_eq!(decoded, frames);
    }
}

#[test]
fn long_texts_are_cut_at_characters() {
    let message = "é".repeat(5000);
    let worker = "ü".repeat(1000);
    let failure = Frame::Failure(Failure { channel: 1, kind: ChannelFailure::Refused, message });
    let bytes = encode(&[Frame::Hello(Hello { worker, ..settings("").hello }), failure]);
    assert_eq!(decode_all(&bytes, true, bytes.len()), Ok(2));
}

#[test]
fn sizes_are_checked_before_memory_is_taken() {
    let refuse = |bytes: &[u8]| assert!(decode_all(bytes, true, 7).is_err(), "{bytes:?}");
    refuse(&[0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0]);
    refuse(&[0xff, 0xff, 0xff, 0x7f, 4, 0, 0, 0, 0, 0, 0, 0]);
    refuse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    refuse(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x11]);
    let too_long = (MAX_HELLO_BODY as u32 + 1).to_le_bytes();
    refuse(&[&too_long[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat());
    let hello = encode(&[Frame::Hello(settings("x").hello)]);
    refuse(&[&hello[..], &hello[..]].concat());
    refuse(&[&hello[..], &((1 << 20) + 9_u32).to_le_bytes(), &[4, 0, 0, 0, 0, 0, 0, 0]].concat());
    let element = encode(&[Frame::Element(Element {
        channel: 0,
        sequence: 0,
        backlog: 0,
        event: false,
        last: false,
        payload: Bytes::new(),
    })]);
    assert_eq!(decode_all(&[&hello[..], &element[..]].concat(), true, 3), Ok(2));
    assert!(decode_all(&[&hello[..], &element[..]].concat(), false, 3).is_err());
}

#[test]
fn random_and_mutated_frames_never_panic() {
    let mut random = Rng::with_seed(11);
    for round in 0..100_000 {
        let mut bytes = if round % 4 == 0 {
            (0..random.usize(..80)).map(|_| random.u8(..)).collect()
        } else {
            let hello = Frame::Hello(settings("w").hello);
            let frames =
                [hello, Frame::AddCredit { channel: 1, credit: 2 }, Frame::CancelChannel { channel: 3 }, Frame::Ping];
            encode(&frames)
        };
        for _ in 0..random.usize(..4) {
            if !bytes.is_empty() {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
        bytes.truncate(bytes.len() - random.usize(..bytes.len() / 4 + 1));
        let whole = decode_all(&bytes, true, bytes.len());
        assert_eq!(whole, decode_all(&bytes, true, 1 + random.usize(..20)), "the cutting changes nothing");
    }
}

/// Messages of the control plane: neither a panic nor memory that the bytes do not pay for.
#[test]
fn random_and_mutated_messages_never_panic() {
    use flink_protocol::client::{ClientRequest, ClientRequestBody};
    use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
    use flink_protocol::wire::{decode, encode};
    use flink_protocol::worker::{FromWorker, ToWorker, WorkerMetrics};

    let mut random = Rng::with_seed(13);
    let attempt = partition(0).producer;
    let samples = [
        encode(&ToWorker::FailTask { attempt, reason: "because".to_owned() }).unwrap(),
        encode(&ToWorker::ReleasePartitions { partitions: vec![partition(1), partition(2)] }).unwrap(),
        encode(&FromWorker::Metrics(WorkerMetrics::default())).unwrap(),
        encode(&FromWorker::RequestNextInputSplit { attempt, request: 5 }).unwrap(),
        encode(&ToTaskManager::ReleasePartitions { partitions: vec![partition(3)] }).unwrap(),
    ];
    for round in 0..100_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..1 + random.usize(..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(bytes.len() - random.usize(..bytes.len() / 4 + 1));
        drop(decode::<ToWorker>(&bytes));
        drop(decode::<FromWorker>(&bytes));
        drop(decode::<ToTaskManager>(&bytes));
        drop(decode::<ToJobManager>(&bytes));
        drop(decode::<ClientRequest>(&bytes));
        drop(decode::<ClientRequestBody>(&bytes));
    }
}
