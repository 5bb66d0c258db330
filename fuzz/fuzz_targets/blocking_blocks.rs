//! The blocks and index entries of blocking partitions.

#![no_main]

use flink_taskmanager::blocking::block::{
    BLOCK_HEADER_SIZE, INDEX_ENTRY_SIZE, IndexEntry, begin_block, finish_block, read_run, split_element,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 3 {
        0 => {
            let _ = read_run(bytes, 1, 1 << 16);
        }
        // With a right checksum the content is reached.
        1 => {
            let mut run = Vec::new();
            let start = begin_block(&mut run);
            run.extend_from_slice(bytes);
            finish_block(&mut run, start, 1);
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
});
