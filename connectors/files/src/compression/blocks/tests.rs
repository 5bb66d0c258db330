use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::compression::INPUT_SIZE;

/// A file that is there.
struct Memory(Vec<u8>);

impl ReadHandle for Memory {
    fn poll_read(&mut self, buffer: &mut [u8], _: &TaskWaker) -> Result<ReadPoll, FileError> {
        let count = buffer.len().min(self.0.len());
        self.0.drain(..count).zip(buffer).for_each(|(byte, place)| *place = byte);
        Ok(if count == 0 { ReadPoll::End } else { ReadPoll::Read(count) })
    }
}

/// The same, with a pause before each read.
struct Slow(Memory, bool);

impl ReadHandle for Slow {
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        self.1 = !self.1;
        if self.1 { Ok(ReadPoll::Pending) } else { self.0.poll_read(buffer, waker) }
    }
}

fn stream(blocks: &[&str]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    for block in blocks {
        encoder.write_all(block.as_bytes()).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

fn open(packed: &[u8], begin: usize, end: usize) -> BlockUnpacking {
    let file = Box::new(Memory(packed[begin..].to_vec()));
    BlockUnpacking::new(file, "/a.bz2", begin as u64, end as u64, packed.len() as u64)
}

/// The bytes in which marks of blocks begin.
fn starts(packed: &[u8]) -> Vec<usize> {
    let next = |bit: &usize| marks::find_block(packed, bit + 1);
    std::iter::successors(marks::find_block(packed, 0), next).map(|bit| bit / 8).collect()
}

/// All that can be read, and how much of it is the split's own.
fn read(mut blocks: BlockUnpacking) -> Result<(String, Option<u64>), FileError> {
    let (mut text, mut buffer) = (String::new(), [0; 5]);
    loop {
        let known = blocks.own_length();
        match blocks.poll_read(&mut buffer, &TaskWaker::new(|| ()))? {
            ReadPoll::Read(count) => text += std::str::from_utf8(&buffer[..count]).unwrap(),
            ReadPoll::Pending => {}
            ReadPoll::End => return Ok((text, blocks.own_length())),
        }
        if let (None, Some(own)) = (known, blocks.own_length()) {
            assert!(
                own < text.len() as u64 && text.len() as u64 - own <= 5,
                "it is known with the first bytes of others"
            );
        }
    }
}

#[test]
fn a_split_has_the_blocks_that_begin_in_it_and_those_behind() {
    let packed = [stream(&["one ", "two ", "three "]), stream(&[]), stream(&["four ", "five"]), vec![0; 9]].concat();
    let starts = starts(&packed);
    let check = |begin: usize, end: usize, text: &str, own: Option<&str>| {
        let found = read(open(&packed, begin, end)).unwrap();
        assert_eq!(found, (text.to_owned(), own.map(|own| own.len() as u64)), "from {begin} to {end}");
    };
    let end = packed.len();
    check(0, end, "one two three four five", None);
    check(0, starts[1] + 1, "one two three four five", Some("one two "));
    check(0, starts[1], "one two three four five", Some("one "));
    check(0, 3, "one two three four five", Some(""));
    check(3, starts[2], "one two three four five", Some("one two "));
    check(5, starts[3], "two three four five", Some("two three "));
    check(starts[3], starts[4], "four five", Some("four "));
    check(starts[4], end, "five", None);
    check(starts[1] + 1, starts[2], "", None);
    check(starts[4] + 1, end, "", None);
    check(end - 1, end, "", None);
    check(7, 7, "", None);
}

#[test]
fn marks_that_are_none_are_passed_over_within_reason() {
    let mark = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
    let packed = |false_marks: u32| {
        let noise = [&mark[..], &[0xff; 20]].concat().repeat(false_marks as usize);
        [noise, stream(&["text"])].concat()
    };
    for count in [0, 1, MAX_FALSE_MARKS] {
        let packed = [vec![7], packed(count)].concat();
        assert_eq!(read(open(&packed, 1, packed.len())).unwrap().0, "text");
    }
    let packed = [vec![7], packed(MAX_FALSE_MARKS + 1)].concat();
    let error = read(open(&packed, 1, packed.len())).unwrap_err().to_string();
    assert!(error.contains(&format!("at byte {} of the file", 1 + 26 * MAX_FALSE_MARKS)), "{error}");
}

#[test]
fn a_long_search_lets_the_task_do_something_else() {
    let packed = vec![0x55; 3 * MAX_READS as usize * INPUT_SIZE / 2];
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    let waker = TaskWaker::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut blocks = open(&packed, 1, packed.len());
    let mut buffer = [0; 5];
    assert_eq!(blocks.poll_read(&mut buffer, &waker).unwrap(), ReadPoll::Pending);
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    assert_eq!(blocks.poll_read(&mut buffer, &waker).unwrap(), ReadPoll::End);
    assert!(blocks.window.bytes_from(0).len() <= 3 * INPUT_SIZE, "what was searched is not kept");
}

#[test]
fn what_never_ends_is_no_block() {
    let head = [
        // The mark, a checksum, no random numbers, the first row.
        format!("{:048b}{:032b}{:01b}{:024b}", 0x3141_5926_5359_u64, 7, 0, 0),
        // Two bytes that there are, two tables, one group, which has the first table.
        format!("{:016b}{:016b}{:03b}{:015b}{:01b}", 1 << 15, 3, 2, 1, 0),
        // A length of a code, that goes up and down for ever.
        format!("{:05b}", 10) + &"1011".repeat(1 << 23),
    ];
    let bits = head.concat().into_bytes();
    let block = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0')));
    // The library sees the lengths only when it has the first piece to its end, and believes that they end.
    let packed: Vec<u8> = vec![0; 1 + INPUT_SIZE - 24].into_iter().chain(block).collect();
    let length = packed.len() as u64;
    let file = Slow(Memory(packed[1..].to_vec()), false);
    let mut blocks = BlockUnpacking::new(Box::new(file), "/a.bz2", 1, length, length);
    let (mut most, mut buffer) = (0, [0; 5]);
    while blocks.poll_read(&mut buffer, &TaskWaker::new(|| ())).unwrap() == ReadPoll::Pending {
        most = most.max(blocks.window.bytes_from(0).len());
    }
    assert_eq!(blocks.false_marks, 1);
    assert!((1 << 20..4 << 20).contains(&most), "{most} bytes were kept");
}
