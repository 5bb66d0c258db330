use flink_graph::JobId;
use flink_taskmanager::blocking::block::{
    BLOCK_HEADER_SIZE, INDEX_ENTRY_SIZE, IndexEntry, begin_block, finish_block, read_run, split_element,
};
use flink_taskmanager::network::frame::{Frame, Hello};
use flink_taskmanager::network::simulated::decode_all;

fn hello() -> Vec<u8> {
    let mut stream = Vec::new();
    Frame::Hello(Hello { job: JobId::from_u128(1), epoch: 1, worker: "worker".to_owned() }).encode(&mut stream);
    stream
}

/// The frames of a data connection, from either side and cut in any way.
pub fn frames(input: &[u8]) {
    let Some((&[options, piece], bytes)) = input.split_first_chunk::<2>() else { return };
    let elements = options & 1 == 0;
    // Without a Hello everything else is refused at once: every other input has one in front.
    let mut stream = if options & 2 == 0 { hello() } else { Vec::new() };
    stream.extend_from_slice(bytes);
    let whole = decode_all(&stream, elements, stream.len());
    let cut = decode_all(&stream, elements, usize::from(piece) + 1);
    assert_eq!(whole, cut, "the cutting of the stream changes what it says");
}

/// Some frames.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let mut frames = vec![0, 3];
    Frame::AddCredit { channel: 1, credit: 2 }.encode(&mut frames);
    Frame::CancelChannel { channel: 3 }.encode(&mut frames);
    Frame::Ping.encode(&mut frames);
    let mut whole = vec![2, 0];
    whole.extend(hello());
    vec![frames, whole]
}

/// The blocks and index entries of blocking partitions.
pub fn blocks(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 3 {
        0 => {
            let _ = read_run(bytes, 1, 1 << 16);
        }
        // With a right checksum the content is reached.
        1 => {
            let run = run(bytes);
            let _ = read_run(&run, 1, 1 << 16);
            assert_eq!(run.len(), BLOCK_HEADER_SIZE + bytes.len());
            let _ = split_element(bytes);
        }
        _ => {
            if let Some(entry) = bytes.first_chunk::<INDEX_ENTRY_SIZE>() {
                let _ = IndexEntry::read(entry);
            }
        }
    }
}

fn run(content: &[u8]) -> Vec<u8> {
    let mut run = Vec::new();
    let start = begin_block(&mut run);
    run.extend_from_slice(content);
    finish_block(&mut run, start, 1);
    run
}

/// A block, its content, and room for an index entry.
pub fn block_seeds() -> Vec<Vec<u8>> {
    let content = [&[5, 0, 0, 0][..], b"hello"].concat();
    vec![[&[0], run(&content).as_slice()].concat(), [&[1], content.as_slice()].concat(), vec![2; 1 + INDEX_ENTRY_SIZE]]
}
