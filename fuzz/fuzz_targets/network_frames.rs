//! The frames of a data connection, from either side and cut in any way.

#![no_main]

use flink_graph::JobId;
use flink_taskmanager::network::frame::{Frame, Hello};
use flink_taskmanager::network::simulated::decode_all;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[options, piece], bytes)) = input.split_first_chunk::<2>() else { return };
    let elements = options & 1 == 0;
    // Without a Hello everything else is refused at once: every other input has one in front.
    let mut stream = Vec::new();
    if options & 2 == 0 {
        Frame::Hello(Hello { job: JobId::from_u128(1), epoch: 1, worker: "worker".to_owned() }).encode(&mut stream);
    }
    stream.extend_from_slice(bytes);
    let whole = decode_all(&stream, elements, stream.len());
    let cut = decode_all(&stream, elements, usize::from(piece) + 1);
    assert_eq!(whole, cut, "the cutting of the stream changes what it says");
});
