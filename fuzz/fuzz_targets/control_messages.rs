//! The bodies of all control messages. What is read can be written, and read back as the same.

#![no_main]

use flink_protocol::client::ClientRequest;
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_protocol::wire::{Envelope, decode, encode};
use flink_protocol::worker::{FromWorker, ToWorker};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn check<M: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else { return };
    let Ok(first) = encode(&message) else { panic!("a message that was read cannot be written") };
    let Ok(again) = decode::<M>(&first) else { panic!("a message that was written cannot be read") };
    // Compared as bytes: a NaN does not equal itself.
    assert!(encode(&again).is_ok_and(|second| second == first), "a message changes when it is read");
}

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 5 {
        0 => check::<Envelope<ToJobManager>>(bytes),
        1 => check::<Envelope<ToTaskManager>>(bytes),
        2 => check::<ClientRequest>(bytes),
        3 => check::<FromWorker>(bytes),
        _ => check::<ToWorker>(bytes),
    }
});
