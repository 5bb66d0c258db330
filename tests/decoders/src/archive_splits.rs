use std::io::Write;

use flink_api::TaskWaker;
use flink_files::{FileError, FileSplit, InvalidUtf8, TextLineSplitReader, TextOptions};

use crate::files::{FILES, MAX_LINE_LENGTH, MAX_LINES, read};

/// A bzip2 file in splits: the same lines as from the whole file, if that can be read. The first three bytes are the size of
/// splits, of the pieces that come at once, and of blocks; without a size of blocks, the rest is a file already.
pub fn archive_splits(input: &[u8]) {
    let Some((&[split_size, piece, block], bytes)) = input.split_first_chunk::<3>() else { return };
    let packed = if block == 0 { bytes.to_vec() } else { pack(bytes, usize::from(block)) };
    let whole = FILES.put("splits.bz2", &packed, usize::from(piece) + 1);
    let Ok(expected) = lines(vec![whole.clone()]) else { return };
    // Every split makes room for the largest block.
    let size = (u64::from(split_size) + 1).max(whole.file_length / 8);
    let offsets = (0..whole.file_length).step_by(usize::try_from(size).unwrap());
    let splits = offsets.map(|offset| {
        let length = size.min(whole.file_length - offset);
        FileSplit { offset, length, ..whole.clone() }
    });
    let found = lines(splits.collect()).expect("what can be read as one can be read in splits");
    // Those of a bomb are not all read.
    if expected.len() < MAX_LINES {
        assert_eq!(found, expected);
    }
}

fn lines(splits: Vec<FileSplit>) -> Result<Vec<String>, FileError> {
    let options = TextOptions { max_line_length: MAX_LINE_LENGTH, invalid_utf8: InvalidUtf8::Replace, block_size: 64 };
    let mut found = Vec::new();
    for split in splits {
        let mut reader = TextLineSplitReader::new(options, TaskWaker::new(|| ()));
        read(&mut reader, split, &mut found)?;
    }
    Ok(found)
}

/// Blocks of some bytes, four to a stream.
fn pack(bytes: &[u8], block: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    for stream in bytes.chunks(4 * block) {
        let mut encoder = bzip2::write::BzEncoder::new(packed, bzip2::Compression::fast());
        for block in stream.chunks(block) {
            encoder.write_all(block).unwrap();
            encoder.flush().unwrap();
        }
        packed = encoder.finish().unwrap();
    }
    packed
}

/// Texts to pack, and files of several blocks and streams.
pub fn seeds() -> Vec<Vec<u8>> {
    let text = b"one\ntwo\r\n\nthree and four\n\xe2\x82\xac\nfive".repeat(3);
    let mut seeds: Vec<Vec<u8>> =
        [[9, 0, 5], [60, 30, 9], [200, 255, 40]].iter().map(|numbers| [&numbers[..], &text].concat()).collect();
    for block in [3, 20, 200] {
        let packed = pack(&text, block);
        seeds.push([&[40, 20, 0], packed.as_slice()].concat());
        seeds.push([&[130, 90, 0], packed.as_slice(), pack(b"", 1).as_slice(), packed.as_slice(), &[0; 9]].concat());
    }
    seeds
}
